"""A Ray cluster on the lab's hosts: the head on the first, a raylet on each, with whatever Ray `.venv-ray` has.

    ray = start_ray(lab)
    ray.run([ray.python, "driver.py"])

Drivers, workers and raylets trust each other by a token of the lab's own. Each host says that it has the cpus of this
machine, and the resource `host_NAME`.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.several_hosts.lab import ROOT, WAIT_S, Lab, wait_for

ENVIRONMENT = ROOT / ".venv-ray"
PORT = 6379
OBJECT_STORE_BYTES = 80_000_000
"""The least that Ray takes is 75 MB."""


@dataclass(frozen=True)
class RayLab:
    """A cluster all of whose hosts are there."""

    lab: Lab
    token: str

    @property
    def python(self) -> str:
        """An interpreter that has Ray."""
        return str(ENVIRONMENT / "bin" / "python")

    @property
    def variables(self) -> dict[str, str]:
        """With which drivers find it, and are let in."""
        return {
            "RAY_ADDRESS": f"{self.lab.address(self.lab.names[0])}:{PORT}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
        }

    def run(
        self, words: Sequence[str | Path], *, host: str = "h1", env: Mapping[str, str] | None = None,
        timeout_s: float = 3 * WAIT_S,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """As `Lab.run`, on the first host where no other is named."""
        return self.lab.run(host, words, env={**self.variables, **(env or {})}, timeout_s=timeout_s)

    def start_host(self, host: str) -> None:
        """Start what Ray runs on a host, also of one that was off."""
        first = host == self.lab.names[0]
        role = ["--head", f"--port={PORT}", "--include-dashboard=false", "--temp-dir=/run/tmp/ray"]
        with open(self.lab.folder / f"ray-{host}.log", "w") as log:
            self.lab.on(
                host,
                [
                    *(ENVIRONMENT / "bin" / "ray", "start", "--block", "--disable-usage-stats"),
                    *(role if first else [f"--address={self.variables['RAY_ADDRESS']}"]),
                    f"--node-ip-address={self.lab.address(host)}",
                    f"--num-cpus={len(os.sched_getaffinity(0))}",
                    f'--resources={{"host_{host}": 1}}',
                    f"--object-store-memory={OBJECT_STORE_BYTES}",
                ],
                env=self.variables,
                stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def living(self) -> int:
        """How many hosts are in the cluster."""
        done = self.run([ENVIRONMENT / "bin" / "ray", "status"])
        return sum(line.startswith(" 1 node_") for line in done.stdout.splitlines())


def start_ray(lab: Lab) -> RayLab:
    """Start the cluster and wait until all hosts are in it; skips the test where there is no Ray."""
    if not (ENVIRONMENT / "bin" / "ray").exists():
        pytest.skip("there is no Ray: make env-ray")
    cluster = RayLab(lab, secrets.token_hex(20))
    for host in lab.names:
        cluster.start_host(host)
    wait_for("all hosts in Ray's cluster", lambda: cluster.living() == len(lab.names), 5 * WAIT_S)
    return cluster
