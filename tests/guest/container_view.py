"""Inside a guest: run, batch and doctor on unlike nodes, then in a container whose files lxcfs replaces.

    python -m tests.guest.container_view

lxcfs itself is not needed: a file mounted over another is what a process sees of it. Prints one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ipexlaunch.cli.main import main as our_main
from tests.guest.driver import LAUNCHER, MEASURED_WORKER
from tests.guest.shape import Shape

SHAPE = Shape(
    about="three nodes of 4, 3 and 1 cores",
    sockets=3,
    nodes_per_socket=1,
    cores_per_node=4,
    node_mib=512,
    offline=frozenset({7, 9, 10, 11}),
)
CPUSET = "4-6"
"""Of the container: the second node."""
VIEWS = {"cpuset": CPUSET, "counted": "0-2"}
"""What cpu/online shows: the cpuset, or as many cpus as a quota pays for, from 0 on (lxcfs --enable-cfs)."""
ONLINE = "/sys/devices/system/cpu/online"
SCRIPT = """from ipexlaunch import worker
for batch in worker.batches():
    batch.done([2 * item["n"] for item in batch.items])
"""

Json = object


def main() -> None:
    """Collect and print."""
    sections = sys.argv[1:] or ["unlike", *VIEWS]
    found: dict[str, Json] = {"unlike": ran([], 8) if "unlike" in sections else None}
    enter_cpuset()
    for name, online in VIEWS.items():
        if name not in sections:
            continue
        for path, text in stand_ins(online).items():
            mount_over(path, text)
        found[name] = {
            "seen": Path(ONLINE).read_text().strip(),
            "topology": here(["topology", "--format", "json"]),
            "doctor": here(["doctor", "--format", "json"]),
            "run": ran([], 40),
            "batch": batch() if name == "cpuset" else None,
        }
        print(name, file=sys.stderr, flush=True)
    print(json.dumps(found))


def enter_cpuset() -> None:
    """Move this process into a cgroup of its own, as a container's processes are."""
    root = Path("/sys/fs/cgroup")
    (root / "cgroup.subtree_control").write_text("+cpuset")
    group = root / "container"
    group.mkdir()
    (group / "cpuset.cpus").write_text(CPUSET)
    (group / "cpuset.mems").write_text("1")
    (group / "cgroup.procs").write_text("0")


def stand_ins(online: str) -> dict[str, str]:
    """Path to what lxcfs shows there: the container's cpus numbered from 0, its memory, its load."""
    stat = "cpu  9 0 9 99 0 0 0 0 0 0\n" + "".join(f"cpu{n} 3 0 3 33 0 0 0 0 0 0\n" for n in range(3)) + "btime 1\n"
    first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    return {
        ONLINE: f"{online}\n",
        "/proc/cpuinfo": f"{first}\n\n",
        "/proc/stat": stat,
        "/proc/meminfo": "MemTotal: 262144 kB\nHugePages_Total: 0\nHugePages_Free: 0\nHugepagesize: 2048 kB\n",
        "/proc/loadavg": "0.00 0.00 0.00 1/9 99\n",
        "/proc/uptime": "5.00 5.00\n",
        "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
        "/proc/diskstats": "",
    }


def mount_over(path: str, text: str) -> None:
    """Mount a file with this text in the place of another."""
    with tempfile.NamedTemporaryFile("w", dir="/dev/shm", delete=False) as file:
        file.write(text)
    subprocess.run(["mount", "--bind", file.name, path], check=True)


def here(words: list[str]) -> dict[str, Json]:
    """One of our commands in this process: starting Python is dear in a guest."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = our_main(words)
    return {"status": status, "stdout": output.getvalue(), "stderr": ""}


def command(words: list[str]) -> dict[str, Json]:
    """One of our commands, to its end."""
    done = subprocess.run(
        [*LAUNCHER[: LAUNCHER.index("run")], *words], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def ran(options: list[str], mib: int) -> dict[str, Json]:
    """The main job with its report and what each worker saw of itself."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        words = ["run", "--report", str(report), *options, MEASURED_WORKER, str(mib), "0", directory]
        done = command(words)
        workers = {path.stem: json.loads(path.read_text()) for path in Path(directory).glob("[0-9]*.json")}
        return {**done, "report": json.loads(report.read_text()) if report.exists() else None, "workers": workers}


def batch() -> dict[str, Json]:
    """A job of twenty items."""
    with tempfile.TemporaryDirectory() as directory:
        source, output, script = (Path(directory, name) for name in ("in.jsonl", "out.jsonl", "double.py"))
        source.write_text("".join(f'{{"n": {n}}}\n' for n in range(20)))
        script.write_text(SCRIPT)
        done = command(["batch", "--input", str(source), "--output", str(output), str(script)])
        return {**done, "rows": output.read_text().splitlines() if output.exists() else []}


if __name__ == "__main__":
    main()
