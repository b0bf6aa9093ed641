"""One file has one use, whatever names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipexlaunch.cli.options.check_files import refuse_overlaps
from ipexlaunch.errors import RequestError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "in").write_text("x")
    (tmp_path / "symbolic").symlink_to("in")
    os.link(tmp_path / "in", tmp_path / "hard")
    (tmp_path / "folder").mkdir()
    (tmp_path / "other folder").symlink_to("folder")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["in", "./in", "folder/../in", "symbolic", "hard"])
def test_a_file_that_is_read_is_not_written_by_any_of_its_names(files: Path, name: str) -> None:
    for path in (name, str(files / name)):
        with pytest.raises(RequestError, match=r"write the report to .*: it is the input"):
            refuse_overlaps([("the input", "in")], [("the report", path)])
    assert (files / "in").read_text() == "x"


def test_two_things_are_not_written_to_one_file_also_where_it_does_not_exist_yet(files: Path) -> None:
    with pytest.raises(RequestError, match="it is the results"):
        refuse_overlaps([], [("the results", "folder/new"), ("the report", str(files / "other folder" / "new"))])
    refuse_overlaps([], [("the results", "folder/new"), ("the report", "folder/new.json"), ("the page", None)])


def test_one_file_may_be_read_twice_and_a_stream_written_twice(files: Path) -> None:
    os.mkfifo(files / "pipe")
    refuse_overlaps([("the input", "in"), ("the text", "hard")], [("the results", "pipe"), ("the report", "pipe")])
