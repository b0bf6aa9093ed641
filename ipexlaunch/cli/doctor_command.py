"""`ipexlaunch doctor`: gather the facts from those who read them, let the checks judge, print the answers."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import click

from ipexlaunch.cli.options.checked_command import FileCheckedCommand
from ipexlaunch.cli.options.complete_words import complete_directories, complete_files
from ipexlaunch.cli.options.option_types import COUNT, valued, workers_python
from ipexlaunch.cli.terminal import wants_color, width_of
from ipexlaunch.doctor import read as doctor
from ipexlaunch.doctor.finding import SEVERITIES, Evidence, as_json, print_findings, worst_severity
from ipexlaunch.doctor.host_facts import Facts, Interpreter, Library, MemoryPolicy
from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.doctor.run_checks import PATHS, examine
from ipexlaunch.doctor.worker_variables import preloaded_in
from ipexlaunch.errors import IpexLaunchError, RequestError, TopologyError
from ipexlaunch.launch import bind
from ipexlaunch.launch.preload_libraries import NAMES, interpreter_prefixes, libraries_that_start, libraries_there
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.probe import probe
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.expectations import PACKAGES
from ipexlaunch.tune.dtypes.context import ask_versions

EXIT_FINDINGS = 1
"""There are findings at or above --fail-on; 2 stays a bad request."""

SAVED = Unavailable("--root", "a saved tree does not tell it")

MODEL_FILES = "give the file or folder that workers read"

FAIL_ON = ("unknown", "warning", "problem")


@click.command("doctor", cls=FileCheckedCommand)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@valued(
    "--fail-on",
    f"Exit with {EXIT_FINDINGS} if there is a finding that bad or worse (default: exit with 0 whatever is found).",
    FAIL_ON,
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="PATH",
    shell_complete=complete_files,
    help="A model's file or folder: say on which nodes the page cache holds it. May be given several times.",
)
@click.option(
    "--pid",
    "pids",
    multiple=True,
    type=COUNT,
    metavar="PID",
    help="A running worker: say whether it has threads of two OpenMP runtimes. May be given several times.",
)
@valued(
    "--python",
    "Interpreter of the workers; it is started to say its version under what can be preloaded  "
    "[default: the active environment's].",
    metavar="PATH",
)
@click.option(
    "--root",
    default="/",
    metavar="DIR",
    shell_complete=complete_directories,
    help="Read sys/ and proc/ of a saved machine in this folder instead of this host.",
)
def doctor_command(
    format_: str, fail_on: str | None, models: tuple[str, ...], pids: tuple[int, ...], python: str | None, root: str
) -> int:
    """Say what stands between this host and full speed.

    Each line says what was read, where, and what would work. Nothing is changed, and nothing started but the
    workers' Python, to say its version under each library that would be preloaded.
    """
    if not os.path.isdir(root):
        raise RequestError(
            f"read a machine from --root {root}", "there is no such folder", "name one that holds sys/ and proc/"
        )
    facts = gather_facts(root, python, files_of(models), pids)
    findings = examine(facts)
    if format_ == "json":
        print(as_json(findings), end="")
    else:
        print_findings(findings, sys.stdout, width_of(sys.stdout), wants_color(sys.stdout))
    bad = fail_on is not None and SEVERITIES.index(worst_severity(findings)) >= SEVERITIES.index(fail_on)
    return EXIT_FINDINGS if bad else 0


def gather_facts(root: str, python: str | None, models: tuple[str, ...], pids: tuple[int, ...] = ()) -> Facts:
    """Everything that the checks judge; a fact that cannot be had is an `Unavailable` in its place.

    Args:
        root: "/" or the folder of a saved tree; what only a live host can tell is then not asked.
        python: the workers' interpreter; None for that of the active environment.
        models: files to look for in the page cache.
        pids: running workers to look into.
    """
    live = doctor.is_live(root)
    environment = doctor.read_environment(root)
    variables = {} if isinstance(environment, Unavailable) else environment
    topology = _topology(root)
    interpreter, libraries = _interpreter(python, variables, live)
    return Facts(
        files=doctor.read_host_files(root, PATHS),
        topology=topology,
        environment=environment,
        memory_policy=_memory_policy(topology) if live else SAVED,
        libraries=libraries,
        interpreter=interpreter,
        shared_memory=doctor.read_shared_memory() if live else SAVED,
        numa_package=doctor.read_numa_package() if live else SAVED,
        memory_limit=doctor.read_own_memory_limit(root),
        throttling=() if isinstance(topology, Unavailable) else _throttling(root, topology),
        amx_refusal=doctor.ask_for_amx() if live else SAVED,
        existing_paths=doctor.find_preloaded(preloaded_in(variables), variables, root),
        models=tuple(doctor.read_cached_file(path) for path in models),
        processes=tuple(doctor.read_loaded_runtimes(pid, root) for pid in pids),
    )


def files_of(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Every file below the paths, hidden ones left out, in the order of their names.

    Raises:
        RequestError: a path does not exist, or a folder holds no file.
    """
    found: list[str] = []
    for path in paths:
        if os.path.isfile(path):
            found.append(path)
            continue
        if not os.path.isdir(path):
            raise RequestError(
                f"look for --model {path} in the page cache", "there is no such file or folder", MODEL_FILES
            )
        inside = [
            os.path.join(folder, name)
            for folder, folders, names in os.walk(path)
            for name in sorted(names)
            if not name.startswith(".") and os.path.isfile(os.path.join(folder, name))
        ]
        if not inside:
            raise RequestError(f"look for --model {path} in the page cache", "the folder holds no file", MODEL_FILES)
        found += sorted(inside)
    return tuple(found)


