"""Inside a guest: runs with --confine, as root, as a user with a delegated cgroup, and where none is to be had.

    python -m tests.guest.confined_view

Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.guest.container_view import SCRIPT
from tests.guest.driver import LAUNCHER
from tests.guest.shape import Shape

SHAPE = Shape(about="two nodes of two cores", sockets=2, nodes_per_socket=1, cores_per_node=2)
ROOT = Path("/sys/fs/cgroup")
STRAY = str(Path(__file__).with_name("stray_worker.py"))
REFUSE = [sys.executable, "-I", "-S", str(Path(__file__).with_name("refuse_memory_policy.py"))]
USER = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"]
ALONE = ("--ninstances", "1")
UPPER = ("--cores-list", "2-3", "--lost-time", "1")
MOUNTS = ["unshare", "--mount", "sh", "-c"]
SPACES = ["unshare", "--mount", "--cgroup", "sh", "-c"]
WAIT_S = 300.0

Json = object


def main() -> None:
    """Collect and print."""
    sections: dict[str, Callable[[], Json]] = {
        "root": lambda: ran("stray"),
        "refused_policy": lambda: ran("stray", before=REFUSE),
        "preferred": lambda: ran("stray", "--memory-policy", "preferred"),
        "widened": lambda: ran("widen"),
        "narrowed": lambda: ran("narrow"),
        "vanished": lambda: ran("vanish", "--on-failure", "restart:1", *ALONE),
        "all_vanished": lambda: ran("vanish-whole", "--on-failure", "restart:1", *ALONE),
        "nested": lambda: ran("stray", before=[*LAUNCHER, "--confine", "yes", *ALONE, *UPPER, "--no-python"]),
        "killed": killed,
        "leftover": leftover,
        "batch": batch,
        "tune": tune,
        "hidden": lambda: ran("nothing", *ALONE, before=[*SPACES, 'exec "$@"', str(ROOT)], group="box"),
        "read_only": lambda: ran(
            "nothing", *ALONE, before=[*MOUNTS, 'mount -o remount,ro,bind $0; exec "$@"', str(ROOT)]
        ),
        "unmounted": lambda: ran("nothing", *ALONE, before=[*MOUNTS, 'umount $0; exec "$@"', str(ROOT)]),
        "user": user,
        "namespace": lambda: ran(
            "stray", before=[*SPACES, 'umount $0; mount -t cgroup2 none $0; exec "$@"', str(ROOT)], group="box"
        ),
        "undelegated": lambda: ran("nothing", *ALONE, before=USER, group="elsewhere"),
        "undelegated_yes": lambda: ran("nothing", "--confine", "yes", before=USER, group="elsewhere"),
    }
    found = {}
    for name in sys.argv[1:] or sections:
        began = time.monotonic()
        found[name] = sections[name]()
        print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    print(json.dumps(found))


def ran(deed: str, *options: str, before: list[str] | None = None, group: str = "") -> dict[str, Json]:
    """A run to its end, with its report and what it left behind."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        os.chmod(directory, 0o777)
        report = Path(directory, "report.json")
        # A daemon that has cleared its environment counts as another program.
        defaults = {"--confine": "auto", "--ninstances": "2", "--lost-time": "1"}
        usual = [word for name, value in defaults.items() if name not in options for word in (name, value)]
        words = [*LAUNCHER, *usual, *options, "--report", str(report), STRAY, deed, directory]
        done = started([*(before or []), *words], group)
        stdout, stderr = done.communicate(timeout=WAIT_S)
        told = json.loads(report.read_text()) if report.exists() else None
    return {"status": done.returncode, "stdout": stdout, "stderr": stderr, "report": told, **left()}


