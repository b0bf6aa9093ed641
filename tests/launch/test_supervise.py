"""Real workers, real signals, no sleeps: what is waited for is an event."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.launch.bind import held_to
from ipexlaunch.launch.job import Job, Worker
from ipexlaunch.launch.lifecycle import Event, Limits, begin, step
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.launch.placement.placement import Binding
from ipexlaunch.launch.read_host_counters import count_oom_kills
from ipexlaunch.launch.run_record import Run, Snapshot
from ipexlaunch.launch.supervise import OutputOptions, SupervisorCallbacks, supervise
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.launch.supervise.take_snapshot import closing_notes, of_instances
from ipexlaunch.launch.supervise.worker_process import WorkerProcess
from ipexlaunch.launch.throughput_regex import read_rule
from ipexlaunch.machine.proc_files import descendants
from ipexlaunch.measure.report import aggregate, read_report
from ipexlaunch.plan import Instance, Plan, Request

pytestmark = pytest.mark.process

FOLDER = str(Path(__file__).parents[2] / "ipexlaunch" / "worker" / "import_path")
CPUS = sorted(os.sched_getaffinity(0))


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        os.sched_yield()


def hold(cpus: frozenset[int], policy: str, nodes: frozenset[int]) -> AbstractContextManager[Binding]:
    return held_to(cpus, policy, nodes)


def run_workers(
    script: str,
    tmp_path: Path,
    count: int = 2,
    limits: Limits | None = None,
    kind: str = "script",
    watchers: Sequence[Observer] = (),
    showing: Mapping[str, Any] | None = None,
    proof_interval_s: float | None = None,
    chosen: str | None = None,
) -> tuple[Run, str, str, list[str]]:
    """(what happened, stdout, stderr, what was told to the user)."""
    instances = tuple(
        Instance(index=i, cpus=frozenset({CPUS[i % len(CPUS)]}), nodes=frozenset({0}), threads=1) for i in range(count)
    )
    plan = Plan(topology="0" * 16, request=Request(instance_idx=chosen), instances=instances, idle_cpus=frozenset())
    job = Job(program=program(tmp_path, script), kind=kind, python=sys.executable, module_path=FOLDER)  # type: ignore[arg-type]
    told: list[str] = []
    with open(tmp_path / "out", "w+b") as out, open(tmp_path / "err", "w+b") as err:
        inspector = Inspector()
        callbacks = SupervisorCallbacks(
            bind_thread=hold,
            read_placement=inspector,
            read_placement_if_cheap=inspector.glance,
            descendants=descendants,
            oom_kills=count_oom_kills,
            tell=told.append,
        )
        run = supervise(
            make_launch(plan, job, {}),
            callbacks,
            os.environ,
            limits or Limits(grace_s=5.0),
            OutputOptions(
                outputs=(out.fileno(), err.fileno()),
                logs={i: str(tmp_path / f"{i}.log") for i in range(count)},
                **(showing or {}),
            ),
            watchers,
            proof_interval_s,
        )
    return run, (tmp_path / "out").read_text(), (tmp_path / "err").read_text(), told


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_start_together_count_and_are_found_in_their_place(tmp_path: Path) -> None:
    script = (
        "from ipexlaunch import worker\nworker.ready()\nfor i in range(5): worker.count(items=2)\n"
        "print(worker.finish().items)"
    )
    run, out, err, told = run_workers(script, tmp_path)
    assert (run.exit_code, run.failures, err, told) == (0, (), "", [])
    assert sorted(out.splitlines()) == ["[0] 10", "[1] 10"]
    assert run.go is not None
    for record in run.records:
        assert record.ready is not None
        assert record.ready <= run.go <= min(record.samples.times)
        assert sum(record.samples.items) == 10
        assert [placement.cpus for placement in record.placements] == [record.instance.cpus] * 2
        assert record.cpu_s > 0
        assert Path(record.log).read_text() == "10\n"


def test_any_program_can_speak_the_protocol(tmp_path: Path) -> None:
    script = (
        "#!/bin/sh\nfd=$IPEXLAUNCH_STATUS_FD\n"
        """echo '{"event":"ready"}' >&$fd; read go <&$fd\n"""
        """echo '{"event":"progress","items":5}' >&$fd\n"""
        """echo '{"event":"finished"}' >&$fd; read exit <&$fd\n"""
        'echo "$exit"\n'
    )
    # As users run it: a POSIX shell needs a descriptor below 10, and this process has many open.
    result = ipexlaunch(program(tmp_path, script), "--report", str(tmp_path / "report.json"))
    assert result.returncode == 0, result.stderr
    assert result.stdout == '[0] {"command": "exit"}\n'
    report = read_report((tmp_path / "report.json").read_text(), "report.json")
    assert report.valid
    assert report.throughput.items == 5


def test_the_first_failure_stops_the_others_and_gives_the_exit_code(tmp_path: Path) -> None:
    script = "import os, sys, signal\nif os.environ['IPEXLAUNCH_INDEX'] == '1': sys.exit(5)\nsignal.pause()"
    run, _, _, told = run_workers(script, tmp_path)
    assert run.exit_code == 5
    assert [failure.index for failure in run.failures] == [1]
    assert run.records[0].exit_code == 128 + signal.SIGTERM
    assert told == ["instance 1 ended with exit code 5 (stopping the others)"]


def test_a_worker_that_ignores_term_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys, signal\nfrom ipexlaunch import worker\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "worker.ready()\nif worker.index == 1: sys.exit(5)\nsignal.pause()"
    )
    run, _, _, _ = run_workers(script, tmp_path, limits=Limits(grace_s=0.2))
    assert run.exit_code == 5
    assert run.records[0].exit_code == 128 + signal.SIGKILL


def test_a_stopped_worker_is_ended_too(tmp_path: Path) -> None:
    script = (
        "import os, sys, signal\nfrom ipexlaunch import worker\nworker.ready()\n"
        "if worker.index == 1: sys.exit(5)\nos.kill(os.getpid(), signal.SIGSTOP)"
    )
    run, _, _, _ = run_workers(script, tmp_path)
    assert run.exit_code == 5


def test_a_program_that_cannot_be_started_is_a_failure_with_the_shells_code(tmp_path: Path) -> None:
    run, _, _, told = run_workers("#!/does/not/exist\n", tmp_path, kind="executable")
    assert run.exit_code == 127
    assert "could not be started" in told[0]
    assert [record.pid for record in run.records] == [None, None]


def test_daemons_and_background_children_do_not_outlive_the_run(tmp_path: Path) -> None:
    result = ipexlaunch(program(tmp_path, "#!/bin/sh\nsetsid sleep 300 &\necho $!\nsleep 300 &\necho $!\n"))
    pids = [int(line.split()[1]) for line in result.stdout.splitlines()]
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
    assert "ended 2 processes that the workers had left behind" in result.stderr


def program(tmp_path: Path, script: str) -> str:
    path = tmp_path / "program"
    path.write_text(script)
    path.chmod(0o755)
    return str(path)


def ipexlaunch(path: str, *options: str) -> subprocess.CompletedProcess[str]:
    """One instance of an executable, as users run it."""
    command = [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", *options, "--no-python", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_nothing_waits_for_a_grandchild_that_keeps_the_pipes_open(tmp_path: Path) -> None:
    result = ipexlaunch(program(tmp_path, "#!/bin/sh\nsleep 1000 &\necho done\n"))
    assert result.returncode == 0
    assert result.stdout == "[0] done\n"


def test_much_output_reaches_the_log_whole(tmp_path: Path) -> None:
    script = "import sys\nfor i in range(200): sys.stdout.write(('x' * 99 + '\\n') * 1000)"
    run, _, _, _ = run_workers(script, tmp_path, count=1)
    assert Path(run.records[0].log).stat().st_size == 200 * 1000 * 100


def test_a_time_limit_ends_the_run(tmp_path: Path) -> None:
    run, _, _, told = run_workers("import signal; signal.pause()", tmp_path, limits=Limits(timeout_s=0.3, grace_s=5.0))
    assert run.exit_code == 124
    assert "--timeout" in told[0]


FAIL_ONCE = (
    "import os, pathlib, sys\nfrom ipexlaunch import worker\n"
    "mark = pathlib.Path(sys.argv[0] + str(worker.index))\nfirst = not mark.exists()\nmark.touch()\n"
    "if first and worker.index == 1: sys.exit(5)\n"
    "worker.ready()\nworker.count(3)\nworker.finish()\n"
)


def test_a_worker_that_failed_is_started_again(tmp_path: Path) -> None:
    limits = Limits(on_failure="restart", restarts=2, first_restart_s=0.1)
    run, _, _, told = run_workers(FAIL_ONCE, tmp_path, limits=limits)
    assert (run.exit_code, run.failures) == (0, ())
    assert [sum(record.samples.items) for record in run.records] == [3, 3]
    assert told == ["instance 1 ended with exit code 5; restart 1 in 0.1 s"]


def test_what_befell_one_worker_again_and_again_is_one_note() -> None:
    instance = Instance(index=4, cpus=frozenset({0}), nodes=frozenset({0}), threads=1)
    child = WorkerProcess(worker=Worker(instance=instance, argv=("true",), environment={}))
    for codes, note in (
        ([5], "instance 4 ended with exit code 5, restarted"),
        ([1] * 10, "instance 4 ended with exit code 1 10 times, restarted each time"),
        ([5, 5, 1], "instance 4 ended with exit code 5 2 times and ended with exit code 1, restarted each time"),
    ):
        state = begin(1, Limits(on_failure="restart", restarts=20), 0.0)
        for code in codes:
            state, _ = step(state, Event("tick", 1000.0))
            state, _ = step(state, Event("exited", 0.0, 0, code))
        assert closing_notes([child], state, {}) == [note]
        assert {failure.index for failure in of_instances(state.recovered, [child])} == {4}
        stopped, _ = step(state, Event("signalled", 1.0, code=15))
        (last,) = closing_notes([child], stopped, {})
        assert not last.endswith("each time")


def test_people_read_the_index_of_the_instance_wherever_only_some_are_started(tmp_path: Path) -> None:
    script = (
        "import os, sys\nprint('here', flush=True)\n"
        "if os.environ['IPEXLAUNCH_INDEX'] == '11':\n"
        "    os.write(int(os.environ['IPEXLAUNCH_STATUS_FD']), b'hello\\n')\n    sys.exit(5)\n"
        "import signal; signal.pause()"
    )
    watcher = Recorder()
    run, out, _, told = run_workers(script, tmp_path, count=12, watchers=[watcher], chosen="3,11")
    assert [record.instance.index for record in run.records] == [3, 11]
    assert {*out.splitlines()} <= {"[ 3] here", "[11] here"}
    assert "[11] here" in out
    assert [failure.index for failure in run.failures] == [11]
    assert told[0].startswith("instance 11 said something that is not understood")
    assert told[1:] == ["instance 11 ended with exit code 5 (stopping the others)"]
    assert watcher.snapshots[-1].failures == ("instance 11 ended with exit code 5",)
    report = aggregate(run)
    assert report.failed == {11}
    assert "instance 11 ended with exit code 5" in report.reasons


def test_a_worker_that_counts_nothing_any_more_is_a_failure(tmp_path: Path) -> None:
    script = (
        "import signal\nfrom ipexlaunch import worker\nworker.ready()\nworker.count()\n"
        "if worker.index: signal.pause()\nworker.finish()\n"
    )
    run, _, _, told = run_workers(script, tmp_path, limits=Limits(stall_timeout_s=3.0, grace_s=5.0))
    assert run.exit_code == 124
    assert told == ["instance 1 counted nothing for 3 s (--stall-timeout) (stopping the others)"]


def test_starts_can_be_staggered(tmp_path: Path) -> None:
    run, _, _, _ = run_workers("pass", tmp_path, count=3, limits=Limits(stagger_s=0.2))
    for place, record in enumerate(run.records):
        assert record.started >= run.started + 0.2 * place


def test_a_log_is_begun_anew_at_its_size(tmp_path: Path) -> None:
    script = "for i in range(1000): print('x' * 99, flush=True)"
    run, _, _, _ = run_workers(script, tmp_path, count=1, showing={"largest_log_bytes": 30_000})
    log = Path(run.records[0].log)
    assert 0 < log.stat().st_size <= 30_000
    assert 0 < Path(f"{log}.1").stat().st_size <= 30_000


def test_the_time_can_stand_before_each_line(tmp_path: Path) -> None:
    _, out, _, _ = run_workers("print('a\\nb')", tmp_path, count=1, showing={"stamp": lambda: b"12:34:56 "})
    assert out == "12:34:56 [0] a\n12:34:56 [0] b\n"


class Recorder(Observer):
    """A watcher that keeps what it is told."""

    interval_s: float | None = 0.05

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.reader, self.writer = os.pipe()
        self.answers: list[Snapshot] = []
        self.closed = False
        os.write(self.writer, b"?")

    def fileno(self) -> int | None:
        return self.reader

    def ready(self, now: Callable[[], Snapshot]) -> None:
        os.read(self.reader, 1)
        self.answers.append(now())

    def tick(self, now: Callable[[], Snapshot]) -> None:
        self.snapshots.append(now())

    def close(self) -> None:
        self.closed = True
        os.close(self.reader)
        os.close(self.writer)


def test_watchers_are_told_how_the_run_stands(tmp_path: Path) -> None:
    script = (
        "import time\nfrom ipexlaunch import worker\nprint('hello', flush=True)\nworker.ready()\n"
        "for _ in range(10):\n    time.sleep(0.05)\n    worker.count(2, tokens=3)\nworker.finish()\n"
    )
    watcher = Recorder()
    run_workers(script, tmp_path, watchers=[watcher])
    assert watcher.closed
    assert len(watcher.answers) == 1
    assert len(watcher.snapshots) > 3
    last = watcher.snapshots[-1]
    assert [worker.items for worker in last.workers] == [20, 20]
    assert [worker.tokens for worker in last.workers] == [30, 30]
    assert [worker.phase for worker in last.workers] == ["exited", "exited"]
    assert [worker.last_line for worker in last.workers] == ["hello", "hello"]
    assert any(snapshot.rate for snapshot in watcher.snapshots)
    assert any(worker.phase == "running" for snapshot in watcher.snapshots for worker in snapshot.workers)


def test_watchers_can_tell_the_worker_that_failed_from_those_that_were_stopped(tmp_path: Path) -> None:
    script = "import os, sys, time\nif os.environ['IPEXLAUNCH_INDEX'] == '1': sys.exit(7)\ntime.sleep(300)\n"
    watcher = Recorder()
    run_workers(script, tmp_path, watchers=[watcher])
    workers = watcher.snapshots[-1].workers
    assert [(worker.exit_code, worker.stopped, worker.failed) for worker in workers] == [
        (143, True, False),
        (7, False, True),
    ]


def test_a_worker_that_broke_a_limit_has_failed_though_it_was_stopped(tmp_path: Path) -> None:
    watcher = Recorder()
    run_workers("import time; time.sleep(300)", tmp_path, limits=Limits(timeout_s=0.3, grace_s=5.0), watchers=[watcher])
    assert [(worker.exit_code, worker.failed) for worker in watcher.snapshots[-1].workers] == [(143, True), (143, True)]


def test_workers_that_never_say_a_word_are_looked_at_too(tmp_path: Path) -> None:
    run, _, _, _ = run_workers("import time; time.sleep(3)", tmp_path, proof_interval_s=0.1)
    for record in run.records:
        assert record.placements
        assert all(placement.cpus == record.instance.cpus for placement in record.placements)


@pytest.mark.parametrize("held", [0, 70])
def test_hundreds_of_workers_have_room_for_their_descriptors(tmp_path: Path, held: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = [os.open(tmp_path, os.O_RDONLY) for _ in range(held)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, hard))
    try:
        run, out, _, _ = run_workers("#!/bin/sh\nulimit -Sn\n", tmp_path, count=100, kind="executable")
    finally:
        for other in others:
            os.close(other)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert run.exit_code == 0
    assert len(out.splitlines()) == 100


def test_a_shell_can_redirect_to_the_channel_however_many_files_the_launcher_opens(tmp_path: Path) -> None:
    """POSIX shells know the descriptors 0 to 9; the runner of the tests has some of its own open."""
    lowest = os.dup(0)
    os.close(lowest)
    _, out, _, _ = run_workers("#!/bin/sh\necho $IPEXLAUNCH_STATUS_FD\n", tmp_path, count=20, kind="executable")
    (number,) = {int(line.split()[-1]) for line in out.splitlines()}
    assert number < lowest + 7


def test_what_is_no_message_is_told_once_and_harms_nothing(tmp_path: Path) -> None:
    script = "import os\nfd = int(os.environ['IPEXLAUNCH_STATUS_FD'])\nos.write(fd, b'hi\\nho\\n')"
    run, _, _, told = run_workers(script, tmp_path, count=1)
    assert run.exit_code == 0
    assert len(told) == 1
    assert "not understood" in told[0]
    assert list(run.notes) == told


def test_what_a_worker_tells_of_itself_is_kept(tmp_path: Path) -> None:
    script = (
        "from ipexlaunch import worker\nworker.phase('loading')\nworker.tell(dtype='bf16')\nworker.phase('compiling')\n"
        "worker.ready()\nworker.count()\nworker.samples('first_token', [0.25, 0.5])\nworker.phase('late')\n"
        "worker.invalid('wrong answers: cosine 0.2')\nworker.finish()\n"
    )
    run, _, _, told = run_workers(script, tmp_path, count=1)
    (record,) = run.records
    assert record.told is not None
    assert record.ready is not None
    loading, compiling = record.told.phases
    assert (loading.name, compiling.name) == ("loading", "compiling")
    assert record.started < loading.begin <= compiling.begin == loading.end
    assert compiling.end == record.ready
    assert loading.spent is not None
    assert compiling.spent is not None
    assert record.told.ready_spent is not None
    assert 0 < loading.spent.cpu_s <= compiling.spent.cpu_s <= record.told.ready_spent.cpu_s
    assert 1 << 20 < record.told.ready_spent.anonymous_bytes < 1 << 30
    assert list(record.told.durations_s["first_token"]) == [0.25, 0.5]
    assert record.told.facts == {"dtype": "bf16"}
    assert record.told.invalid == ["wrong answers: cosine 0.2"]
    assert told == [
        "instance 0 announced the phase 'late' after it was ready; that is not reported",
        "instance 0 is not to be believed: wrong answers: cosine 0.2",
    ]


def test_a_long_phase_is_told_and_a_compilation_has_a_limit_of_its_own(tmp_path: Path) -> None:
    script = "import signal\nfrom ipexlaunch import worker\nworker.phase('compiling')\nsignal.pause()"
    limits = Limits(compile_timeout_s=3.0, grace_s=5.0)
    run, _, _, told = run_workers(script, tmp_path, count=1, limits=limits, showing={"long_phase_s": 0.1})
    assert run.exit_code == 124
    assert re.fullmatch(r"\[0\] compiling, [0-3] s", told[0])
    assert told[1:] == ["instance 0 was still compiling after 3 s (--compile-timeout) (stopping the others)"]


def test_a_phase_that_is_never_over_ends_with_the_worker(tmp_path: Path) -> None:
    run, _, _, _ = run_workers("from ipexlaunch import worker\nworker.phase('loading')", tmp_path, count=1)
    told = run.records[0].told
    assert told is not None
    assert [(span.name, span.end is not None) for span in told.phases] == [("loading", True)]


def test_a_program_that_knows_nothing_of_us_has_a_rate_by_what_it_prints(tmp_path: Path) -> None:
    script = "#!/bin/sh\nfor i in 1 2 3; do echo did 5 in all; echo other >&2; done\nprintf 'did 7 in all' >&2\n"
    path, report = program(tmp_path, script), tmp_path / "report.json"
    result = ipexlaunch(path, "--throughput-regex", r"did (?P<items>\d+)", "--report", str(report))
    assert result.returncode == 0, result.stderr
    found = read_report(report.read_text(), "report.json")
    assert (found.throughput.items, found.instances[0].items) == (22, 22)
    assert found.throughput.makespan is not None
    assert "no worker waited for the common start, so the rate includes loading" in found.warnings
    result = ipexlaunch(path, "--throughput-regex", r"made (?P<items>\d+)", "--report", str(report))
    found = read_report(report.read_text(), "report.json")
    assert (result.returncode, found.valid) == (4, False)
    assert found.reasons == (
        "instance 0: --throughput-regex counted nothing: it matched no line of the program's output",
    )


def test_a_rate_that_was_asked_for_and_has_no_count_is_invalid_and_names_what_nobody_watched(tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    child = "import time; time.sleep(3); raise SystemExit(1)"
    script.write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}, 'bench.py'])\n")
    words = [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--cores-list", "0"]
    for asked in (["--count-calls"], ["--throughput-regex", r"did (?P<items>\d+)"]):
        done = subprocess.run([*words, *asked, str(script)], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 4, done.stderr
        assert f"{asked[0]} counted nothing" in done.stderr
        assert "below it ran python" in done.stderr.replace("\n", " ")


@pytest.mark.parametrize("counts", ["", "worker.count(0); worker.count(0)"])
def test_a_worker_that_was_ready_and_counted_nothing_is_invalid(tmp_path: Path, counts: str) -> None:
    script = tmp_path / "a.py"
    script.write_text(f"from ipexlaunch import worker\nworker.ready()\n{counts}\nworker.finish()\n")
    words = [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--cores-list", "0", str(script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 4, done.stderr
    assert "instance 0 called ready(), but counted nothing" in done.stderr


def test_helpers_that_python_ends_by_itself_are_not_said_to_be_left_behind(tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_text(
        "import os\nfrom multiprocessing import shared_memory\n"
        "block = shared_memory.SharedMemory(create=True, size=64)\nblock.close()\nblock.unlink()\nos._exit(0)\n"
    )
    words = [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--cores-list", "0", str(script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "left behind" not in done.stderr


def test_a_process_that_is_ending_already_is_not_said_to_be_left_behind(tmp_path: Path) -> None:
    ending = (
        "import ctypes, os, threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(2), os._exit(0))).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    script = tmp_path / "a.py"
    script.write_text(
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {ending!r}], start_new_session=True)\n"
        "while open(f'/proc/{child.pid}/stat').read().rpartition(')')[2].split()[0] != 'Z':\n    time.sleep(0.01)\n"
    )
    words = [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--cores-list", "0", str(script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "left behind" not in done.stderr


def test_a_process_that_is_left_behind_is_named(tmp_path: Path) -> None:
    # Not cmdline: it has NULs, which grep takes for ends of lines, and so `setsid sleep` would do.
    until_it_is = "until grep -qx sleep /proc/$!/comm; do sleep 0.05; done"
    result = ipexlaunch(program(tmp_path, f"#!/bin/sh\nsetsid sleep 300 &\n{until_it_is}\n"))
    assert "ended 1 process that the workers had left behind: sleep 300" in result.stderr


@pytest.mark.parametrize("limit", [["--timeout", "15"], []])
def test_peak_memory_is_known_of_a_worker_that_was_ended(tmp_path: Path, limit: list[str]) -> None:
    script, report = tmp_path / "a.py", tmp_path / "report.json"
    script.write_text("import time\nkept = bytearray(200 << 20)\nprint('has it', flush=True)\ntime.sleep(60)\n")
    words = [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--cores-list", "0", *limit]
    started = subprocess.Popen([*words, "--report", str(report), str(script)], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert "has it" in started.stdout.readline()
    if not limit:
        started.send_signal(signal.SIGINT)
    started.communicate(timeout=60)
    found = read_report(report.read_text(), "report.json")
    assert found.instances[0].peak_memory_bytes > 200 << 20


def test_an_expression_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    result = ipexlaunch(program(tmp_path, "#!/bin/sh\ntouch $0.started\n"), "--throughput-regex", r"(\d+")
    assert result.returncode == 2
    assert r"cannot use --throughput-regex '(\\d+'" in result.stderr
    assert not list(tmp_path.glob("*.started"))


def test_lines_count_from_ready_on_and_not_where_the_program_counts_itself(tmp_path: Path) -> None:
    rule = read_rule(r"did (?P<items>\d+)")
    script = (
        "from ipexlaunch import worker\nprint('did 100', flush=True)\nworker.ready()\nprint('did 5', flush=True)\n"
        "if worker.index: worker.count(3)\nworker.finish()\n"
    )
    run, _, _, _ = run_workers(script, tmp_path, showing={"line_rule": rule})
    assert [sum(record.samples.items) for record in run.records] == [5, 3]
    assert run.notes == ("--throughput-regex is not used for instance 1: the program counts by itself",)


def test_a_child_that_prints_without_end_does_not_hold_up_the_start(tmp_path: Path) -> None:
    script = (
        "import subprocess\nfrom ipexlaunch import worker\nnoise = subprocess.Popen(['yes', 'did 1'])\n"
        "worker.ready()\nworker.count(3)\nworker.finish()\nnoise.kill()\nnoise.wait()\n"
    )
    showing = {"line_rule": read_rule(r"did (?P<items>\d+)")}
    run, _, _, _ = run_workers(script, tmp_path, count=1, showing=showing)
    assert (run.exit_code, sum(run.records[0].samples.items)) == (0, 3)


def test_handlers_and_binding_of_the_caller_are_as_before(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), os.sched_getaffinity(0)
    open_before = len(os.listdir("/proc/self/fd"))
    run_workers("pass", tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), os.sched_getaffinity(0)) == before
    assert len(os.listdir("/proc/self/fd")) == open_before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_launcher_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    process, pids = start_sleepers(tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"interrupted by {number.name}" in err
    assert not any(alive(pid) for pid in pids)


def test_nothing_survives_the_killing_of_the_launcher(tmp_path: Path) -> None:
    process, pids = start_sleepers(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not any(alive(pid) for pid in pids))


def start_sleepers(tmp_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A launcher whose worker has a child and a daemon; all three sleep for long."""
    script = "#!/bin/sh\necho $$\nsleep 300 &\necho $!\nsetsid sleep 300 &\necho $!\nwait\n"
    process = subprocess.Popen(
        [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--no-python", program(tmp_path, script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pids = [int(process.stdout.readline().split()[1]) for _ in range(3)]
    assert all(alive(pid) for pid in pids)
    return process, pids
