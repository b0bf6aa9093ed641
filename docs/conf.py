"""The site of the documentation (`make docs`): README.md and docs/ as they are, and the commands from the program.

The pages are plain Markdown that reads well on a forge. What only the site needs is added while they are read: the
sidebar comes from the lists of docs/README.md, docs/commands.md gets each command, and links to files and folders that
are no pages lead to the repository.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from make_man_pages import option_groups  # noqa: E402

from ipexlaunch import __version__  # noqa: E402
from ipexlaunch.cli import COMMANDS  # noqa: E402
from ipexlaunch.cli.shards_command import SUBCOMMANDS  # noqa: E402

project = "ipexlaunch"
release = version = __version__
copyright = "the authors of ipexlaunch"

extensions = ["myst_parser", "sphinx_click"]
root_doc = "README"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "docs/*.md",
    "docs/decisions/*.md",
    "examples/README.md",
    "examples/*/README.md",
    "topologies/README.md",
]
exclude_patterns = [".*", "build", "dist", "runs", "tests", "ipexlaunch", "benchmarks", "tools", "packaging", "**/.*"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
nitpicky = True
highlight_language = "none"
smartquotes = False  # would make one dash of the two before an option
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

html_theme = "furo"
html_title = f"ipexlaunch {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"source_repository": "", "navigation_with_keys": True}

LISTED = re.compile(r"^- \[([^\]]+)\]\(([^)#]+\.md)\)", re.MULTILINE)
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
"""A link to a file, which is no image."""
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", complete_page)
    app.connect("html-page-context", open_to_keyboards, priority=900)
    app.connect("build-finished", name_index)
    app.connect("sphinx-click-process-options", group_options)


def complete_page(_app: Any, name: str, source: list[str]) -> None:
    """Add to a page what only the site has.

    Args:
        name: of the page, such as `docs/batch`.
        source: its text, which is replaced.
    """
    text = without_dead_ends(name, source[0])
    if name == root_doc:
        text += sidebar()
    elif name == "docs/commands":
        text += "".join(command_section(words) for words in commands())
    elif name == "docs/decisions/README":
        text += "\n```{toctree}\n:maxdepth: 1\n:glob:\n\n[0-9]*\n```\n"
    elif name == "examples/README":
        text += "\n```{toctree}\n:hidden:\n:glob:\n\n*/README\n```\n"
    source[0] = text


def sidebar() -> str:
    """The sections of docs/README.md as lists of pages."""
    parts = SECTION.split((ROOT / "docs/README.md").read_text(encoding="utf-8"))
    toctrees = ["\n```{toctree}\n:hidden:\n\nAll pages <docs/README>\n```\n"]
    for heading, lines in zip(parts[1::2], parts[2::2], strict=True):
        entries = [f"{title} </{page_of(link)}>" for title, link in LISTED.findall(lines) if page_of(link) != root_doc]
        if entries:
            toctrees.append("\n```{toctree}\n:hidden:\n:caption: " + heading + "\n\n" + "\n".join(entries) + "\n```\n")
    return "".join(toctrees)


def page_of(link: str) -> str:
    """The name of the page that a link of docs/README.md leads to."""
    return str((ROOT / "docs" / link).resolve().relative_to(ROOT).with_suffix(""))


def without_dead_ends(name: str, text: str) -> str:
    """The text whose links to files and folders that are no pages are words: the site does not have these files."""
    folder = (ROOT / name).parent

    def replaced(match: re.Match[str]) -> str:
        words, link = match[1], match[2]
        if "://" in link or link.startswith("mailto:") or (link.endswith(".md") and is_page(folder / link)):
            return match[0]
        return words

    parts = FENCED.split(text)
    fences = FENCED.findall(text)
    done = [LINK.sub(replaced, part) for part in parts]
    return "".join(part + fence for part, fence in zip(done, [*fences, ""], strict=True))


def is_page(path: Path) -> bool:
    """Whether a file is one of the site's pages."""
    relative = path.resolve().relative_to(ROOT)
    return path.exists() and any(relative.match(pattern) for pattern in include_patterns)


def commands() -> Iterator[str]:
    """The words of every command; those below one come after it."""
    for name in COMMANDS:
        yield name
        if name == "shards":
            yield from (f"{name} {further}" for further in SUBCOMMANDS)


def command_section(words: str) -> str:
    """The directive by which sphinx-click shows a command.

    Args:
        words: of the command, such as `run` or `shards make`.
    """
    first, *further = words.split()
    name = further[0] if further else first
    module = f"ipexlaunch.cli.{SUBCOMMANDS[name][0] if further else COMMANDS[first][0]}"
    nested = "\n   :nested: none"
    return f"\n```{{eval-rst}}\n.. click:: {module}:{name}_command\n   :prog: ipexlaunch {words}{nested}\n```\n"


def group_options(_app: Any, ctx: Any, lines: list[str]) -> None:
    """Put a command's options under the headings that --help has, and make their texts plain: they are no markup.

    Args:
        ctx: of the command.
        lines: of reStructuredText, which are replaced.
    """
    lines.clear()
    for heading, options in option_groups(ctx.command, ctx).items():
        lines += [f".. rubric:: {heading}", ""]
        for spelled, meaning in options:
            lines += [
                f".. option:: {spelled}",
                "",
                "    " + re.sub(r"([*`|_@])", r"\\\1", " ".join(meaning.split())),
                "",
            ]


def open_to_keyboards(_app: Any, _name: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Make what scrolls reachable by the Tab key, and give the sidebar's headings their level.

    Args:
        context: of the page; furo's part is in it, because this is called last.
    """
    body = context.get("body", "")
    body = body.replace("<pre>", '<pre tabindex="0">')
    context["body"] = body.replace('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper')
    for key in ("furo_navigation_tree", "toctree"):
        if isinstance(context.get(key), str):
            context[key] = context[key].replace('role="heading"', 'role="heading" aria-level="2"')


def name_index(app: Any, error: Exception | None) -> None:
    """Servers show index.html first: it is the root page once more."""
    if error is None and app.builder.name == "html":
        shutil.copyfile(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")
