"""models/run/compile_cache.py: one process builds, the others wait, and nothing unfinished is ever used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ipexlaunch.models.run.compile_cache import COMPILING, KEPT_UNUSED_S, WAITING, CompileCache, Program
from ipexlaunch.models.user_directory import digest
from tests.examples.run_examples import ROOT

KEY: dict[str, object] = {"weights": "a", "kernels": {"threads": 2, "torch": "2.13.0"}, "shapes": {"inputs": [8, 128]}}


LIMIT = 10**6

PROGRAM = "model/weights.bin"
"""One of a program's files."""


class Builder:
    """Builds programs of two files, one of known text, and counts them."""

    def __init__(self, text: str = "program") -> None:
        self.text = text
        self.built = 0

    def __call__(self, path: Path) -> Mapping[str, object]:
        self.built += 1
        (path / "index").write_text("of the files")
        (path / PROGRAM).parent.mkdir()
        (path / PROGRAM).write_text(self.text)
        return {"shapes": [(1, 2)]}


def text_of(program: Program) -> str:
    return (program.path / PROGRAM).read_text()


def test_a_program_is_built_once_and_found_again(tmp_path: Path) -> None:
    said: list[str] = []
    build = Builder()
    first = CompileCache(tmp_path / "cache", said.append).program(KEY, build)
    again = CompileCache(tmp_path / "cache", said.append).program(KEY, build)
    assert (first.cache, again.cache) == ("miss", "hit")
    assert build.built == 1
    assert said == [COMPILING]
    assert first.path == again.path
    assert text_of(again) == "program"
    # What the first process sees went through the file, as for later ones.
    assert first.details == again.details == {"shapes": [[1, 2]]}
    assert again.compile_s == 0.0


@pytest.mark.parametrize(
    "other",
    [
        {**KEY, "kernels": {"threads": 1, "torch": "2.13.0"}},
        {**KEY, "kernels": {"threads": 2, "torch": "2.14.0"}},
        {**KEY, "weights": "b"},
        {**KEY, "shapes": {"inputs": [8, 64]}},
    ],
)
def test_whatever_differs_has_a_program_of_its_own(tmp_path: Path, other: dict[str, object]) -> None:
    cache = CompileCache(tmp_path)
    here = cache.program(KEY, Builder("here"))
    there = cache.program(other, Builder("there"))
    assert there.cache == "miss"
    assert (text_of(here), text_of(there)) == ("here", "there")


IN_A_PROCESS = """
import os, sys
from pathlib import Path
from ipexlaunch.models.run.compile_cache import CompileCache

def build(path):
    (path / "program").write_bytes(bytes(1000))
    return {}

cache = CompileCache(sys.argv[1], now=lambda: float(sys.argv[4]), limit_bytes=int(sys.argv[2]))
program = cache.program({"shapes": sys.argv[3]}, build)
if program.cache == "miss":
    os.utime(program.path.parent / "complete.json", (cache.now(), cache.now()))
print(program.cache, flush=True)
sys.stdin.readline()
"""


class Processes:
    """Processes that use programs of 1000 bytes in one cache, each as long as it is let."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.running: list[subprocess.Popen[str]] = []

    def start(self, name: str, days: float, limit: int = LIMIT) -> str:
        """Whether one found its program; it goes on."""
        words = (str(self.cache), str(limit), name, str(days * 86400))
        process = subprocess.Popen(
            [sys.executable, "-c", IN_A_PROCESS, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.running.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def run(self, name: str, days: float, limit: int = LIMIT) -> str:
        """Whether one found its program; it has ended."""
        found = self.start(name, days, limit)
        self.running.pop().communicate("\n")
        return found

    def left(self) -> set[str]:
        """The names of the programs that are there."""
        return {json.loads(marker.read_text())["key"]["shapes"] for marker in self.cache.glob("*/complete.json")}


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    for process in made.running:
        process.communicate("\n")


@pytest.mark.process
def test_a_program_that_nobody_used_for_long_makes_room_when_another_is_built(processes: Processes) -> None:
    limit = KEPT_UNUSED_S / 86400
    for name in ("a", "b"):
        processes.run(name, days=0)
    assert processes.run("b", days=limit - 1) == "hit"
    processes.run("c", days=limit + 1)
    assert processes.left() == {"b", "c"}
    assert processes.run("b", days=limit + 1) == "hit"
    assert processes.run("a", days=limit + 1) == "miss"


@pytest.mark.process
def test_above_the_limit_the_least_recently_used_go(processes: Processes) -> None:
    for day, name in enumerate("abc"):
        processes.run(name, days=day)
    assert processes.run("a", days=4) == "hit"
    processes.run("d", days=5, limit=2500)  # a program is a little more than its 1000 bytes: there is a marker
    assert processes.left() == {"a", "d"}
    # What is there already removes nothing, and one that is larger than all that is allowed is used all the same.
    assert processes.run("a", days=6, limit=1) == "hit"
    assert processes.left() == {"a", "d"}
    processes.run("e", days=7, limit=1)
    assert processes.left() == {"e"}


@pytest.mark.process
def test_what_is_in_use_is_not_removed_for_others(processes: Processes) -> None:
    processes.start("a", days=0)
    processes.run("b", days=1)
    processes.run("c", days=2, limit=1)
    assert processes.left() == {"a", "c"}
    processes.running[0].kill()
    processes.running[0].wait()
    processes.run("d", days=3, limit=1)
    assert processes.left() == {"d"}


@pytest.mark.process
def test_what_a_process_left_half_built_is_removed_with_the_next_build(processes: Processes) -> None:
    processes.run("a", days=100)
    for marker in processes.cache.glob("*/complete.json"):
        marker.unlink()
    processes.run("b", days=100)
    assert len(list(processes.cache.glob("*/files"))) == 1


def test_a_program_is_used_from_a_cache_that_may_only_be_read(tmp_path: Path) -> None:
    CompileCache(tmp_path).program(KEY, Builder())

    def refuses() -> float:
        raise PermissionError("read-only")

    # root may write anywhere, so the refusal comes with the time that the file would get.
    assert CompileCache(tmp_path, now=refuses).program(KEY, Builder()).cache == "hit"


def test_the_order_of_a_key_is_nothing() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> Mapping[str, object]:
        (path / PROGRAM).parent.mkdir()
        (path / PROGRAM).write_text("half")
        raise RuntimeError("no compiler")

    cache = CompileCache(tmp_path)
    with pytest.raises(RuntimeError, match="no compiler"):
        cache.program(KEY, fail)
    build = Builder()
    assert cache.program(KEY, build).cache == "miss"
    assert build.built == 1


@pytest.mark.parametrize("damage", ["shorter", "marker", "gone", "more"])
def test_a_damaged_program_is_built_again(tmp_path: Path, damage: str) -> None:
    cache = CompileCache(tmp_path)
    path = cache.program(KEY, Builder()).path
    if damage == "shorter":
        (path / PROGRAM).write_text("prog")
    elif damage == "marker":
        (path.parent / "complete.json").write_text("{")
    elif damage == "gone":
        (path / PROGRAM).unlink()
    else:
        (path / "more").touch()
    again = cache.program(KEY, Builder())
    assert again.cache == "miss"
    assert text_of(again) == "program"
    assert not (again.path / "more").exists()


def test_a_program_of_one_file_that_an_earlier_release_kept_is_not_used(tmp_path: Path) -> None:
    place = tmp_path / digest(KEY)
    place.mkdir()
    (place / "program.pt2").write_text("old")
    (place / "complete.json").write_text('{"key": {}, "details": {}, "bytes": 3}')
    again = CompileCache(tmp_path).program(KEY, Builder())
    assert (again.cache, text_of(again)) == ("miss", "program")
    assert not (place / "program.pt2").exists()


OTHER_PROCESS = """
import sys
from pathlib import Path
from ipexlaunch.models.run.compile_cache import CompileCache

