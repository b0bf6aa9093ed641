"""A launcher's end of the status channel, small enough to see what a worker really says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what ipexlaunch gives its workers."""
    return {name: value for name, value in environment.items() if not name.startswith("IPEXLAUNCH_")}


def talk_to(command: Sequence[str], cwd: str) -> list[dict[str, Any]]:
    """Run a worker against the real protocol: answer ready with go and finished with exit; return what it said."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        environment = without_launcher(os.environ) | {
            "IPEXLAUNCH_STATUS_FD": str(theirs.fileno()),
            "IPEXLAUNCH_STATUS_INODE": str(os.fstat(theirs.fileno()).st_ino),
        }
        process = subprocess.Popen(command, cwd=cwd, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()
        said: list[dict[str, Any]] = []
        for line in ours.makefile("r"):
            said.append(json.loads(line))
            answer = {"ready": "go", "finished": "exit"}.get(said[-1]["event"])
            if answer:
                ours.sendall(json.dumps({"command": answer}).encode() + b"\n")
        assert process.wait(timeout=60) == 0
    return said
