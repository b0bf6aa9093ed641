"""Which workers can be forked from one process that has imported, or loaded, what all of them need, and from which.

Pure: it looks at the commands and variables that `make_launch` has decided on. What only the process itself can know
(its threads, the libraries that it has loaded) `worker/template.py` finds out before it forks.

Source of the rules: measurements with libgomp, libiomp5 2026.2, torch 2.8 and 2.13 (docs/running.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ipexlaunch.doctor.thread_pools import COUNTS
from ipexlaunch.doctor.worker_variables import openmp_family, preloaded_in
from ipexlaunch.launch.job import Job, Launch, Worker
from ipexlaunch.plan.plan import Instance
from ipexlaunch.worker.template import MODE_VARIABLE, ROOM_VARIABLE, THREADS_VARIABLE

ShareStart = Literal["no", "imports", "model"]

RUN_SCRIPT = "/models/run_script.py"
"""In the package: what runs a program as its interpreter would, and forks on the way."""

OWN_NAMES = ("IPEXLAUNCH_INDEX", "IPEXLAUNCH_CPUS", "IPEXLAUNCH_NODES")
CHANNEL_NAMES = ("IPEXLAUNCH_STATUS_FD", "IPEXLAUNCH_STATUS_INODE")

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""A template's own: what starts a thread before the fork makes it unsafe (numpy's OpenBLAS does at its import)."""

OPENMP_THREADS = "OMP_NUM_THREADS"
"""A template that only imports has its workers' number, as a thread of theirs would else find 1 (libgomp keeps what it
read when it was loaded, for each thread that sets none); one that calculates before the fork has one thread."""

QUIET_IN_BACKGROUND = ("background_thread:true", "background_thread:false")
"""jemalloc's MALLOC_CONF: a thread of its own would be one more at the fork; workers give memory back without it."""

PINNING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""They bind OpenMP's threads when its runtime is loaded: to cpus of the template."""

NOBODY = (
    "there is one worker, which has nobody to share with",
    "there is one worker on each set of memory nodes, which has nobody to share with",
)

ROOM_BYTES = 64
"""Beyond what the longest variables of a worker need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A process that forks workers."""

    places: tuple[int, ...]
    """Of its workers, among those of the launch."""
    instance: Instance
    """Where it runs: on all cpus of its workers, with their memory policy."""
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    """Additions to the launcher's; the last ones are those of which the workers have others."""
    own_names: tuple[str, ...]
    """Of those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How the workers of a launch share their start."""

    asked: bool = False
    """The user has asked for it, and a note says where less is shared."""
    strict: bool = False
    """A start that cannot be shared is an error."""
    templates: tuple[Template, ...] = field(default=())


def share_start(launch: Launch, mode: ShareStart, inherited: Mapping[str, str]) -> tuple[tuple[Template, ...], str]:
    """The templates of a launch's workers, a worker alone on its nodes has none; and why there is none at all, or "".

    Args:
        launch: what is to be started.
        mode: what is shared.
        inherited: the launcher's environment.
    """
    if refused := _why_not(launch, mode, inherited):
        return (), refused
    groups: dict[tuple[str, frozenset[int]], list[int]] = {}
    for place, worker in enumerate(launch.workers):
        groups.setdefault((worker.instance.memory, worker.instance.nodes), []).append(place)
    shared = [places for places in groups.values() if len(places) > 1]
    if not shared:
        return (), NOBODY[len(launch.workers) > 1]
    return tuple(_template(launch, mode, places, inherited) for places in shared), ""


def _why_not(launch: Launch, mode: ShareStart, inherited: Mapping[str, str]) -> str:
    job, workers = launch.job, launch.workers
    if job.kind == "executable":
        return "the program is no Python script or module (--no-python)"
    varying = sorted(_varying(workers) - {*OWN_NAMES, *COUNTS})
    if varying:
        return f"{', '.join(varying)} {'is' if len(varying) == 1 else 'are'} not the same in all workers"
    if mode == "model" and len({worker.argv for worker in workers}) > 1:
        return "the program's arguments are not the same in all workers, and it has read them before the fork"
    if any(worker.instance.accelerator for worker in workers):
        return "a process that has opened an accelerator cannot be forked"
    settings = {**inherited, **job.environment}
    pinned = [name for name in PINNING if name in settings]
    if pinned:
        return (
            f"{' and '.join(pinned)} would bind the threads of all workers to cpus of the process they are forked from"
        )
    loaded = [*job.libraries.values(), *preloaded_in({**inherited, **job.environment})]
    if any(openmp_family(path) in ("libiomp5", "libomp") for path in loaded):
        return (
            "libiomp5 is preloaded, and in a worker that is forked it keeps the cpus of the process it is forked from"
        )
    return ""


