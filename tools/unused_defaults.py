"""Finds what has a default and is never set, and fields that are never read, by the program itself.

    python tools/unused_defaults.py

A field or a keyword parameter whose default nobody replaces outside of tests is a switch that is not connected: that
was how `loadgen` came to measure without a common start. Names are compared, not types, so what it finds is true and
what it does not find may still be. Fields that begin as an empty container, to be filled, are left out. Exit code: 0
where everything is connected, 1 where something is not. Standard library only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = ("ipexlaunch",)
"""What is looked through."""

USERS = ("ipexlaunch", "benchmarks", "examples", "tools")
"""Where a default may be replaced: everything but tests."""

FAKES = (
    *("root", "proc", "clock", "cpu_clock", "launcher", "backend", "patience_s", "robust_list"),
    "command_of",
)
"""Parameters that stand for the machine or its measures, so that tests need not patch."""

RULES = ("FaultLimits", "Rule", "BatchRules", "FeedRules")
"""Classes that keep the constants of one policy together; tests try others."""

BY_NAME = ("Request",)
"""Classes that are made of the command line's values by the names of their fields."""

ALLOWED = {
    "main.argv": "the entry point takes the process's own words",
    "UniqueIds.most": "a bound on memory; tests have a small one",
    "map_pages.advice": "a kernel that does not know the advice, for tests",
    "memory_of.huge_page_kb": "the line says it since Linux 3.15; older ones are told by tests",
    "get_seq_length._layer": "transformers calls it",
    "Cpu.die": "read in topology documents",
    "Cpu.cluster": "read in topology documents",
    "Node.read_latency_ns": "read in topology documents",
    "Topology.about": "people write it into topology documents",
    "Topology.possible_cpus": "read in topology documents",
    "Report.disturbance": "read in reports",
}
"""Further ones that only others than the program set, and why that is right."""


@dataclass(frozen=True)
class Defaulted:
    """Something that has a default."""

    owner: str
    name: str
    where: str
    position: int | None
    """Where a positional argument sets it; None where none can."""
    is_field: bool


@dataclass
class Uses:
    """What the program sets and reads, by name."""

    keywords: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    positional: dict[str, int] = field(default_factory=dict)
    """Called name to the largest number of positional arguments; a starred one counts as many."""


def main() -> int:
    """Print a line for each loose switch."""
    uses = Uses()
    for folder in USERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            _note(ast.parse(path.read_text(encoding="utf-8")), uses)
    loose = []
    for folder in PROGRAM:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for each in _defaulted(ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(ROOT))):
                loose += _problems(each, uses)
    print("\n".join(loose) if loose else "everything that has a default is set somewhere outside of tests")
    return 1 if loose else 0


def _problems(each: Defaulted, uses: Uses) -> list[str]:
    label = f"{each.owner}.{each.name}"
    if label in ALLOWED or each.owner in (*RULES, *BY_NAME) or (not each.is_field and each.name in FAKES):
        return []
    passed = each.position is not None and uses.positional.get(each.owner, 0) > each.position
    found = []
    if each.name not in uses.keywords and not passed:
        found.append(f"{each.where}: {label} has a default that nothing outside of tests replaces")
    if each.is_field and each.name not in uses.read:
        found.append(f"{each.where}: {label} is read by nothing outside of tests")
    return found


def _note(tree: ast.AST, uses: Uses) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            uses.keywords.update(each.arg for each in node.keywords if each.arg)
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            many = 99 if any(isinstance(each, ast.Starred) for each in node.args) else len(node.args)
            uses.positional[called] = max(uses.positional.get(called, 0), many)
        elif isinstance(node, ast.Attribute):
            (uses.read if isinstance(node.ctx, ast.Load) else uses.keywords).add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Of documents and getattr: a name in quotes sets or reads.
            uses.keywords.add(node.value)
            uses.read.add(node.value)


def _defaulted(tree: ast.Module, where: str) -> Iterator[Defaulted]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from _fields(node, where)
            for function in node.body:
                if isinstance(function, ast.FunctionDef):
                    yield from _parameters(function, where, node.name)
    inside = {id(each) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for each in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and id(node) not in inside:
            yield from _parameters(node, where, "")


def _fields(node: ast.ClassDef, where: str) -> Iterator[Defaulted]:
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    if not any(getattr(mark, "id", "") == "dataclass" for mark in marks):
        return
    position = -1
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            position += 1
            if each.value is not None and not _is_container(each.value):
                yield Defaulted(node.name, each.target.id, f"{where}:{each.lineno}", position, is_field=True)


def _is_container(value: ast.expr) -> bool:
    """Whether a field begins as something that is filled: field(default_factory=...)."""
    return isinstance(value, ast.Call) and any(each.arg == "default_factory" for each in value.keywords)


def _parameters(node: ast.FunctionDef, where: str, owner: str) -> Iterator[Defaulted]:
    name = owner if node.name == "__init__" else node.name
    first = 1 if owner and not any(getattr(each, "id", "") == "staticmethod" for each in node.decorator_list) else 0
    plain = [*node.args.posonlyargs, *node.args.args]
    for position, each in enumerate(plain):
        if position >= len(plain) - len(node.args.defaults):
            yield Defaulted(name, each.arg, f"{where}:{node.lineno}", position - first, is_field=False)
    for each, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if default is not None:
            yield Defaulted(name, each.arg, f"{where}:{node.lineno}", None, is_field=False)


if __name__ == "__main__":
    sys.exit(main())
