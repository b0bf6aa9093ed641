"""Draws the package from its imports into docs/developing.md: which wing imports which.

    python tools/draw_house.py           # put the picture of now into the page
    python tools/draw_house.py --check   # exit code 1 where another one stands there, or where an import goes up

Standard library only. `lint-imports` proves the same order with more detail; this is for people.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = "docs/developing.md"
BEGIN, END = "<!-- drawn by tools/draw_house.py -->\n", "<!-- end of what is drawn -->\n"

WINGS = (
    "worker",
    "models",
    "documents",
    "machine",
    "doctor",
    "plan",
    "launch",
    "batch",
    "measure",
    "tune",
    "report",
    "hosts",
    "serve",
    "cli",
)
"""Bottom up; each imports only what stands before it."""


def main(words: list[str]) -> int:
    """Draw, or compare; the exit code."""
    problems = upward(arrows(ROOT / "ipexlaunch"))
    page = ROOT / PAGE
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        problems.append(f"{PAGE} has no place for the picture: {BEGIN.strip()} and {END.strip()}")
    drawn = f"{before}{begin}{picture(ROOT / 'ipexlaunch')}{end}{after}"
    if drawn != text and "--check" in words:
        problems.append(f"{PAGE} has the picture of another house; run python tools/draw_house.py")
    elif drawn != text and not problems:
        page.write_text(drawn, encoding="utf-8")
    print("\n".join(problems) if problems else f"{PAGE} has the picture of this house")
    return 1 if problems else 0


def arrows(package: Path) -> dict[str, dict[str, str]]:
    """Which wing imports which, with the first file that does."""
    found: dict[str, dict[str, str]] = {wing: {} for wing in WINGS}
    for path in sorted(package.rglob("*.py")):
        wing = path.relative_to(package).parts[0]
        if wing in found:
            for other in imported(ast.parse(path.read_text(encoding="utf-8")), package.name):
                if other in found and other != wing:
                    found[wing].setdefault(other, str(path.relative_to(package)))
    return found


def imported(tree: ast.Module, package: str) -> Iterator[str]:
    """The wings that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith(f"{package}."))


def upward(found: dict[str, dict[str, str]]) -> list[str]:
    """A line for each arrow that goes up."""
    return [
        f"{where} imports {other}, which stands above {wing}"
        for wing, others in found.items()
        for other, where in others.items()
        if WINGS.index(other) > WINGS.index(wing)
    ]


def picture(package: Path) -> str:
    """The house as text: a line for each wing, top down, with a dot under everything that it imports."""
    found = arrows(package)
    width = max(map(len, WINGS))
    lines = ["```text"]
    for column, wing in enumerate(WINGS[:-1]):  # names of columns stand askew: each on a line of its own
        lines.append(" " * (width + 2) + "│ " * column + "┌ " + wing)
    for wing in reversed(WINGS):
        below = WINGS[: WINGS.index(wing)]
        dots = " ".join("●" if other in found[wing] else "·" for other in below)
        lines.append(f"{wing:{width}}  {dots}".rstrip())
    lines += ["```", "", "| wing | what it is |", "|---|---|"]
    for wing in reversed(WINGS):
        text = (package / wing / "__init__.py").read_text(encoding="utf-8")
        promise = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
        lines.append(f"| `{wing}/` | {promise} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
