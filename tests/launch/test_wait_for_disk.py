"""What a thread does with a disk while others go on, and how long it is waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from ipexlaunch.launch.wait_for_disk import DiskPatience, DiskThread, HungDiskError


def test_answers_come_one_after_the_other_and_errors_are_raised_where_they_are_taken() -> None:
    disk = DiskThread()
    assert not disk.answered
    disk.begin(lambda: 1, "count")
    assert disk.answers(60.0)
    assert disk.answered
    assert disk.take() == 1
    assert not disk.busy
    disk.begin(lambda: os.stat("/does/not/exist"), "look")
    assert disk.answers(60.0)
    with pytest.raises(FileNotFoundError):
        disk.take()
    assert not disk.answered
    disk.end()


@pytest.mark.parametrize("asked_after", [0, 3])
def test_what_hangs_is_given_up_once_somebody_asks_for_the_end(asked_after: int) -> None:
    ends, looks = threading.Event(), 0

    def is_asked() -> bool:
        nonlocal looks
        looks += 1
        return looks > asked_after

    patience = DiskPatience(0.2, is_asked, lambda _: None)
    with pytest.raises(HungDiskError, match=r"^cannot write out\.jsonl: its disk has not answered for 0 s; go on$"):
        patience.have(ends.wait, "write out.jsonl", "go on")
    assert looks > asked_after
    ends.set()


def test_who_works_is_not_given_up_however_long_that_takes() -> None:
    """It gets on at each look; what it waits for meanwhile does not matter."""
    looks, gets_on = 0, threading.Semaphore(0)

    def is_asked() -> bool:
        nonlocal looks
        looks += 1
        gets_on.release()
        return True

    def work() -> int:
        for _ in range(20):
            gets_on.acquire()
        return 7

    assert DiskPatience(1.0, is_asked, lambda _: None).have(work, "sort") == 7
    assert looks >= 20  # 2 s


WAITS = """
import signal, threading
from ipexlaunch.launch.wait_for_disk import DiskPatience
def end(number, frame):
    raise SystemExit(7)
signal.signal(signal.SIGUSR1, end)
print("waits", flush=True)
DiskPatience(0.0, lambda: False, print).have(threading.Event().wait, "write")
"""


@pytest.mark.process
def test_signal_handlers_run_while_a_disk_is_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"waits\n"
    process.send_signal(signal.SIGUSR1)
    process.communicate()
    assert process.returncode == 7
