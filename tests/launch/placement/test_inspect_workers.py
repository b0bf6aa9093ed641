"""Looks at real processes of this machine, and at a procfs that is written for the case."""

import ctypes.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.launch.placement.inspect_workers import PAGES_SHARE, THREADS_SHARE, Inspector
from ipexlaunch.launch.placement.placement import Binding, Oversubscription, Placement, Resident
from ipexlaunch.launch.placement.verify import misplacements_at_worst
from ipexlaunch.machine.proc_files import ThreadStarts
from ipexlaunch.plan import Instance

STAT = (
    "{tid} ({name}) {state} 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {started} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 "
    "{cpu} 0 0 0\n"
)
ROLLUP = (
    "55f5-7ffe ---p 00000000 00:00 0     [rollup]\nRss:   63 kB\nPss:   20 kB\nPss_Dirty:   12 kB\n"
    "Pss_Anon:   12 kB\nPss_File:   8 kB\nPss_Shmem:   0 kB\nShared_Clean:   26 kB\nShared_Dirty:   30 kB\n"
    "Private_Clean:   2 kB\nPrivate_Dirty:   5 kB\nAnonymous:   35 kB\nAnonHugePages:   2048 kB\n"
)
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Machine:
    """A procfs under a directory, with a clock that only moves when it is told to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.affinities: dict[int, frozenset[int]] = {}
        self.now = 100.0
        self.cpu_s = 0.0
        self.cost_of_a_look_s = 0.0
        self.inspector = Inspector(
            str(root), affinity=self.affinity, clock=lambda: self.now, cpu_clock=self.cpu_clock, launcher=1
        )

    def affinity(self, thread: int) -> frozenset[int]:
        self.cpu_s += self.cost_of_a_look_s
        if thread not in self.affinities:
            raise ProcessLookupError
        return self.affinities[thread]

    def cpu_clock(self) -> float:
        return self.cpu_s

    def thread(
        self,
        process: int,
        tid: int,
        cpus: set[int],
        *,
        cpu: int = 0,
        seconds: float = 0.0,
        children: str = "",
        state: str = "S",
        started: int = 5,
    ) -> None:
        where = self.root / str(process) / "task" / str(tid)
        where.mkdir(parents=True, exist_ok=True)
        self.affinities[tid] = frozenset(cpus)
        ticks = round(seconds / TICK_S)
        stat = STAT.format(tid=tid, name="a (b) c", state=state, ticks=ticks, started=started, cpu=cpu)
        (where / "stat").write_text(stat)
        (where / "children").write_text(children)

    def write(self, process: int, **texts: str) -> None:
        for name, text in texts.items():
            (self.root / str(process) / name).write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def seen(placement: Placement | None) -> Placement:
    assert placement is not None
    return placement


def test_threads_of_children_and_grandchildren_count(machine: Machine) -> None:
    machine.thread(10, 10, {4, 5}, cpu=4)
    machine.thread(10, 11, {5}, cpu=5, children="20 ")
    machine.thread(20, 20, {4, 5}, cpu=4, children="30 31 ")
    machine.thread(30, 30, {9}, cpu=9)
    placement = seen(machine.inspector(10))  # 31 has ended meanwhile
    assert (placement.threads, placement.processes, placement.pinned_threads) == (4, 3, 2)
    assert placement.cpus == placement.last_cpus == {4, 5, 9}
    assert placement.main_thread_cpus == {4, 5}
    groups = {group.cpus: (group.threads, group.example) for group in placement.affinities}
    assert groups[frozenset({4, 5})] == (2, "thread 10 'a (b) c' of process 10")
    assert groups[frozenset({9})] == (1, "thread 30 'a (b) c' of process 30")
    assert placement.pages is None
    assert placement.migrations is None


def test_pages_of_all_processes_are_added_up_by_node(machine: Machine) -> None:
    machine.thread(10, 10, {0}, children="20 ")
    machine.thread(20, 20, {0})
    machine.write(10, numa_maps="7f0 bind:1 anon=3 dirty=3 N1=3 kernelpagesize_kB=4\n", status="VmHWM:\t 7 kB\n")
    machine.write(10, smaps_rollup=ROLLUP)
    machine.write(
        20,
        numa_maps="7f0 bind:1 anon=2 dirty=2 N0=2 kernelpagesize_kB=4\n"
        "7f1 bind:1 file=/anon_hugepage\\040(deleted) huge anon=1 N1=1 kernelpagesize_kB=2048\nbroken\n",
    )
    for process, count in ((10, 3), (20, 4)):
        machine.write(process, **{f"task/{process}/sched": f"se.nr_migrations : {count}\n"})
    placement = seen(machine.inspector(10))
    assert placement.pages == {0: 2 * 4096, 1: 3 * 4096 + (2 << 20)}
    assert placement.huge_pages == {1: 2 << 20}
    assert placement.by_policy == {"bind:1": placement.pages}
    assert (placement.peak_memory_bytes, placement.transparent_huge_bytes) == (7 * 1024, 2 << 20)
    assert (placement.migrations, placement.unclear) == (7, 1)
    assert placement.resident == Resident(
        private_bytes=7 * 1024,
        shared_bytes=56 * 1024,
        proportional_bytes=20 * 1024,
        proportional_anonymous_bytes=12 * 1024,
        proportional_file_bytes=8 * 1024,
    )
    (machine.root / "20" / "smaps_rollup").symlink_to("/proc/self/mem")  # opens; reading from the start is refused
    assert seen(machine.inspector(10)).resident is None, "not of every process"
    (machine.root / "20" / "smaps_rollup").unlink()
    machine.write(20, smaps_rollup="".join(line for line in ROLLUP.splitlines(True) if "Pss_" not in line))
    both = seen(machine.inspector(10)).resident
    assert both == Resident(private_bytes=14 * 1024, shared_bytes=112 * 1024, proportional_bytes=40 * 1024), "Linux 5.2"
    machine.write(20, smaps_rollup=ROLLUP)
    both = seen(machine.inspector(10)).resident
    assert both is not None
    assert (both.proportional_anonymous_bytes, both.proportional_file_bytes) == (24 * 1024, 16 * 1024)


def test_a_process_that_has_ended_is_nowhere_and_so_is_a_zombie(machine: Machine) -> None:
    assert machine.inspector(10) is None
    machine.thread(10, 10, {0}, state="Z")
    assert machine.inspector(10) is None
    assert machine.inspector.glance(10) is None


def test_daemons_are_found_by_the_index_that_they_carry(machine: Machine) -> None:
    machine.thread(1, 1, {0}, children="10 11 40 41 50 ")
    for worker, index in ((10, 0), (11, 1)):
        machine.thread(worker, worker, {index})
        machine.write(worker, environ=f"A=1\0IPEXLAUNCH_INDEX={index}\0")
    machine.thread(40, 40, {7}, children="42 ")
    machine.write(40, environ="IPEXLAUNCH_INDEX=1\0")
    machine.thread(42, 42, {8})
    machine.thread(41, 41, {3})
    machine.write(41, environ="PATH=/bin\0")  # the guardian
    first, second = seen(machine.inspector(10)), seen(machine.inspector(11))
    assert (first.processes, first.daemons, first.cpus) == (1, 0, frozenset({0}))
    assert (second.processes, second.daemons, second.cpus) == (3, 2, frozenset({1, 7, 8}))


def test_what_cannot_be_read_is_a_gap_that_is_told(machine: Machine) -> None:
    machine.thread(10, 10, {0}, children="20 ")
    machine.thread(20, 20, {0})
    machine.write(10, numa_maps="7f0 bind:1 anon=3 N1=3 kernelpagesize_kB=4\n")
    (machine.root / "20" / "numa_maps").symlink_to("/proc/self/mem")  # opens; reading from the start is refused
    placement = seen(machine.inspector(10))
    assert (placement.pages, placement.unclear) == ({1: 3 * 4096}, 1)


def test_a_thread_that_may_not_be_asked_is_a_gap_that_is_told(machine: Machine) -> None:
    machine.thread(10, 10, {0})
    machine.thread(10, 11, {0})
    ask = machine.affinity

    def refuse(thread: int) -> frozenset[int]:
        if thread == 11:
            raise PermissionError
        return ask(thread)

    placement = seen(Inspector(str(machine.root), affinity=refuse, launcher=1)(10))
    assert (placement.threads, placement.cpus, placement.unclear) == (2, frozenset({0}), 1)


def test_a_glance_finds_the_crowd_since_the_look_before(machine: Machine) -> None:
    for tid in range(10, 14):
        machine.thread(10, tid, {4, 5}, seconds=50.0)
    assert seen(machine.inspector.glance(10)).crowd is None  # nothing to compare with
    machine.now += 10
    for tid in range(10, 14):
        machine.thread(10, tid, {4, 5}, seconds=55.0)
    placement = seen(machine.inspector.glance(10))
    assert placement.crowd == Oversubscription(frozenset({4, 5}), 4)
    assert (placement.looks, placement.crowded_looks) == (1, 1)
    machine.now += 10
    assert seen(machine.inspector.glance(10)).crowd is None


def test_a_new_thread_with_the_number_of_one_that_ended_starts_from_nothing(machine: Machine) -> None:
    machine.thread(10, 10, {4})
    machine.thread(10, 11, {4}, seconds=50.0, started=5)
    machine.inspector(10)
    machine.now += 10
    machine.thread(10, 10, {4}, seconds=5.0)
    machine.thread(10, 11, {4}, seconds=5.0, started=9)
    assert seen(machine.inspector(10)).crowd == Oversubscription(frozenset({4}), 2)


def test_glances_never_take_more_than_their_share_of_a_core(machine: Machine) -> None:
    machine.thread(10, 10, {4})
    machine.write(10, numa_maps="7f0 bind:1 anon=3 N1=3 kernelpagesize_kB=4\n")
    machine.cost_of_a_look_s = 1.0
    machine.inspector(10)
    machine.now += 0.9 / THREADS_SHARE
    assert machine.inspector.glance(10) is None
    machine.now += 0.2 / THREADS_SHARE
    assert machine.inspector.glance(10) is not None
    assert machine.inspector.glance(10) is None
    assert machine.inspector(10) is not None  # a whole look is never left out


def test_pages_that_are_dear_are_read_less_often_and_kept_meanwhile(machine: Machine) -> None:
    machine.thread(10, 10, {4})
    machine.write(10, numa_maps="7f0 bind:1 anon=3 N1=3 kernelpagesize_kB=4\n", maps="x libgomp\n", environ="")
    costs = iter([0.0, 0.0, 0.0, 1.0, *[1.0] * 99])  # begun, threads; begun, pages of the whole look
    machine.inspector = Inspector(
        str(machine.root),
        affinity=machine.affinity,
        clock=lambda: machine.now,
        cpu_clock=lambda: next(costs),
        launcher=1,
    )
    first = seen(machine.inspector(10))
    machine.write(10, numa_maps="7f0 bind:1 anon=3 N0=3 kernelpagesize_kB=4\n")
    machine.now += 0.9 / PAGES_SHARE
    second = seen(machine.inspector.glance(10))
    assert (first.pages, first.page_looks) == ({1: 3 * 4096}, 1)
    assert (second.pages, second.page_looks) == ({1: 3 * 4096}, 0)
    machine.now += 0.2 / PAGES_SHARE
    third = seen(machine.inspector.glance(10))
    assert (third.pages, third.page_looks) == ({0: 3 * 4096}, 1)


def test_the_share_is_that_of_all_workers_together(machine: Machine) -> None:
    for worker in (10, 20):
        machine.thread(worker, worker, {4})
    machine.cost_of_a_look_s = 1.0
    machine.inspector(10)
    machine.inspector(20)
    machine.now += 1.1 / THREADS_SHARE
    assert machine.inspector.glance(10) is None
    machine.now += 1.1 / THREADS_SHARE
    assert machine.inspector.glance(10) is not None


def test_workers_that_have_ended_claim_no_share(machine: Machine) -> None:
    for worker in (10, 20, 30):
        machine.thread(worker, worker, {4})
    machine.cost_of_a_look_s = 1.0
    machine.inspector(10)
    machine.inspector(20)
    (machine.root / "20").rename(machine.root / "gone")
    machine.inspector(30)
    machine.now += 2.1 / THREADS_SHARE
    assert machine.inspector.glance(10) is not None


def run(script: str, **variables: str) -> subprocess.Popen[bytes]:
    """A Python process that prints a line when it is where the test wants it, and ends when its stdin does."""
    process = subprocess.Popen(
        [sys.executable, "-c", script + "\nprint(flush=True); import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **variables},
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.communicate()


Started = list[subprocess.Popen[bytes]]


@pytest.mark.process
def test_the_last_cpu_of_a_real_thread_is_one_that_it_may_run_on(started: Started) -> None:
    cpu = max(os.sched_getaffinity(0))
    started.append(run(f"import os; os.sched_setaffinity(0, [{cpu}])"))
    placement = seen(Inspector()(started[0].pid))
    assert placement.last_cpus == placement.cpus == {cpu}


@pytest.mark.process
def test_the_kinds_of_a_real_processes_memory_are_told_apart(started: Started) -> None:
    started.append(
        run(
            "import mmap\n"
            "kept = []\n"
            "for size, flags in ((48 << 20, mmap.MAP_PRIVATE), (24 << 20, mmap.MAP_SHARED)):\n"
            "    memory = mmap.mmap(-1, size, flags=flags)\n"
            "    memory[::4096] = b'x' * (size // 4096)\n"
            "    kept.append(memory)\n"
        )
    )
    placement = seen(Inspector()(started[0].pid))
    assert placement.pages is not None
    assert 48 << 20 < sum(placement.pages.values()) < 80 << 20
    assert sum(placement.shared_pages.values()) == 24 << 20
    assert sum(placement.file_pages.values()) > 1 << 20
    assert placement.unclear == 0


FORKED = 64 << 20
FORKS = f"""
import os, sys
size = {FORKED}
memory = bytearray(size)
memory[::4096] = b"x" * (size // 4096)
def work(wake, done):
    while os.read(wake, 1):
        memory[: size // 2 : 4096] = b"y" * (size // 2 // 4096)
        os.write(done, b".")
    os._exit(0)
for _ in range(2):
    (wake, tell), (heard, done) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(tell)
        work(wake, done)
    print(child, flush=True)
sys.stdin.readline()
os.write(tell, b".")
os.read(heard, 1)
print("written", flush=True)
sys.stdin.readline()
"""


@pytest.mark.process
def test_what_is_inherited_through_fork_is_judged_and_told_apart_from_what_is_ones_own(started: Started) -> None:
    template = subprocess.Popen([sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    started.append(template)
    assert template.stdin is not None
    assert template.stdout is not None
    first, second = int(template.stdout.readline()), int(template.stdout.readline())
    inspector = Inspector()
    before = [seen(inspector(pid)) for pid in (first, second)]
    template.stdin.write(b"\n")
    template.stdin.flush()
    template.stdout.readline()
    after = seen(inspector(second))
    for placement in (*before, after):
        assert placement.pages is not None
        node = max(placement.pages, key=placement.pages.__getitem__)
        assert FORKED < placement.pages[node] < 2 * FORKED, "inherited pages are counted, and once"
        assert placement.unclear == 0
        home = Instance(index=0, cpus=placement.cpus, nodes=frozenset({node}), threads=1)
        bound = Binding(cpus=home.cpus, memory="bind", nodes=home.nodes)
        assert misplacements_at_worst(home, [placement], bound) == []
        (reason,) = misplacements_at_worst(replace(home, nodes=frozenset({node + 1})), [placement], bound)
        assert "of its anonymous memory" in reason, "a child of another node's template"
    for placement in before:
        assert placement.resident is not None
        assert placement.resident.private_bytes < FORKED // 4
        assert placement.resident.shared_bytes > FORKED
        assert FORKED // 3 < (placement.resident.proportional_anonymous_bytes or 0) < FORKED // 2, "a third"
    assert after.resident is not None
    assert FORKED // 2 < after.resident.private_bytes < FORKED // 4 * 3, "the half that it has written"


def two_runtimes(folder: Path, started_in: int) -> str:
    """A script that loads two copies of libgomp and has so many of them start a pool of threads."""
    system = ctypes.util.find_library("gomp")
    if system is None:
        pytest.skip("no libgomp here")
    source = f"import ctypes; ctypes.CDLL({system!r}); print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    path = next(line.split()[-1] for line in maps.splitlines() if "libgomp" in line)
    files = [folder / "libgomp.so.1", folder / "torch.libs" / "libgomp-a34b3233.so.1"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, file)
    return (
        "import ctypes\n"
        "body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)\n"
        f"libraries = [ctypes.CDLL(name) for name in {list(map(str, files))}]\n"
        f"for library in libraries[:{started_in}]:\n"
        "    library.GOMP_parallel(body, None, 3, 0)\n"
    )


@pytest.mark.process
@pytest.mark.parametrize("started_in", [0, 1, 2])
def test_two_openmp_runtimes_clash_only_where_threads_of_both_are_there(
    started: Started, tmp_path: Path, started_in: int
) -> None:
    started.append(run(two_runtimes(tmp_path, started_in)))
    placement = seen(Inspector()(started[0].pid))
    assert len(placement.openmp) == 2
    assert placement.threads == 1 + 2 * started_in
    assert placement.openmp_clashes == ({tuple(sorted(placement.openmp))} if started_in == 2 else set())


@pytest.mark.process
def test_busy_threads_of_children_that_share_one_real_cpu_are_a_crowd(started: Started) -> None:
    cpu = max(os.sched_getaffinity(0))
    started.append(
        run(
            "import os, subprocess, sys\n"
            f"os.sched_setaffinity(0, [{cpu}])\n"
            "busy = 'import sys, threading; threading.Thread(target=sys.stdin.read).start()\\n'\n"
            "busy += 'while threading.active_count() > 1: pass'\n"
            "kept = [subprocess.Popen([sys.executable, '-c', busy], stdin=sys.stdin) for _ in range(3)]\n"
        )
    )
    pid = started[0].pid
    # The clock shows the time that the children got, so other work on the machine takes none of it away.
    inspector = Inspector(clock=lambda: _cpu_seconds(pid))
    assert seen(inspector(pid)).processes == 4
    before = _cpu_seconds(pid)
    while _cpu_seconds(pid) < before + 1.0:
        os.sched_yield()
    crowd = seen(inspector(pid)).crowd
    assert crowd is not None
    assert crowd.cpus == {cpu}
    assert crowd.threads in (2, 3)
    assert crowd.owners == ("Python's pools",)
    assert crowd.processes in (2, 3)


def _cpu_seconds(pid: int) -> float:
    total = 0
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * TICK_S


@pytest.mark.process
def test_a_stopped_process_can_be_looked_at(started: Started) -> None:
    started.append(run(""))
    os.kill(started[0].pid, signal.SIGSTOP)
    try:
        assert seen(Inspector()(started[0].pid)).threads == 1
    finally:
        os.kill(started[0].pid, signal.SIGCONT)


@pytest.mark.process
def test_a_thread_is_known_by_the_library_that_it_began_in(started: Started, tmp_path: Path) -> None:
    started.append(
        run(two_runtimes(tmp_path, 1) + "import threading\nthreading.Thread(target=input, daemon=True).start()\n")
    )
    pid = started[0].pid
    starts = ThreadStarts(pid)
    files = {Path(starts.begins_in(int(thread.name))).name for thread in Path(f"/proc/{pid}/task").iterdir()}
    assert {"", "libgomp.so.1"} < files  # the main thread, and those of the pool
    assert any("python" in name for name in files)


@pytest.mark.process
def test_where_the_kernel_does_not_tell_nothing_is_claimed(started: Started, tmp_path: Path) -> None:
    started.append(run(two_runtimes(tmp_path, 2)))
    pid = started[0].pid
    threads = [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    assert len(ThreadStarts(pid).files_of(threads)) == 2
    assert ThreadStarts(pid, robust_list=lambda _: 0).files_of(threads) == frozenset()
    assert ThreadStarts(pid, robust_list=lambda _: 8).files_of(threads) == frozenset()
    assert ThreadStarts(2**22 + 1).mapped == frozenset()


def test_a_program_of_go_is_known_by_its_note(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/exe").write_bytes(b"\x7fELF" + bytes(400) + b"\x04\0\0\0\x53\0\0\0\x04\0\0\0Go\0\0abc")
    assert ThreadStarts(7, str(tmp_path)).is_go()
    (tmp_path / "7/exe").write_bytes(b"\x7fELF" + bytes(400))
    assert not ThreadStarts(7, str(tmp_path)).is_go()
