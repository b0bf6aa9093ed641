"""`ipexlaunch topology` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.cli.main import main
from ipexlaunch.machine.probe import open_topology
from tests.machine.probe.rich_machine import RICH
from tests.sysfs_writer import write_sysfs


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert main(["topology", *words]) == code
    out, err = capsys.readouterr()
    return out, err


@pytest.mark.parametrize("form", ["table", "tree", "drawing"])
def test_pictures_fit_a_page_and_end_in_a_newline(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys, "--topology", "2s 64c 2t", "--format", form)
    assert err == ""
    assert out.endswith("\n")
    assert not out.endswith("\n\n")
    assert max(map(len, out.splitlines())) <= 100
    assert "2 sockets" in out


def test_a_table_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--topology", "2s 2c") == said(capsys, "--topology", "2s 2c", "--format", "table")


def test_svg_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "--topology", "2s 2c", "--format", "svg")
    assert out.startswith("<svg ")
    assert out.endswith("</svg>\n")


def test_documents_read_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    machine = open_topology("2s 3+2c 2t")
    for form in ("yaml", "json"):
        path = tmp_path / f"machine.{form}"
        path.write_text(said(capsys, "--topology", "2s 3+2c 2t", "--format", form)[0])
        assert open_topology(str(path)).cpus == machine.cpus
    assert json.loads(path.read_text())["schema"] == "ipexlaunch/topology/1"


def test_explain_names_the_file_for_each_cpu(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_sysfs(RICH, tmp_path)
    out, _ = said(capsys, "--topology", str(tmp_path), "--explain")
    assert "not cpu 11: offline" in out
    assert "outside the affinity of this process (proc/self/status: 0-5)" in out


def test_save_takes_a_snapshot_that_is_the_same_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_sysfs(RICH, tmp_path / "root")
    path = tmp_path / "machine.tar.gz"
    out, err = said(capsys, "--topology", str(tmp_path / "root"), "--save", str(path))
    assert (out, err.split(" ")[0]) == ("", "saved")
    assert open_topology(str(path)).cpus == RICH.cpus
    _, err = said(capsys, "--save", str(tmp_path / "live.tar.gz"))
    assert "files of this machine" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--topology", "nope"],
            "no sentence, and no machine of `ipexlaunch topology --list`",
        ),
        (["--topology", "2s 0c"], "there must be at least 1"),
        (["--topology", "/"], None),
        (["--topology", "2s", "--save", "x.tar.gz"], "it is a description, not a machine; print it with --format yaml"),
        (["--topology", "nope", "--save", "x.tar.gz"], "it is no file, no directory"),
        (["--save", "x.zip"], "the name does not end in .tar.gz"),
        (["--format", "png"], "'png' is not one of"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    words: list[str], message: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if message is None:
        said(capsys, *words)
        return
    out, err = said(capsys, *words, code=2)
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_reading_the_live_machine_loads_nothing_heavy() -> None:
    heavy = ("pydantic", "yaml", "tarfile", "psutil", "rich", "pathlib", "subprocess", "hashlib")
    program = (
        "import sys; before = set(sys.modules)\n"
        "from ipexlaunch.machine.probe import open_topology; open_topology('live')\n"
        f"print([name for name in {heavy} if name in sys.modules and name not in before])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
