"""Looking at real processes: what they used between two looks, and where their memory is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ipexlaunch.report.live.background_thread import BackgroundThread
from ipexlaunch.report.live.sample_usage import MEMORY_INTERVAL_S, UsageSampler

pytestmark = pytest.mark.process

BUSY = """
import os, sys
memory = bytearray(64 << 20)
memory[::4096] = b"x" * len(memory[::4096])
print("used", sum(os.times()[:2]), flush=True)
sys.stdin.readline()
enough = sum(os.times()[:2]) + 0.5
while sum(os.times()[:2]) < enough:
    pass
print("used", sum(os.times()[:2]), flush=True)
sys.stdin.readline()
"""
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BUSY!r}])
print("waited", flush=True)
sys.stdin.readline()
"""


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def started(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def used_s(process: subprocess.Popen[str]) -> float:
    """Wait until it tells its own cpu time."""
    assert process.stdout is not None
    return float(process.stdout.readline().removeprefix("used "))


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture(params=[BUSY, PARENT], ids=["worker", "grandchild"])
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    with started(request.param) as process:
        yield process
        process.kill()


def test_cpu_use_is_what_was_used_between_two_looks(process: subprocess.Popen[str]) -> None:
    clock = Clock()
    sampler = UsageSampler[str](clock)
    before = used_s(process)
    first = sampler.sample({"a": process.pid})["a"]
    assert first.busy_cpus is None
    assert first.cpu_s >= before - 0.05
    clock.time += 2
    go_on(process)
    after = used_s(process)
    second = sampler.sample({"a": process.pid})["a"]
    assert second.busy_cpus == pytest.approx((after - before) / 2, abs=0.05), "in 2 s of the clock"
    assert second.cpu_s == pytest.approx(first.cpu_s + after - before, abs=0.1)


def test_memory_is_told_by_node_and_read_seldom(process: subprocess.Popen[str]) -> None:
    used_s(process)
    clock = Clock()
    sampler = UsageSampler[int](clock)
    first = sampler.sample({0: process.pid})[0]
    if not os.path.exists("/proc/self/numa_maps"):
        pytest.skip("this kernel has no numa_maps")
    assert first.memory is not None
    assert sum(first.memory.values()) > 64 << 20
    clock.time += MEMORY_INTERVAL_S / 2
    assert sampler.sample({0: process.pid})[0].memory is first.memory
    clock.time += MEMORY_INTERVAL_S / 2 + 1
    assert sampler.sample({0: process.pid})[0].memory is not first.memory


def test_the_time_of_a_child_that_was_waited_for_is_not_lost() -> None:
    clock = Clock()
    sampler = UsageSampler[int](clock)
    with started(PARENT) as process:
        assert process.stdout is not None
        start = used_s(process)
        before = sampler.sample({0: process.pid})[0]
        go_on(process)
        end = used_s(process)
        go_on(process)
        assert process.stdout.readline() == "waited\n"
        clock.time += 5
        after = sampler.sample({0: process.pid})[0]
        assert after.cpu_s >= before.cpu_s + (end - start) - 0.05
        process.kill()


def test_who_is_gone_has_no_entry_and_a_successor_begins_anew() -> None:
    sampler = UsageSampler[int]()
    with started(BUSY) as process:
        used_s(process)
        assert sampler.sample({0: process.pid})[0].cpu_s > 0
        process.kill()
        process.wait()
        assert sampler.sample({0: process.pid}) == {}
    assert sampler.sample({0: os.getpid()})[0].busy_cpus is None


def test_pokes_while_the_work_is_done_count_as_one_and_the_last_is_not_lost() -> None:
    begun, may_end = threading.Semaphore(0), threading.Semaphore(0)
    calls: list[int] = []

    def work() -> None:
        calls.append(len(calls))
        begun.release()
        may_end.acquire()

    apart = BackgroundThread(work, "test")
    apart.poke()
    begun.acquire()
    for _ in range(10):
        apart.poke()
    may_end.release()
    begun.acquire()
    assert not apart.end(0.01), "it is still at work"
    may_end.release(2)
    assert apart.end(60)
    assert calls in ([0, 1], [0, 1, 2]), "once more for all pokes, and a last time"


def test_an_error_ends_the_thread_and_is_kept() -> None:
    def work() -> None:
        raise OSError("no space")

    apart = BackgroundThread(work, "test")
    apart.poke()
    assert apart.end(60)
    assert isinstance(apart.error, OSError)
