"""The worker's three calls, in processes of their own: alone, and with a launcher's channel."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import ipexlaunch

pytestmark = pytest.mark.process

FOLDER = str(Path(ipexlaunch.__file__).parent / "worker" / "import_path")


def run_script(script: str, channel: socket.socket | None = None, **variables: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": FOLDER, **variables}
    descriptors = []
    if channel is not None:
        environment["IPEXLAUNCH_STATUS_FD"] = str(channel.fileno())
        environment.setdefault("IPEXLAUNCH_STATUS_INODE", str(os.fstat(channel.fileno()).st_ino))
        descriptors = [channel.fileno()]
    # -S: no site-packages, so that nothing but the folder can provide the module.
    return subprocess.Popen(
        [sys.executable, "-S", "-c", script],
        env=environment,
        pass_fds=descriptors,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


COUNT = """
from ipexlaunch import worker
worker.ready()
for _ in range(3):
    worker.count(items=4, tokens=5)
summary = worker.finish()
print(summary.items, summary.tokens, summary.seconds > 0, worker.index, worker.count_of_workers)
"""


def test_a_script_runs_alone_with_nothing_but_the_standard_library() -> None:
    assert outcome(run_script(COUNT)) == (0, "12 15 True 0 1\n", "")


def test_the_module_loads_without_the_launchers_dependencies_or_anything_heavy() -> None:
    heavy = "{'click', 'yaml', 'pydantic', 'psutil'}"
    script = f"import sys\nfrom ipexlaunch import worker\nprint(sorted({heavy} & set(sys.modules)))"
    assert outcome(run_script(script)) == (0, "[]\n", "")


def test_under_a_launcher_it_waits_for_the_start_and_sends_what_it_counts() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = run_script(COUNT, theirs, IPEXLAUNCH_INDEX="3", IPEXLAUNCH_COUNT="8")
        lines = ours.makefile("r")
        assert json.loads(lines.readline())["event"] == "ready"
        ours.sendall(b'{"command":"go","time":1}\n')
        progress = json.loads(lines.readline())
        assert progress["items"] == [4, 4, 4]
        assert progress["tokens"] == [5, 5, 5]
        assert progress["times"] == sorted(progress["times"])
        assert all(latency >= 0 for latency in progress["latencies_s"])
        assert json.loads(lines.readline())["event"] == "finished"
        assert process.poll() is None
        ours.sendall(b'{"command":"exit"}\n')
        assert outcome(process) == (0, "12 15 True 3 8\n", "")


@pytest.mark.parametrize("end", ["worker.finish()", "", "raise SystemExit(3)"])
def test_it_leaves_no_file_open_and_warns_of_nothing(end: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        script = f"from ipexlaunch import worker\nworker.ready()\nworker.count()\n{end}"
        process = run_script(script, theirs, PYTHONDEVMODE="1", PYTHONWARNDEFAULTENCODING="1")
        ours.sendall(b'{"command":"go"}\n{"command":"exit"}\n')
        assert outcome(process)[::2] == (3 if "3" in end else 0, "")


def test_whatever_is_a_whole_number_is_counted_as_one() -> None:
    ours, theirs = socket.socketpair()
    like_an_array = "type('Scalar', (), {'__index__': lambda self: 7})()"
    with ours, theirs:
        process = run_script(
            "from ipexlaunch import worker\nworker.ready()\n"
            f"worker.count(items={like_an_array}, latency_s=True)\nworker.finish()",
            theirs,
        )
        lines = ours.makefile("r")
        assert json.loads(lines.readline())["event"] == "ready"
        ours.sendall(b'{"command":"go","time":1}\n')
        progress = json.loads(lines.readline())
        assert (progress["items"], progress["latencies_s"]) == ([7], [1.0])
        ours.sendall(b'{"command":"exit"}\n')
        assert outcome(process) == (0, "", "")


def test_a_script_that_forgets_finish_still_sends_its_counts() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = run_script("from ipexlaunch import worker\nworker.ready()\nworker.count(7)", theirs)
        lines = ours.makefile("r")
        ours.sendall(b'{"command":"go"}\n{"command":"exit"}\n')
        events = [json.loads(lines.readline()) for _ in range(3)]
        assert [event["event"] for event in events] == ["ready", "progress", "finished"]
        assert outcome(process)[0] == 0


def test_a_child_that_did_not_inherit_the_channel_writes_to_no_other_file(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, open(tmp_path / "mine.txt", "w") as file:
        inode = str(os.fstat(theirs.fileno()).st_ino)
        os.dup2(file.fileno(), 57)
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", COUNT],
            env={"PYTHONPATH": FOLDER, "IPEXLAUNCH_STATUS_FD": "57", "IPEXLAUNCH_STATUS_INODE": inode},
            pass_fds=[57],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert outcome(process)[0] == 0
        os.close(57)
    assert (tmp_path / "mine.txt").read_text() == ""


def test_a_launcher_that_goes_away_before_the_start_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = run_script(COUNT, theirs)
        ours.makefile("r").readline()
        ours.close()
        theirs.close()
        code, _, err = outcome(process)
    assert code == 1
    assert "went away" in err


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("worker.count()", "before ready()"),
        ("worker.finish()", "before ready()"),
        ("worker.ready(); worker.ready()", "called twice"),
        ("worker.ready(); worker.finish(); worker.count()", "after finish()"),
        ("worker.ready(); worker.count(items=-1)", "ValueError: count(items=-1, tokens=0, latency_s=None)"),
        ("worker.ready(); worker.count(latency_s=float('nan'))", "latency_s=nan): numbers from 0 are counted"),
        ("worker.ready(); worker.count(10**30)", "numbers from 0 are counted, below 10^15"),
        ("worker.ready(); worker.count(items=2.5)", "'float' object cannot be interpreted as an integer"),
    ],
)
def test_calls_that_cannot_be_counted_say_why(script: str, message: str) -> None:
    code, _, err = outcome(run_script(f"from ipexlaunch import worker\n{script}"))
    assert code == 1
    assert message in err
