"""Facts: everything that the doctor judges, gathered by others; a fact that could not be had is an `Unavailable`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.doctor.host_files_read import HostFiles, Unavailable, Undecidable
from ipexlaunch.machine.topology import Topology

Fact = TypeVar("Fact")

LibraryKind = Literal["openmp", "allocator"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPolicy:
    """The memory policy that this process inherited, and whether it may set one."""

    policy: str
    """As /proc/PID/numa_maps has it: "default", "bind:0", "interleave:0-1"; empty where the kernel does not tell."""
    source: str = "get_mempolicy(2)"
    """Who told it."""
    trial: str = ""
    """What was tried to learn whether it can be set, e.g. "bind:0-1 accepted"."""
    refusal: str = ""
    """Why the kernel refused that, e.g. "Operation not permitted"; empty where it did not."""


@dataclass(frozen=True, slots=True)
class Library:
    """One shared library that a worker could load."""

    kind: LibraryKind
    family: str
    """"iomp5", "gomp", "omp", "jemalloc" or "tcmalloc"."""
    path: str
    package: str = ""
    """The Python package that brings it; empty for one that several programs share."""
    why: str = ""
    """Why no program starts with it preloaded; "" where one does, or where nobody has tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRuntimes:
    """The OpenMP runtimes that a running process has mapped."""

    pid: int
    paths: tuple[str, ...]
    with_threads: tuple[str, ...] | None = None
    """Those of them that have threads; None where the kernel does not tell."""
    preloaded: tuple[str, ...] = ()
    """Libraries of its LD_PRELOAD: their functions are found before those of any other."""
    cpu_s: float | None = None
    """Processor time that it has taken; None where the kernel does not tell."""
    anonymous_bytes: int | None = None
    """Its memory that is in no file; likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The Python that would run the workers, as its files tell (it is not started)."""

    path: str
    version: str
    """"3.11", or empty where the files do not tell."""
    packages: Mapping[str, Evidence] = field(default_factory=dict)
    """Normalised name of a package to its version and the folder that says so."""


@dataclass(frozen=True, slots=True)
class FileSystemSize:
    """Size of a file system in bytes."""

    path: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A cgroup's limit, and the file that sets it."""

    path: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class NumaPackage:
    """What the `numa` package of the registry says, where it can be imported."""

    path: str
    count: int | None = None
    """Number of nodes with memory (numa_num_configured_nodes(3)); None where it does not tell."""
    highest_id: int | None = None
    """Highest node id (numa_max_node(3)); None where it does not tell. Without either there is no NUMA for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFile:
    """Where the page cache holds one file. Counted pages are pages that were mapped to learn their node."""

    path: str
    size_bytes: int
    asked_pages: int
    """Pages of which the kernel was asked whether they are cached (all of a small file, evenly spread ones else)."""
    cached_pages: int
    """Those of them that are."""
    pages_by_node: Mapping[int, int]
    """Node to the number of counted pages that lie there; empty where nothing is cached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One host as the doctor sees it."""

    files: HostFiles
    topology: Topology | Unavailable
    environment: Mapping[str, str] | Unavailable
    memory_policy: MemoryPolicy | Unavailable
    libraries: tuple[Library, ...] | Unavailable
    interpreter: Interpreter | Unavailable
    shared_memory: FileSystemSize | Unavailable
    numa_package: NumaPackage | Unavailable | None
    """None where no such package is installed."""
    memory_limit: MemoryLimit | Unavailable | None
    """The tightest limit of the cgroups above this process; None where there is none."""
    amx_refusal: str | Unavailable
    """Why this process was not given AMX when it asked; empty where it was."""
    throttling: tuple[Evidence, ...] = ()
    """How often each cgroup with a quota was stopped."""
    existing_paths: frozenset[str]
    """Of the paths that LD_PRELOAD names, those where a file is."""
    models: tuple[CachedFile | Unavailable, ...] = ()
    processes: tuple[LoadedRuntimes | Unavailable, ...] = ()

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment.

        Raises:
            CannotTell: it could not be read.
        """
        return require(self.environment)

    @property
    def machine(self) -> Topology:
        """The topology.

        Raises:
            CannotTell: it could not be read.
        """
        return require(self.topology)


def require(fact: Fact | Unavailable) -> Fact:
    """The fact itself.

    Raises:
        CannotTell: it could not be had.
    """
    if isinstance(fact, Unavailable):
        raise Undecidable(fact.problem, Evidence(fact.where, fact.problem))
    return fact
