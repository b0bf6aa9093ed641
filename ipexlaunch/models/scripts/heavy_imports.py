"""Which heavy packages a script names at its top, so that they can be imported once for all of its workers.

Pure: it reads the script's source. A script may set variables before it imports; constants among them hold for the
imports here too, and where it computes one its imports cannot be shared.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

HEAVY = frozenset({
    "accelerate", "datasets", "diffusers", "fastembed", "intel_extension_for_pytorch", "keras", "lightning", "numpy",
    "optimum", "pandas", "PIL", "scipy", "sentence_transformers", "skimage", "sklearn", "tensorflow", "timm",
    "tokenizers", "torch", "torchao", "torchaudio", "torchvision", "transformers",
})  # fmt: skip
"""Packages that take long to import and start no thread of their own in that (a template with a second one is refused
anyway). A script's own modules are not among them: what they do when they are imported each worker has to do. Nor is
numba, which counts cpus when it is imported."""

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
"""They set nothing by themselves."""

SourceOf = Callable[[str], "str | bytes | None"]
"""Of a module of the script's own, by its dotted name; None for any other."""

IN_VARIABLES = frozenset({"get", "items", "keys", "values", "copy"})
IN_PATH = frozenset({"append", "copy", "count", "extend", "index"})
"""What changes nothing; a folder at the end of sys.path hides no package that is found without it."""

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


def read_top(source: str | bytes, own: SourceOf = lambda _: None) -> ScriptTop:
    """What the top level of a script imports, also within `try` and `with`, and sets for that.

    Args:
        source: of the script.
        own: its modules, whose imports may set something too.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ScriptTop((), (), "it is not Python that can be read here")
    imports: list[Import] = []
    variables: list[Variable] = []
    needed = 0
    problem = found = ""
    changing: set[str] = set()
    for statement in _top(tree.body):
        new = list(_heavy(statement))
        if new:
            imports += new
            needed, problem = len(variables), problem or found
        else:
            found = found or _changed_path(statement) or _take_variables(statement, variables)
            found = found or _changed_elsewhere(statement, changing, own)
    return ScriptTop(tuple(imports), tuple(variables[:needed]), problem)


def calls_split(source: str | bytes) -> bool:
    """Whether a script speaks of `worker.split`, by whatever name it has imported it.

    Args:
        source: of the script.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    names = {name for node in ast.walk(tree) for name in _names_of_worker(node)}
    return any(_name_of(node) in names for node in ast.walk(tree))


def _names_of_worker(node: ast.AST) -> Iterator[str]:
    """How a script can name worker.split after this statement."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name == "ipexlaunch.worker":
                yield f"{alias.asname or alias.name}.split"
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if (node.module, alias.name) == ("ipexlaunch", "worker"):
                yield f"{alias.asname or alias.name}.split"
            elif (node.module, alias.name) == ("ipexlaunch.worker", "split"):
                yield alias.asname or alias.name


def _top(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that are run in any case, in their order."""
    for statement in statements:
        if isinstance(statement, ast.Try):
            yield from _top([*statement.body, *statement.orelse, *statement.finalbody])
        elif isinstance(statement, ast.With):
            yield from (ast.copy_location(ast.Expr(i.context_expr), i.context_expr) for i in statement.items)
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


def _changed_path(statement: ast.stmt) -> str:
    """Why what is imported after a statement may be something else than in a process that has not run it, or ""."""
    if isinstance(statement, DEFINITIONS) or all(
        _only_read(node, statement, IN_PATH) for node in ast.walk(statement) if _name_of(node) == "sys.path"
    ):
        return ""
    return f"line {statement.lineno} changes sys.path, before an import"


def _changed_elsewhere(statement: ast.stmt, changing: set[str], own: SourceOf) -> str:
    """Why what a statement calls or imports of the script's own may make later imports others, or ""."""
    if isinstance(statement, DEFINITIONS):
        if _changes(statement):
            changing.add(statement.name)
        return ""
    called = {_name_of(node.func).partition(".")[0] for node in ast.walk(statement) if isinstance(node, ast.Call)}
    for name in sorted(called & changing):
        return f"line {statement.lineno} calls {name}, which may set variables or sys.path, before an import"
    for name in _modules(statement, ""):
        if changed := _changing_module(name, own, set()):
            return f"line {statement.lineno} imports {changed}, which may set variables or sys.path, before an import"
    return ""


def _changing_module(name: str, own: SourceOf, seen: set[str]) -> str:
    """The first module of the script's own that may set something, of those that importing this one runs; or ""."""
    parts = name.split(".")
    for prefix in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
        source = None if prefix in seen else own(prefix)
        seen.add(prefix)
        try:
            tree = ast.parse(source or "")
        except (SyntaxError, ValueError):
            continue  # nor can it be imported
        if _changes(tree):
            return prefix
        for node in ast.walk(tree):
            for other in _modules(node, prefix):
                if changed := _changing_module(other, own, seen):
                    return changed
    return ""


def _modules(node: ast.AST, within: str) -> Iterator[str]:
    """The modules that a statement imports, where it may stand in this one or its package."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        places = [""] if not node.level else [within, ".".join(within.split(".")[: -node.level])]
        for place in places:
            module = ".".join(filter(None, (place, node.module)))
            yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)


def _changes(tree: ast.AST) -> bool:
    """Whether anything in there does more than read variables and sys.path."""
    return any(
        (_name_of(node).rpartition(".")[2] in ("environ", "putenv") and not _only_read(node, tree, IN_VARIABLES))
        or (_name_of(node) == "sys.path" and not _only_read(node, tree, IN_PATH))
        for node in ast.walk(tree)
    )


def _take_variables(statement: ast.stmt, variables: list[Variable]) -> str:
    """Take over the variables that a statement sets to constants; why that cannot be done, or ""."""
    if isinstance(statement, DEFINITIONS):
        return ""
    mentions = [node for node in ast.walk(statement) if _name_of(node).rpartition(".")[2] in ("environ", "putenv")]
    if all(_only_read(node, statement, IN_VARIABLES) for node in mentions):
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
    if isinstance(statement, ast.Assign) and [type(each) for each in statement.targets] == [ast.Subscript]:
        words = (statement.targets[0].slice, statement.value)  # type: ignore[attr-defined]  # a Subscript
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        is_default = _name_of(call.func).endswith("environ.setdefault")
        words = tuple(call.args) if is_default else ()
    texts = [word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    return Variable(texts[0], texts[1], is_default) if len(texts) == len(words) == 2 else None


def _only_read(node: ast.AST, statement: ast.AST, reading: frozenset[str]) -> bool:
    """Whether this mention of os.environ or sys.path reads it: `os.environ["X"]` or `os.environ.get("X")`."""
    for parent in ast.walk(statement):
        if isinstance(parent, ast.Subscript) and parent.value is node:
            return isinstance(parent.ctx, ast.Load)
        if isinstance(parent, ast.Attribute) and parent.value is node:
            return parent.attr in reading
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