def _topology(root: str) -> Topology | Unavailable:
    try:
        return probe(root)
    except TopologyError as error:
        return Unavailable(error.path, error.problem)
    except IpexLaunchError as error:
        return Unavailable(root, str(error))


def _throttling(root: str, topology: Topology) -> tuple[Evidence, ...]:
    return tuple(doctor.read_throttling(root, [limit.file for limit in topology.limits if limit.kind == "quota"]))


def _interpreter(
    python: str | None, variables: Mapping[str, str], live: bool
) -> tuple[Interpreter | Unavailable, tuple[Library, ...] | Unavailable]:
    """The workers' interpreter, and the libraries that can be preloaded or that its packages bring."""
    if python is None and not live:
        return SAVED, SAVED
    # A name without a slash is looked up as a shell would.
    path = (shutil.which(python) or python) if python else workers_python()
    prefixes = interpreter_prefixes(path)
    interpreter = doctor.read_interpreter(path, prefixes)
    if live and not isinstance(interpreter, Unavailable) and "torch" not in interpreter.packages:
        # It may come by PYTHONPATH or a .pth file.
        told = ask_versions(path, PACKAGES.values()) or {}
        more = {name: Evidence(f"importlib.metadata of {path}", version) for name, version in told.items()}
        interpreter = replace(interpreter, packages={**more, **interpreter.packages})
    if live and not isinstance(interpreter, Unavailable):
        found, refused = libraries_that_start(path, variables, NAMES)
    else:
        found, refused = {name: paths[0] for name, paths in libraries_there(path, variables).items()}, {}
    shared = [Library(_kind(name), name, place) for name, place in found.items()]
    parts = {name: why.partition(": ") for name, why in refused.items()}
    unusable = [Library(_kind(name), name, place, why=why) for name, (place, _, why) in parts.items()]
    return interpreter, (*shared, *unusable, *doctor.read_bundled_openmp(prefixes))


def _kind(library: str) -> Literal["openmp", "allocator"]:
    return "openmp" if library == "iomp5" else "allocator"


def _memory_policy(topology: Topology | Unavailable) -> MemoryPolicy | Unavailable:
    """The inherited policy, and whether one can be set; tried in a thread that ends at once, so nothing is changed."""
    try:
        name, nodes = bind.memory_policy()
    except OSError as error:
        policy = doctor.read_inherited_policy()
        return MemoryPolicy(policy=policy, source=doctor.NUMA_MAPS, refusal=f"get_mempolicy: {error.strerror}")
    policy = f"{name}:{format_list(nodes)}" if nodes else name
    wanted = frozenset() if isinstance(topology, Unavailable) else topology.allowed_nodes
    trial = "bind" if wanted else "default"
    answer: list[str] = []

    def attempt() -> None:
        try:
            bind.set_memory_policy(trial, wanted)
            answer.append("")
        except OSError as error:
            answer.append(f"{trial}: {error.strerror}")

    thread = threading.Thread(target=attempt)  # a memory policy belongs to the thread that sets it
    thread.start()
    thread.join()
    text = f"{trial} to node {format_list(wanted)}" if wanted else trial
    return MemoryPolicy(policy=policy, trial=f"{text} accepted", refusal=answer[0])
