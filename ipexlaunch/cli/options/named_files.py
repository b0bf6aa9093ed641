"""Which files the options of a command name, and what it does with them: one table for all commands.

A test goes through every option of every command that takes a text: each stands here in one of two groups, or among
those of the test that name no file, so that none that is added later can be forgotten.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from ipexlaunch.cli.options.option_types import workers_python
from ipexlaunch.models.engines.model_job import is_random
from ipexlaunch.report.kept_runs.run_directory import LOGS, RUN_FILES

READS: Mapping[str, str] = {
    "check_file": "the plan",
    "checkpoint": "the checkpoint",
    "input_file": "the input",
    "model": "a file of the model",
    "models": "a file of the model",
    "paths": "a run that is read",
    "plan_file": "the plan",
    "program": "the program",
    "python": "the interpreter",
    "pythons": "the interpreter",
    "replay": "a file of the run that is repeated",
    "root": "a file of the machine",
    "source": "a file of the machine",
    "text": "the text",
    "topology": "a file of the machine",
}
"""Keyword arguments of commands that name something to read, and what that is called in a message."""

WRITES: Mapping[str, str] = {
    "cache_dir": "compiled kernels and measurements",
    "errors_file": "the error rows",
    "export_dir": "the exported files",
    "loadgen_log_dir": "LoadGen's logs",
    "log_dir": "logs",
    "log_path": "logs",
    "metrics_file": "the metrics",
    "output_file": "the results",
    "page_file": "the page",
    "report_file": "the report",
    "run_dir": "the run",
    "save": "the machine",
    "write_plan": "the plan",
}
"""The same for what is written."""

FOLDERS = frozenset({"cache_dir", "export_dir", "loadgen_log_dir", "log_dir", "log_path", "run_dir"})
"""Those of WRITES that name a directory."""

STREAMS = frozenset({"errors_file", "page_file", "report_file", "save", "write_plan"})
"""Those of WRITES that may name a pipe or a device as well; output_file is looked at by itself."""

BESIDE_OUTPUT = (
    ".part", ".unfinished", ".ledger", ".ledger-wal", ".ledger-shm", ".ledger-journal", ".dead.jsonl",
    ".dead.jsonl.unfinished",
)  # fmt: skip
"""What the names of the files beside a batch job's output end with."""

LOADGEN_FILES = tuple(f"mlperf_log_{name}" for name in ("summary.txt", "detail.txt", "accuracy.json", "trace.json"))

MODEL_FILES = (
    "config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json",
    "*.py", "*.model", "*.pt", "*.jinja", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "quant*.json",
)  # fmt: skip
"""What transformers reads of a model's directory; other files may lie there, results too."""

MOST_FILES = 20_000
"""So many files of a directory that is read are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """Something that a command writes, replaces or removes."""

    what: str
    """As a phrase for messages."""
    path: str
    kind: Literal["file", "any", "folder", "beside"]
    """A regular file; one, or a stream; a directory to put files in; a file beside one of these or in it."""


def read_files(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what it is, path) of every file that a command reads, as far as its options name it.

    Args:
        options: the command's keyword arguments.
    """
    found = [(READS[name], path) for name in options if name in READS for path in _paths_read(name, options)]
    if "program" in options and not options.get("no_python") and isinstance(options["program"], str):
        found.append((READS["python"], _found(options.get("python") or workers_python())))
    return found


def _paths_read(name: str, options: Mapping[str, Any]) -> Iterator[str]:
    value = options[name]
    if name == "program":
        yield from _program_files(value, options)
        return
    for each in value if isinstance(value, (tuple, list)) else (value,):
        if each:
            yield from _EXPANDED.get(name, _itself)(each)


def _itself(path: str) -> Iterable[str]:
    return (path,)


def _input_files(path: str) -> Iterable[str]:
    if path == "-":
        return ("/dev/stdin",)
    return (path,) if os.path.exists(path) else glob.glob(path, recursive=True) or (path,)


def _model_files(path: str) -> Iterable[str]:
    if is_random(path):
        return ()
    return _matching(path, MODEL_FILES) if os.path.isdir(path) else (path,)


def _run_files(path: str) -> Iterable[str]:
    if not os.path.isdir(path):
        return (path,)
    return [*(os.path.join(path, name) for name in RUN_FILES), *_matching(os.path.join(path, LOGS), ("*",))]


def _machine_files(source: str) -> Iterable[str]:
    """Of a saved tree those in sys/ and proc/; of this machine none: nobody writes there."""
    if not os.path.exists(source) or os.path.realpath(source) == "/":
        return ()
    if not os.path.isdir(source):
        return (source,)
    trees = (os.walk(os.path.join(source, part)) for part in ("sys", "proc"))
    every = (os.path.join(folder, name) for tree in trees for folder, _, names in tree for name in names)
    return islice(every, MOST_FILES)


def _matching(folder: str, patterns: Iterable[str]) -> list[str]:
    try:
        names = sorted(os.listdir(folder))[:MOST_FILES]
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if any(fnmatch.fnmatch(name, each) for each in patterns)]


def _found(program: str) -> str:
    return shutil.which(program) or program


def _program_files(program: object, options: Mapping[str, Any]) -> Iterator[str]:
    """A script, a folder's __main__.py, a module in the present folder or on PYTHONPATH, or an executable."""
    if not isinstance(program, str):
        return
    if options.get("no_python"):
        yield _found(program)
    elif options.get("module"):
        for folder in (".", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))):
            base = os.path.join(folder, *program.split("."))
            yield from (f"{base}.py", os.path.join(base, "__main__.py"), os.path.join(base, "__init__.py"))
    else:
        yield os.path.join(program, "__main__.py") if os.path.isdir(program) else program


_EXPANDED: Mapping[str, Callable[[str], Iterable[str]]] = {
    "input_file": _input_files,
    "model": _model_files,
    "models": _model_files,
    "paths": _run_files,
    "python": lambda path: (_found(path),),
    "pythons": lambda path: (_found(path),),
    "replay": _run_files,
    "root": _machine_files,
    "source": _machine_files,
    "topology": _machine_files,
}
