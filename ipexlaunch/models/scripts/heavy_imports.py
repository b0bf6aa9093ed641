"""Which heavy packages a script names at its top, so that they can be imported once for all of its workers.

Pure: it reads the script's source. A script may set variables before it imports; constants among them hold for the
imports here too, and where it computes one its imports cannot be shared.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

HEAVY = frozenset({
    "accelerate", "datasets", "diffusers", "fastembed", "intel_extension_for_pytorch", "keras", "lightning", "numba",
    "numpy", "optimum", "pandas", "PIL", "scipy", "sentence_transformers", "skimage", "sklearn", "tensorflow", "timm",
    "tokenizers", "torch", "torchao", "torchaudio", "torchvision", "transformers",
})  # fmt: skip
"""Packages that take long to import and start no thread of their own in that (a template with a second one is refused
anyway). A script's own modules are not among them: what they do when they are imported each worker has to do."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Import(NamedTuple):
    """One statement."""

    module: str
    names: tuple[str, ...] = ()
    """What is taken from it; () for the module itself."""


class Variable(NamedTuple):
    """One that is set to a constant."""

    name: str
    value: str
    only_where_missing: bool
    """As by os.environ.setdefault."""


class ScriptTop(NamedTuple):
    """What a script does before its own work."""

    imports: tuple[Import, ...]
    """Of heavy packages, in their order."""
    variables: tuple[Variable, ...]
    """Set before the last of them."""
    problem: str = ""
    """Why they cannot be shared."""


def read_top(source: str | bytes) -> ScriptTop:
    """What the top level of a script imports, also within `try` and `with`, and sets for that.

    Args:
        source: of the script.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ScriptTop((), (), "it is not Python that can be read here")
    imports: list[Import] = []
    variables: list[Variable] = []
    needed = 0
    problem = found = ""
    for statement in _top(tree.body):
        new = list(_heavy(statement))
        if new:
            imports += new
            needed, problem = len(variables), problem or found
        else:
            found = found or _take_variables(statement, variables)
    return ScriptTop(tuple(imports), tuple(variables[:needed]), problem)


def calls_split(source: str | bytes) -> bool:
    """Whether a script speaks of `worker.split`.

    Args:
        source: of the script.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return any(
        (isinstance(node, ast.Attribute) and node.attr == "split" and _name_of(node.value).endswith("worker"))
        or (isinstance(node, ast.ImportFrom) and node.module == "ipexlaunch.worker" and _takes(node, "split"))
        for node in ast.walk(tree)
    )


def _takes(node: ast.ImportFrom, name: str) -> bool:
    return any(alias.name == name for alias in node.names)


def _top(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that are run in any case, in their order."""
    for statement in statements:
        if isinstance(statement, (ast.Try, ast.With)):
            yield from _top(statement.body)
        else:
            yield statement


def _heavy(statement: ast.stmt) -> Iterator[Import]:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.name.partition(".")[0] in HEAVY:
                yield Import(alias.name)
    elif isinstance(statement, ast.ImportFrom) and not statement.level:
        module = statement.module or ""
        if module.partition(".")[0] in HEAVY:
            yield Import(module, tuple(alias.name for alias in statement.names if alias.name != "*"))


def _take_variables(statement: ast.stmt, variables: list[Variable]) -> str:
    """Take over the variables that a statement sets to constants; why that cannot be done, or ""."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return ""  # a definition sets nothing
    mentions = [node for node in ast.walk(statement) if _name_of(node) in ("os.environ", "environ", "os.putenv")]
    if all(_only_read(node, statement) for node in mentions):
        return ""
    variable = _constant_set(statement)
    if variable is None:
        return f"line {statement.lineno} sets variables to what it computes, before an import"
    if variable.name in THREADS:
        return f"it sets {variable.name}, which belongs to each worker"
    variables.append(variable)
    return ""


def _constant_set(statement: ast.stmt) -> Variable | None:
    """What `os.environ[NAME] = VALUE` or `os.environ.setdefault(NAME, VALUE)` sets, of constants."""
    words: tuple[ast.expr, ...] = ()
    is_default = False
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
        words = (statement.targets[0].slice, statement.value)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        is_default = _name_of(call.func).endswith("environ.setdefault")
        words = tuple(call.args) if is_default else ()
    texts = [word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    return Variable(texts[0], texts[1], is_default) if len(texts) == len(words) == 2 else None


def _only_read(node: ast.AST, statement: ast.stmt) -> bool:
    """Whether this mention of os.environ reads it: `os.environ["X"]` or `os.environ.get("X")` in an expression."""
    for parent in ast.walk(statement):
        if isinstance(parent, ast.Subscript) and parent.value is node:
            return isinstance(parent.ctx, ast.Load)
        if isinstance(parent, ast.Attribute) and parent.value is node:
            return parent.attr in ("get", "items", "keys", "values", "copy")
        if isinstance(parent, ast.Compare) and node in parent.comparators:
            return True
    return False


def _name_of(node: ast.AST) -> str:
    """A dotted name as it is written; "" for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _name_of(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""
