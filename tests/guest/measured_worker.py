"""A worker of `ipexlaunch run`: touches memory, takes part in the measurement, starts a child, tells where all are.

    ipexlaunch run measured_worker.py MIB CHILD_MIB DIRECTORY

Writes DIRECTORY/INDEX.json: what touch_memory.py tells of the worker and, under "grandchild", of a program that a shell
of the last worker started; with CHILD_MIB 0 there is none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ipexlaunch import worker
from tests.guest.touch_memory import touched

TOUCH_MEMORY = str(Path(__file__).with_name("touch_memory.py"))
SHELL = '"$0" -I -S "$1" "$2"; exit $?'
"""The second command keeps the shell from replacing itself with the first."""


def main() -> None:
    """Touch, be measured, tell."""
    mib, child_mib, directory = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    with touched(mib) as found:
        worker.ready()
        if child_mib != "0" and worker.index == worker.count_of_workers - 1:
            command = ["sh", "-c", SHELL, sys.executable, TOUCH_MEMORY, child_mib]
            found["grandchild"] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        worker.count(items=1)
        worker.finish()
    (directory / f"{worker.index}.json").write_text(json.dumps(found))


main()