def _varying(workers: Sequence[Worker]) -> set[str]:
    """The variables that not all workers have alike."""
    names = {name for worker in workers for name in worker.environment}
    return {name for name in names if len({worker.environment.get(name) for worker in workers}) > 1}


def _template(launch: Launch, mode: ShareStart, places: Sequence[int], inherited: Mapping[str, str]) -> Template:
    workers = [launch.workers[place] for place in places]
    first = workers[0]
    cpus = frozenset().union(*(worker.instance.cpus for worker in workers))
    known = {**inherited, **first.environment}
    counts = {name for name in COUNTS if name in known} | {OPENMP_THREADS}
    if mode == "imports":
        counts &= _varying(workers)
    most = max(worker.instance.threads for worker in workers)
    template = {MODE_VARIABLE: mode, THREADS_VARIABLE: str(most)}
    if QUIET_IN_BACKGROUND[0] in known.get("MALLOC_CONF", ""):
        template["MALLOC_CONF"] = known["MALLOC_CONF"].replace(*QUIET_IN_BACKGROUND)
    own = {**dict.fromkeys(OWN_NAMES, ""), **ONE_THREAD, **dict.fromkeys(counts, "1"), **template}
    names = (*own, *CHANNEL_NAMES)
    longest = max(sum(map(len, _values(worker, names, inherited))) for worker in workers)
    room = "-" * (longest + ROOM_BYTES)
    shared = {name: value for name, value in first.environment.items() if name not in own}
    return Template(
        places=tuple(places),
        instance=replace(first.instance, cpus=cpus, threads=1),
        argv=_argv(launch.job, max((worker.argv for worker in workers), key=lambda argv: len("".join(argv)))),
        environment={**shared, **own, **dict.fromkeys(CHANNEL_NAMES, ""), ROOM_VARIABLE: room},
        own_names=(*names, ROOM_VARIABLE),
    )


def _values(worker: Worker, names: Sequence[str], inherited: Mapping[str, str]) -> list[str]:
    return [worker.environment.get(name, inherited.get(name, "")) for name in names]


def _argv(job: Job, argv: Sequence[str]) -> tuple[str, ...]:
    """A worker's command with our runner between its interpreter and its program."""
    if job.runner:
        return tuple(argv)
    package = job.module_path.rpartition("/")[0].rpartition("/")[0]
    return (*argv[:2], package + RUN_SCRIPT, *argv[2:])


def fork_request(
    template: Template,
    launch: Launch,
    place: int,
    inherited: Mapping[str, str],
    channel: Mapping[str, str],
    *,
    answers: bool = False,
) -> dict[str, object]:
    """What a template is told to fork a worker.

    Args:
        template: forks it.
        launch: what is to be started.
        place: the worker's.
        inherited: the launcher's environment.
        channel: the variables by which the worker finds its own.
        answers: what the template has cost so far is reported by this worker.
    """
    worker = launch.workers[place]
    theirs = {**inherited, **worker.environment}
    for name in (MODE_VARIABLE, THREADS_VARIABLE, ROOM_VARIABLE):  # our caller may run in a template itself
        theirs.pop(name, None)
    threads = theirs.get(OPENMP_THREADS, "").partition(",")[0]  # the first of nested ones
    return {
        "index": worker.instance.index,
        "answers": answers,
        "cpus": sorted(worker.instance.cpus),
        "argv": list(worker.argv),
        "words": list(_argv(launch.job, worker.argv)[3:]),
        "threads": int(threads) if threads.isdecimal() else 0,
        "environment": {**{name: theirs.get(name) for name in template.own_names}, **channel},
    }
