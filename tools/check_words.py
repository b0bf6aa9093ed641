#!/usr/bin/env python3
"""Look for slips in what people read: pages, --help, messages and docstrings.

    python tools/check_words.py             # codespell, and the phrases of tools/words/phrases.txt; seconds
    python tools/check_words.py --grammar   # and Harper's spelling and grammar; a minute or more, needs Node.js and npm

What is kept here: tools/words/phrases.txt (what is no English of this field, and what to write), tools/words/words.txt
(words that dictionaries lack), and tools/words/harper.json (rules of Harper that are switched off, with reasons).
Harper runs on this machine; npm fetches it once into build/harper.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORDS = ROOT / "tools/words"
HARPER = ROOT / "build/harper"

PAGES = (
    "README.md",
    "CHANGELOG.md",
    "docs/*.md",
    "docs/decisions/*.md",
    "examples/**/README.md",
    "topologies/README.md",
)
SPELLED = ("README.md", "CHANGELOG.md", "docs", "examples", "ipexlaunch", "tools", "benchmarks", "topologies")
NOT_SPELLED = "*.json,*.yaml,*.svg,*.txt,*.jsonl,*.csv,*.xz,*.gz,*.png"
KNOWN = "ratio,nd,ser,te,fo,ans,thi,wit,ist,inh,childs,mis,alls,sme"
"""What codespell takes for slips and is none."""

DATA = ("ipexlaunch/cli/options/help_groups.py",)
"""Files whose strings are lists of names."""

SHORTEST = 4
"""A string of fewer words is a name, a unit, a part of a message."""


def main() -> int:
    """Look; 1 where anything is found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grammar", action="store_true", help="run Harper too")
    options = parser.parse_args()
    problems = [*misspelled(), *phrases_found()]
    if options.grammar:
        problems += grammar()
    for problem in problems:
        print(problem)
    print(f"words: {len(problems)} to look at")
    return 1 if problems else 0


def misspelled() -> list[str]:
    """What codespell finds."""
    command = [sys.executable, "-m", "codespell_lib", "--skip", NOT_SPELLED, "--ignore-words-list", KNOWN, *SPELLED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 65):
        raise SystemExit(f"words: codespell does not run: {done.stderr.strip()}")
    return done.stdout.splitlines()


def phrases_found() -> Iterator[str]:
    """Where a phrase of the list stands in pages or in the program's texts, with the advice."""
    rules = [line.split(" => ") for line in _lines(WORDS / "phrases.txt")]
    for name, text in [*pages(), *program_texts()]:
        flat = re.sub(r"\s+", " ", re.sub(r"`[^`\n]*`", "X", text))
        for pattern, advice in rules:
            for match in re.finditer(pattern, flat, re.IGNORECASE):
                around = flat[max(0, match.start() - 40) : match.end() + 30]
                yield f"{name}: ...{around}...: {advice}"


def grammar() -> Iterator[str]:
    """What Harper finds in the pages and in what the program prints."""
    if shutil.which("npm") is None:
        raise SystemExit("words: Harper needs npm and Node.js: apt-get install npm")
    HARPER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "harper.js"):
        shutil.copy(WORDS / name, HARPER / name)
    if not (HARPER / "node_modules/harper.js").exists():
        print("words: fetching Harper: 80 MB", flush=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=HARPER, check=True)
    texts = [
        *pages(),
        *((name, text) for name, text in program_texts() if name.startswith("ipexlaunch/cli/") and name not in DATA),
    ]
    command = ["node", "harper.js", str(WORDS / "harper.json")]
    known = set(_lines(WORDS / "words.txt"))
    done = subprocess.run(command, cwd=HARPER, input=json.dumps(texts), capture_output=True, text=True, check=True)
    by_name = dict(texts)
    for name, rule, found, message, start in json.loads(done.stdout):
        if rule == "SpellCheck" and found.rstrip(".") in known:
            continue
        line = by_name[name][:start].count("\n") + 1
        yield f"{name}:{line}: {found!r}: {message} [{rule}]"


def pages() -> Iterator[tuple[str, str]]:
    """Names and texts of the pages, without blocks of code and what programs printed."""
    for pattern in PAGES:
        for page in sorted(ROOT.glob(pattern)):
            text = page.read_text(encoding="utf-8")
            yield str(page.relative_to(ROOT)), re.sub(r"^```.*?^```", _blank, text, flags=re.MULTILINE | re.DOTALL)


def program_texts() -> Iterator[tuple[str, str]]:
    """Files and the texts in them: docstrings, help, messages; what is put into a message stands as `something`."""
    for file in sorted((ROOT / "ipexlaunch").rglob("*.py")):
        texts = [
            text for text in _strings(ast.parse(file.read_text(encoding="utf-8"))) if len(text.split()) >= SHORTEST
        ]
        yield str(file.relative_to(ROOT)), "\n\n".join(texts)


def _strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
            yield re.sub(r"(?:\w*\0)+\w*", "something", text)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        else:
            yield from _strings(node)


def _blank(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


if __name__ == "__main__":
    sys.exit(main())
