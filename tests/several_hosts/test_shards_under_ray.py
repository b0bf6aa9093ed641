"""`shards submit --engine ray` as a person uses it: a real Ray that loses a host in the middle of a shard.

Without `make env-ray` these are skipped, in CI too, which does not make that environment: hence no mark `hosts`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.several_hosts.lab import Lab, wait_for
from tests.several_hosts.ray_lab import RayLab
from tests.several_hosts.shard_jobs import make_job

pytestmark = [pytest.mark.ray, pytest.mark.process, pytest.mark.slow]


@pytest.mark.parametrize("befalls", [Lab.power_off, Lab.link_down], ids=["its power is off", "its link is down"])
def test_ray_does_every_item_once_though_a_host_is_lost(
    befalls: Callable[[Lab, str], None], ray: RayLab, tmp_path: Path
) -> None:
    job = make_job(tmp_path / "job", items=240, seconds=0.1)
    words = [ray.python, "-m", "ipexlaunch", "shards", "submit", "job", "--engine", "ray"]
    driver = ray.lab.on(
        "h1", words, cwd=job.folder, env=ray.variables,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    wait_for("a shard in the middle on h3", lambda: bool(job.shards_of("h3")), 120)
    (lost,) = job.shards_of("h3")
    befalls(ray.lab, "h3")
    said, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0, said
    assert job.rows() == job.expected
    # A host that only lost its link goes on, and may be done before it is given up: then it is its attempt that counts.
    assert len(job.attempts(lost)) == 2 or befalls is Lab.link_down
    assert "6 of 6" in said
