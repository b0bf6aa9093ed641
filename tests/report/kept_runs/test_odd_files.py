"""Whatever stands in the place of a run directory's file: one line with the place, at once, and never a bug."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipexlaunch.documents.read_text import read_lines, read_text
from ipexlaunch.documents.text import is_deeper
from ipexlaunch.errors import DocumentError, IpexLaunchError
from ipexlaunch.measure.report import aggregate
from ipexlaunch.report.kept_runs.events_file import read_events, read_events_so_far
from ipexlaunch.report.kept_runs.open_runs import open_runs

OLD = Path(__file__).parent / "version-1"
ROOT = Path(__file__).parents[3]
NAMES = ("run.yaml", "plan.yaml", "topology.yaml", "environment.json", "events.jsonl", "report.json")


def directory(path: Path) -> None:
    path.mkdir()


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content.encode("latin-1"))


KINDS: dict[str, Callable[[Path], object]] = {
    "a pipe": lambda path: os.mkfifo(path),
    "/dev/zero": link("/dev/zero"),
    "a directory": directory,
    "a link to itself": lambda path: path.symlink_to(path),
    "nothing": text(""),
    "deep lists": text("[" * 100_000 + "]" * 100_000),
    "deep objects": text('{"a":' * 100_000 + "1" + "}" * 100_000),
    "levels that JSON still reads": text('{"schema":' + "[" * 200 + "]" * 200 + "}"),
    "a list": text("[1, 2]"),
    "a number": text("7"),
    "a long number": text('{"schema": ' + "9" * 5000 + "}"),
    "another schema": text('{"schema": "ipexlaunch/topology/99"}'),
    "bytes": text("\xff\xfe\x00{"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_none_of_ours(tmp_path: Path, name: str, kind: str) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(OLD, kept)
    (kept / name).unlink()
    KINDS[kind](kept / name)
    with pytest.raises(DocumentError) as error:
        open_runs([str(kept)])
    assert name in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.process
def test_the_command_ends_at_once_with_the_place(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(OLD, kept)
    (kept / "events.jsonl").unlink()
    os.mkfifo(kept / "events.jsonl")
    os.mkfifo(tmp_path / "report.json")
    for path, place in (
        (kept, "kept/events.jsonl"),
        (tmp_path / "report.json", "report.json"),
        (Path("/dev/zero"), "zero"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ipexlaunch", "report", str(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert place in done.stderr


@pytest.mark.parametrize("key", ["grace", "local_pages", "lost_time", "throughput_regex", "baseline"])
@pytest.mark.parametrize("value", ["soon", [1], {"a": 1}])
@pytest.mark.process
def test_an_option_of_another_kind_is_refused_by_a_replay(tmp_path: Path, key: str, value: object) -> None:
    if key == "throughput_regex" and value == "soon":
        return  # an expression without a group is refused as it is when it is typed
    from click.testing import CliRunner

    from ipexlaunch.cli.main import ipexlaunch

    kept = tmp_path / "kept"
    shutil.copytree(OLD, kept)
    recorded = (kept / "run.yaml").read_text().replace("directory: /home/user", f"directory: {tmp_path}")
    lines = [line for line in recorded.splitlines() if not line.startswith("options")]
    (kept / "run.yaml").write_text("\n".join([*lines, f"options: {json.dumps({key: value})}", ""]))
    result = CliRunner().invoke(ipexlaunch, ["run", "--replay", str(kept)], standalone_mode=False)
    assert isinstance(result.exception, DocumentError), result.exception
    assert f"options.{key}" in str(result.exception)


LINES = (OLD / "events.jsonl").read_text().splitlines(keepends=True)
ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        3,
        1.5,
        1e308,
        float("nan"),
        float("inf"),
        "x",
        "",
        [],
        {},
        [1],
        ["a"],
        {"0": "x"},
        1 << 70,
        "0-",
    ]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    return found + [place for key, part in parts for place in places(part, (*path, key))]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_value_of_another_kind_anywhere_in_the_events(data: st.DataObject) -> None:
    number = data.draw(st.integers(1, len(LINES) - 1))
    row = json.loads(LINES[number])
    place = data.draw(st.sampled_from(places(row)))
    here = row
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = data.draw(ODD)
    lines = [*LINES[:number], json.dumps(row) + "\n", *LINES[number + 1 :]]
    read = data.draw(st.sampled_from([read_events, read_events_so_far]))
    with contextlib.suppress(DocumentError):
        aggregate(read(lines, "events.jsonl"))


@given(
    st.recursive(
        st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    )
)
def test_depth_is_that_of_the_brackets(value: Any) -> None:
    def depth(value: Any) -> int:
        if not isinstance(value, (dict, list)):
            return 0
        return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)

    for levels in range(5):
        assert is_deeper(value, levels) == (depth(value) > levels)


def test_a_file_without_an_end_is_not_read_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipexlaunch.documents.read_text.LARGEST_BYTES", 1000)
    monkeypatch.setattr("ipexlaunch.documents.read_text.LONGEST_LINE_BYTES", 1000)
    path = tmp_path / "large"
    path.write_text("x" * 1001)
    for read in (read_text, lambda name: list(read_lines(name))):
        with pytest.raises(DocumentError, match="more than 1000 bytes"):
            read(str(path))
    path.write_text("x" * 1000)
    assert read_text(str(path)) == "".join(read_lines(str(path))) == "x" * 1000


@pytest.mark.process
def test_a_pipe_that_a_shell_hands_over_is_read(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("x")
    code = "import sys; from ipexlaunch.documents.read_text import read_text; sys.stdout.write(read_text(sys.argv[1]))"
    command = f"cat plan | {sys.executable} -c '{code}' /dev/stdin; cat plan | {sys.executable} -c '{code}' /dev/fd/0"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.stdout == "xx", done.stderr


def test_errors_are_of_ours_for_every_path() -> None:
    for path in ("", "\0", "/", "/proc/self/mem", "x" * 5000, "/dev/null", "/nowhere/at/all"):
        with pytest.raises(IpexLaunchError):
            read_text(path)