def build(path):
    (path / "model").mkdir()
    (path / "model/weights.bin").write_text("half")
    print("building", flush=True)
    sys.stdin.readline()
    (path / "model/weights.bin").write_text("whole")
    return {"by": "the other"}

CompileCache(sys.argv[1]).program(eval(sys.argv[2]), build)
"""


def start_other(cache: Path) -> subprocess.Popen[str]:
    """A process that holds the lock and builds, until it is told a line or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, str(cache), repr(KEY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    return process


@pytest.mark.process
def test_who_comes_second_waits_and_does_not_build(tmp_path: Path) -> None:
    with start_other(tmp_path) as other:
        said: list[str] = []

        def go_on(phase: str) -> None:
            said.append(phase)
            assert other.stdin is not None
            other.stdin.write("\n")
            other.stdin.flush()

        build = Builder()
        found = CompileCache(tmp_path, go_on).program(KEY, build)
    assert said == [WAITING]
    assert build.built == 0
    assert found.cache == "hit"
    assert found.details == {"by": "the other"}
    assert text_of(found) == "whole"


@pytest.mark.process
def test_what_another_process_builds_is_left_to_it_and_the_next_is_built(tmp_path: Path) -> None:
    other_key = {**KEY, "shapes": "others"}
    with start_other(tmp_path) as other:
        cache = CompileCache(tmp_path)
        build = Builder()
        ahead = [cache.build_ahead(key, build) for key in (KEY, other_key, other_key)]
        assert [program and program.cache for program in ahead] == [None, "miss", None]
        assert other.poll() is None
        other.communicate("\n")
    assert cache.build_ahead(KEY, build) is None
    assert (cache.program(KEY, build).details, build.built) == ({"by": "the other"}, 1)


@pytest.mark.process
def test_when_the_builder_dies_the_next_one_builds(tmp_path: Path) -> None:
    with start_other(tmp_path) as other:
        said: list[str] = []

        def kill(phase: str) -> None:
            said.append(phase)
            if phase == WAITING:
                other.kill()

        build = Builder()
        found = CompileCache(tmp_path, kill).program(KEY, build)
    assert said == [WAITING, COMPILING]
    assert build.built == 1
    assert found.cache == "miss"
    assert text_of(found) == "program"


def planted(cache: Path, what: str) -> None:
    """A whole program that somebody else may have put there."""
    CompileCache(cache).program(KEY, Builder("planted"))
    place = cache / digest(KEY)
    path = {"the cache": cache, "its directory": place, "the program": place / "files" / PROGRAM}[what]
    if os.getuid() == 0:
        os.chown(path, 54321, 54321)
    else:
        path.chmod(path.stat().st_mode | 0o002)


@pytest.mark.parametrize("what", ["the cache", "its directory", "the program"])
def test_a_program_that_another_user_may_have_put_there_is_not_run(tmp_path: Path, what: str) -> None:
    cache = tmp_path / "cache"
    planted(cache, what)
    warned: list[str] = []
    programs = CompileCache(cache, warn=warned.append)
    found = programs.program(KEY, Builder("ours"))
    assert (found.cache, text_of(found)) == ("miss", "ours")
    assert text_of(programs.program(KEY, Builder("again"))) == "ours"
    assert len(warned) == 1
    assert "belongs to user 54321" in warned[0] or "can be written by others" in warned[0]


def test_a_generous_umask_opens_no_cache_to_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        CompileCache(tmp_path / "cache").program(KEY, Builder())
        assert CompileCache(tmp_path / "cache").program(KEY, Builder()).cache == "hit"
    finally:
        os.umask(before)