def started(words: list[str], group: str = "") -> subprocess.Popen[str]:
    """A program in a cgroup below the root; "" for the root itself."""
    place = ROOT / group
    place.mkdir(exist_ok=True)
    script = f'echo 0 > {place}/cgroup.procs; exec "$@"'
    return subprocess.Popen(
        ["sh", "-c", script, "sh", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL, env={**os.environ, "HOME": "/dev/shm", "XDG_RUNTIME_DIR": "/dev/shm"},
    )  # fmt: skip


def left() -> dict[str, Json]:
    """Which cgroups of runs are there, and which controllers the root hands down."""
    groups = [str(path.relative_to(ROOT)) for path in ROOT.rglob("ipexlaunch-*") if path.is_dir()]
    return {"left": groups, "handed_down": (ROOT / "cgroup.subtree_control").read_text().split()}


def killed() -> Json:
    """A launcher that is killed, while its workers hang and have daemons, and another run has come and gone."""
    with tempfile.TemporaryDirectory() as directory:
        launcher = started([*LAUNCHER, "--confine", "yes", "--ninstances", "1", STRAY, "hang", directory])
        ready = Path(directory, "ready")
        wait(lambda: ready.exists() and ready.read_text())
        place, daemon = ready.read_text().split()
        beside = ran("nothing", *ALONE)
        inside = {
            path.name: (path / "cgroup.threads").read_text().split() for path in Path(place).iterdir() if path.is_dir()
        }
        launcher.send_signal(signal.SIGKILL)
        launcher.communicate(timeout=WAIT_S)
        wait(lambda: not Path(place).exists() and not left()["handed_down"])
        alive = [pid for pids in inside.values() for pid in pids if Path("/proc", pid).exists()]
        return {"inside": inside, "daemon": daemon, "alive": alive, "beside": beside, **left()}


def leftover() -> Json:
    """What launcher and guardian have left that were killed together, and what the next run makes of it."""
    dead = ROOT / "ipexlaunch-1-00000000"
    (dead / "0").mkdir(parents=True)
    done = ran("nothing", "--ninstances", "1")
    return {**done, "dead": dead.exists()}


def wait(condition: Callable[[], object]) -> None:
    """Until it holds."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen")
        time.sleep(0.05)


def batch() -> Json:
    """A job of twenty items."""
    with tempfile.TemporaryDirectory() as directory:
        source, output, script = (Path(directory, name) for name in ("in.jsonl", "out.jsonl", "double.py"))
        report = Path(directory, "report.json")
        source.write_text("".join(f'{{"n": {n}}}\n' for n in range(20)))
        script.write_text(SCRIPT)
        words = [
            "batch",
            "--ninstances",
            "2",
            "--confine",
            "yes",
            "--report",
            str(report),
            "--input",
            str(source),
            "--output",
            str(output),
        ]
        done = started([*LAUNCHER[: LAUNCHER.index("run")], *words, str(script)])
        _, stderr = done.communicate(timeout=WAIT_S)
        told = json.loads(report.read_text()) if report.exists() else None
        rows = output.read_text().splitlines() if output.exists() else []
        return {"status": done.returncode, "stderr": stderr, "report": told, "rows": rows, **left()}


def tune() -> Json:
    """A search of some seconds, whose trials are confined."""
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "count.py")
        script.write_text("from ipexlaunch import worker\nworker.ready()\nworker.tell(x=1)\n"
                          "open('/proc/self/cgroup').read().index('/ipexlaunch-')\n"
                          "for _ in range(10): worker.count(1)\nworker.finish()\n")  # fmt: skip
        words = [
            "tune",
            "--confine",
            "yes",
            "--budget",
            "5",
            "--ninstances",
            "2",
            "--memory-policy",
            "bind",
            str(script),
        ]
        done = started([*LAUNCHER[: LAUNCHER.index("run")], *words])
        stdout, stderr = done.communicate(timeout=WAIT_S)
        return {"status": done.returncode, "stdout": stdout, "stderr": stderr, **left()}


def user() -> Json:
    """An ordinary user in a cgroup that is delegated as systemd does it, with memory accounted above."""
    for folder in Path(sys.executable).resolve().parents:
        os.chmod(folder, 0o755)  # of the guest alone
    (ROOT / "cgroup.subtree_control").write_text("+cpuset +memory")
    job = ROOT / "job"
    job.mkdir()
    for path in (job, *(job / name for name in ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control"))):
        os.chown(path, 1000, 1000)
    done = ran("stray", before=USER, group="job")
    return {**done, "kind": (job / "cgroup.type").read_text().strip(), "peak": int((job / "memory.peak").read_text())}


if __name__ == "__main__":
    main()
