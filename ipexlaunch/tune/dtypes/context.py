"""Where candidates are measured: the machine, its plan, and how its workers are started."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.run_record import Run
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.instruction_sets import Dispatch, dispatch
from ipexlaunch.models.engines.software import Software
from ipexlaunch.models.user_directory import home_directory, homeless_directory, user_directory
from ipexlaunch.plan.plan import Plan
from ipexlaunch.tune.dtypes.cache import check_place
from ipexlaunch.tune.dtypes.installed_packages import software_of
from ipexlaunch.tune.dtypes.quiet_run import run_quietly


@dataclass(frozen=True, kw_only=True)
class Ground:
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
    run: Callable[[Launch, Mapping[str, str], Callable[[str], None], str], Run] = run_quietly
    """Runs a launch: (launch, inherited, tell, directory for the workers' output)."""

    @property
    def dispatch(self) -> Dispatch:
        """What each library may use of the processor."""
        return dispatch(self.topology.isa, {**self.inherited, **self.job.environment})


def make_ground(
    topology: Topology,
    plan: Plan,
    job: Job,
    inherited: Mapping[str, str],
    tell: Callable[[str], None],
    *,
    use_cache: bool = True,
) -> Ground:
    """The ground of this host.

    Args:
        topology: the live machine.
        plan: its instances; those that it chooses are measured, all at once.
        job: how the run would start its workers.
        inherited: the launcher's own variables.
        tell: says a line to the user.
        use_cache: take what was measured before, and keep what is measured now.

    Raises:
        LaunchError: the workers' interpreter cannot be looked into, or measurements cannot be kept.
    """
    if use_cache and not os.path.isabs(inherited.get("XDG_CACHE_HOME", "")) and not home_directory(inherited):
        tell(f"there is no home directory: what is measured and compiled is kept in {homeless_directory()}")
    cache = cache_directory(inherited) if use_cache else ""
    check_place(cache)
    return Ground(
        topology=topology,
        plan=plan,
        job=job,
        software=software_of(job.python),
        inherited=inherited,
        cache=cache,
        tell=tell,
    )


def cache_directory(environment: Mapping[str, str]) -> str:
    """$XDG_CACHE_HOME/ipexlaunch/dtypes, or below ~/.cache (XDG Base Directory Specification 0.8).

    Args:
        environment: the process's variables; a relative path in XDG_CACHE_HOME is ignored, as the specification says.
    """
    return os.path.join(user_directory(environment, "XDG_CACHE_HOME", ".cache"), "ipexlaunch", "dtypes")
