"""Every place of the package that builds an error for a user: found in its source, with the text as it stands there."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ipexlaunch

PACKAGE = Path(ipexlaunch.__file__).parent

OF_CLICK = ("BadArgumentUsage", "BadOptionUsage", "BadParameter", "ClickException", "MissingParameter", "NoSuchOption")
BASES = {"IpexLaunchError", "UsageError", *OF_CLICK}


@dataclass(frozen=True, slots=True)
class Site:
    """A call that builds an error, or has a function build one."""

    path: str
    """Of the module, below the package."""
    function: str
    """Its qualified name."""
    template: str
    """The class and the words, with the source of what is put into them in braces."""
    first_line: int
    last_line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.function}: {self.template}"


@functools.cache
def all_sites() -> tuple[Site, ...]:
    """Every place, in the order of the source."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    names = _error_classes(list(trees.values()))
    helpers = [
        (node.name, path, node in tree.body)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.returns is not None and ast.unparse(node.returns) in names
    ]

    def known_in(path: Path) -> set[str]:
        """Who gives an error, by name: in the module itself; of what is public, functions anywhere, methods beside."""
        return {
            name
            for name, home, is_function in helpers
            if home == path or (name[0] != "_" and (is_function or home.parent == path.parent))
        }

    return tuple(
        site
        for path, tree in trees.items()
        for site in _sites_in(tree, str(path.relative_to(PACKAGE)), names | known_in(path), ())
        if not site.path.startswith("errors/")
    )


def _error_classes(trees: list[ast.Module]) -> set[str]:
    """The names of the classes of errors, those derived in the package included."""
    names = set(BASES)
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while more := {each.name for each in classes if names & {_last_name(base) for base in each.bases}} - names:
        names |= more
    return names


def _sites_in(node: ast.AST, path: str, names: set[str], within: tuple[str, ...]) -> Iterator[Site]:
    for child in ast.iter_child_nodes(node):
        inner = within
        if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            inner = (*within, child.name)
        elif isinstance(child, ast.Call) and _builds_an_error(child, names):
            words = [_words_of(argument) for argument in child.args if _last_name(argument) not in ("ctx", "context")]
            template = f"{_last_name(child.func)}({' | '.join(words)})"
            yield Site(path, ".".join(within), template, child.lineno, child.end_lineno or child.lineno)
        yield from _sites_in(child, path, names, inner)


def _builds_an_error(call: ast.Call, names: set[str]) -> bool:
    name = _last_name(call.func)
    return name in names or (name == "fail" and isinstance(call.func, ast.Attribute))


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _words_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
            for part in node.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        )
    return f"{{{ast.unparse(node)}}}"
