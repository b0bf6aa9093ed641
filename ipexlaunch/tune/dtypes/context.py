"""Where candidates are measured, and what is kept of it: the owner of the cache of measurements.

A file of the cache holds for one host, software, plan and model shape.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.doctor.read import read_interpreter
from ipexlaunch.documents.read_text import read_text
from ipexlaunch.documents.write_file import check_directory, write_file
from ipexlaunch.errors import DocumentError, LaunchError
from ipexlaunch.errors.how_to_add import how_to_add
from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.preload_libraries import answer_of, interpreter_prefixes
from ipexlaunch.launch.run_record import Run
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.expectations import PACKAGES, Software
from ipexlaunch.models.engines.instruction_sets import Dispatch, dispatch
from ipexlaunch.models.engines.measurement import Measurement, from_row
from ipexlaunch.models.engines.model_job import is_random, shape_of
from ipexlaunch.models.user_directory import (
    cache_directory,
    digest,
    home_directory,
    homeless_directory,
    why_untrusted,
)
from ipexlaunch.plan.plan import Plan
from ipexlaunch.tune.dtypes.quiet_run import run_quietly

RunsQuietly = Callable[[Launch, Mapping[str, str], Callable[[str], None], str], Run]
"""Runs a launch: (launch, inherited, tell, directory for the workers' output)."""

SCHEMA = "ipexlaunch/measurements/1"

ELSEWHERE = "set XDG_CACHE_HOME, or use --no-cache"


def load_measurements(
    directory: str, key: Mapping[str, object], tell: Callable[[str], None]
) -> dict[Candidate, Measurement]:
    """What was measured before; empty where nothing was, or the file cannot be read, which is said.

    Args:
        directory: of the cache; "" for none.
        key: everything that decides over the figures, as JSON can hold it.
        tell: says a line to the user.
    """
    if not directory:
        return {}
    path = _path(directory, key)
    try:
        if problem := why_untrusted(directory, code=False) or why_untrusted(path, code=False):
            raise ValueError(problem)
        if not os.path.lexists(path):
            return {}
        document = json.loads(read_text(path))
        if document["schema"] != SCHEMA or document["key"] != key:
            raise ValueError("it is of another version or another host")
        found = [from_row(row) for row in document["measurements"]]
    except (DocumentError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        tell(f"{path} holds no measurements that can be used ({error}), so they are made again")
        return {}
    return {each.candidate: each for each in found}


def check_cache_writable(directory: str) -> None:
    """Find out before anything is measured that it could not be kept.

    Args:
        directory: of the cache; "" for none.

    Raises:
        LaunchError: no file can be written there.
    """
    if directory:
        check_directory(directory, "measurements", ELSEWHERE)


def store_measurements(directory: str, key: Mapping[str, object], measurements: Sequence[Measurement]) -> None:
    """Keep measurements; what did not run is left out, for the next time may find it repaired.

    Args:
        directory: of the cache, made where it is not there; "" for none.
        key: as for `load_measurements`.
        measurements: all that are known for the key.

    Raises:
        LaunchError: the file cannot be written.
    """
    if not directory:
        return
    path = _path(directory, key)
    rows = [asdict(each) for each in measurements if not each.problem]
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    document = {"schema": SCHEMA, "key": dict(key), "written": written, "measurements": rows}
    try:
        write_file(path, json.dumps(document, indent=1))
    except OSError as error:
        raise LaunchError(f"keep measurements in {directory}", str(error.strerror), ELSEWHERE) from None


def _path(directory: str, key: Mapping[str, object]) -> str:
    return os.path.join(directory, f"{digest(key)}.json")


ASK = """
import importlib.metadata, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
print(json.dumps([version(name) for name in sys.argv[1:]]))
"""


def installed_software(python: str) -> Software:
    """The versions in an interpreter's environment; what its folders do not show, it is asked for.

    PYTHONPATH, .pth files and a user's own folder bring packages from elsewhere (the documentation of `site`).

    Args:
        python: its path, or a name that is looked up as a shell would.

    Raises:
        LaunchError: it is not there, or is no Python whose folders can be found.
    """
    path = shutil.which(python) or python
    found = read_interpreter(path, interpreter_prefixes(path))
    packages = {} if isinstance(found, Unavailable) else found.packages
    versions = {field: packages[package].value for field, package in PACKAGES.items() if package in packages}
    versions["adding"] = how_to_add("EXTRA", interpreter_prefixes(path)[0])
    if "torch" in versions and "ipex" in versions:
        return Software(**versions)
    asked = ask_versions(path, PACKAGES.values())
    if asked is None and isinstance(found, Unavailable):
        raise LaunchError(f"see what {python} has installed", found.problem, "name the workers' Python with --python")
    more = {field: asked[package] for field, package in PACKAGES.items() if asked and package in asked}
    return Software(**{**versions, **more})


def ask_versions(python: str, packages: Iterable[str]) -> dict[str, str] | None:
    """The versions of those packages that an interpreter says it finds; None where it does not answer.

    Args:
        python: its path.
        packages: names on the package index.
    """
    names = list(packages)
    told = answer_of((python, "-c", ASK, *names), os.environ)
    try:
        versions = json.loads(told) if told else None
    except ValueError:  # something of its site prints at its end
        return None
    if not isinstance(versions, list) or len(versions) != len(names):
        return None
    return {name: version for name, version in zip(names, versions, strict=True) if version}


def model_fingerprint(model: str) -> str:
    """Of a directory: a hash over config.json and the names and sizes of the weights; of random:NAME: itself.

    Args:
        model: as a ModelJob has it. One that cannot be read is named by its path; loading it will say what is wrong.
    """
    if is_random(model):
        return model
    digest = hashlib.sha256()
    try:
        with open(os.path.join(model, "config.json"), "rb") as file:
            digest.update(file.read())
        for entry in sorted(os.scandir(model), key=lambda entry: entry.name):
            if entry.name.endswith(".safetensors"):
                digest.update(f"{entry.name}:{entry.stat().st_size};".encode())
    except OSError:
        return os.path.abspath(model)
    return digest.hexdigest()[:32]


HIDDEN_SIZES = ("hidden_size", "d_model", "n_embd", "dim")
"""What architectures call the numbers of a token's state."""


def hidden_size_of(model: str) -> int | None:
    """Numbers of a token's state, by the model's configuration; None where it does not tell.

    Args:
        model: as a ModelJob has it. One that cannot be read tells nothing; loading it will say what is wrong.
    """
    try:
        if is_random(model):
            config: object = shape_of(model).fields
        else:
            with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
                config = json.load(file)
    except (OSError, ValueError):
        return None
    sizes = (config.get(name) for name in HIDDEN_SIZES) if isinstance(config, Mapping) else ()
    return next((size for size in sizes if isinstance(size, int)), None)


def text_fingerprint(path: str) -> str:
    """A hash over a file of texts, wherever it lies; "" for none.

    Args:
        path: as a ModelJob has it. One that cannot be read is named by its path; reading it will say what is wrong.
    """
    if not path:
        return ""
    seen = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                seen.update(block)
    except OSError:
        return path
    return seen.hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class MeasureContext:
    """Everything that decides how fast a candidate is, the model aside."""

    topology: Topology
    plan: Plan
    job: Job
    """How the run itself would start its workers; only the program is another."""
    software: Software
    inherited: Mapping[str, str] = field(default_factory=dict)
    """The launcher's own variables."""
    cache: str = ""
    """Directory of what was measured before; "" to measure again and keep nothing."""
    tell: Callable[[str], None] = print
    """Says a line to the user."""
    run: RunsQuietly = run_quietly
    """Runs a launch: (launch, inherited, tell, directory for the workers' output)."""

    @property
    def dispatch(self) -> Dispatch:
        """What each library may use of the processor."""
        return dispatch(self.topology.isa, {**self.inherited, **self.job.environment})


def make_measure_context(
    topology: Topology,
    plan: Plan,
    job: Job,
    inherited: Mapping[str, str],
    tell: Callable[[str], None],
    *,
    use_cache: bool = True,
    run: RunsQuietly = run_quietly,
) -> MeasureContext:
    """The ground of this host.

    Args:
        topology: the live machine.
        plan: its instances; those that it chooses are measured, all at once.
        job: how the run would start its workers.
        inherited: the launcher's own variables.
        tell: says a line to the user.
        use_cache: take what was measured before, and keep what is measured now.
        run: runs the workers that measure.

    Raises:
        LaunchError: the workers' interpreter cannot be looked into, or measurements cannot be kept.
    """
    if use_cache and not os.path.isabs(inherited.get("XDG_CACHE_HOME", "")) and not home_directory(inherited):
        tell(f"there is no home directory: what is measured and compiled is kept in {homeless_directory()}")
    cache = cache_directory(inherited) if use_cache else ""
    check_cache_writable(cache)
    return MeasureContext(
        topology=topology,
        plan=plan,
        job=job,
        software=installed_software(job.python),
        inherited=inherited,
        cache=cache,
        tell=tell,
        run=run,
    )
