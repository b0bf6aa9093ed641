"""Labs as fixtures: each test has hosts of its own, which are idle and reachable; it skips where there can be none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.several_hosts.lab import Lab, three_hosts
from tests.several_hosts.ray_lab import RayLab, start_ray
from tests.several_hosts.remote_shell import RemoteShell, start_remote_shell
from tests.several_hosts.slurm_lab import SlurmLab, start_slurm


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Three hosts; their first processes and nothing else."""
    folder = tmp_path / "lab"
    folder.mkdir()
    with three_hosts(folder) as hosts:
        yield hosts


@pytest.fixture
def slurm(lab: Lab) -> SlurmLab:
    """Slurm on them."""
    return start_slurm(lab)


@pytest.fixture
def remote_shell(lab: Lab) -> RemoteShell:
    """sshd on them; for sshfs and mpirun."""
    return start_remote_shell(lab)


@pytest.fixture
def ray(lab: Lab) -> RayLab:
    """Ray on them."""
    return start_ray(lab)
