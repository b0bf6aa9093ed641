"""What a batch job does to files that it was not asked to make: nothing."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipexlaunch.cli.main import main

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]

PROGRAM = """
from ipexlaunch import worker
for batch in worker.batches():
    open("started", "w").close()
    batch.done([1] * len(batch))
"""


ODD_INPUTS = (
    "twice.csv", "no.csv", "latin.txt", "packed.zst.txt", "not.parquet", "list.jsonl", "packed.jsonl", "some.jsonl",
    "absent.jsonl",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "in.jsonl").write_text("".join(f'{{"n": {n}, "text": "t{n}"}}\n' for n in range(5)))
    return tmp_path


def words(*options: str, program: str = "program.py") -> list[str]:
    more = [] if "--input" in options else ["--input", "in.jsonl"]
    return [
        sys.executable, "-m", "ipexlaunch", "batch", "--ninstances", "1", "--no-progress", *more, *options, program,
    ]  # fmt: skip


def batch(
    folder: Path, *options: str, program: str = "program.py", given: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder / "home")}
    line = words(*options, program=program)
    return subprocess.run(line, cwd=folder, env=variables, capture_output=True, timeout=200, input=given or b"")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def finished_job(folder: Path, *options: str) -> dict[str, bytes]:
    done = batch(folder, "--output", "out.jsonl", *options)
    assert done.returncode == 0, done.stderr
    (folder / "started").unlink()
    return contents(folder)


def rows(folder: Path, name: str = "out.jsonl") -> int:
    return len((folder / name).read_bytes().splitlines())


@pytest.mark.parametrize("more", [[], ["--keep-order"]])
def test_the_input_is_not_replaced_by_the_output(
    folder: Path, more: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "link.jsonl").symlink_to("in.jsonl")
    os.link(folder / "in.jsonl", folder / "hard.jsonl")
    before = contents(folder)
    done = batch(folder, "--output", "in.jsonl", "--overwrite", *more)
    assert done.returncode == 2, done.stderr
    monkeypatch.chdir(folder)
    for name in ("./in.jsonl", "link.jsonl", "hard.jsonl", str(folder / "in.jsonl")):
        assert main(words("--output", name, "--overwrite", *more)[3:]) == 2
        assert "it is the input" in capfd.readouterr().err
    assert contents(folder) == before


def test_standard_input_and_output_that_are_one_file_are_found_out(folder: Path) -> None:
    before = contents(folder)
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "in.jsonl").open("rb") as given:
        done = subprocess.run(
            words("--input", "-", "--output", "in.jsonl", "--overwrite"), cwd=folder, env=variables, stdin=given,
            capture_output=True, timeout=100,
        )  # fmt: skip
    assert (done.returncode, b"it is the input" in done.stderr) == (2, True), done.stderr
    with (folder / "in.jsonl").open("ab") as output:
        done = subprocess.run(
            words("--output", "-"), cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.PIPE, timeout=100,
        )  # fmt: skip
    assert (done.returncode, b"write standard output" in done.stderr) == (2, True), done.stderr
    assert contents(folder) == before


def test_what_is_wrong_with_the_request_is_said_while_all_is_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = finished_job(folder)
    monkeypatch.chdir(folder)
    (folder / "some.jsonl").mkdir()
    for name, content in (
        ("twice.csv", b"a,a\n1,2\n"),
        ("no.csv", b""),
        ("latin.txt", b"caf\xe9\n"),
        ("packed.zst.txt", b"\x28\xb5\x2f\xfd rest"),
        ("not.parquet", b"not parquet"),
        ("list.jsonl", b"[1,\n2]\n"),
        ("packed.jsonl", gzip.compress(b'{"n": 1}\n', mtime=0)[:5]),
    ):
        before[str(folder / name)] = content
        (folder / name).write_bytes(content)
    for options in (
        ["--text-field", "typo"],
        ["--id-field", "typo"],
        ["--text-field", "typo", "--on-bad-line", "dead-letter"],
        ["--tokens-field", "text"],
        *(["--input", name] for name in ODD_INPUTS),
        ["--model", "random:bert-base"],
        ["--output-format", "parquet", "--resume", "--overwrite"],
        ["--report", "."],
        ["--metrics-port", "1", "--metrics-address", "203.0.113.1"],
    ):
        line = words("--output", "out.jsonl", "--overwrite", *options)[3:]
        assert main(line[:-1] if "--model" in options else line) == 2, options
        said = capfd.readouterr().err
        assert len(said.splitlines()) == 1, (options, said)
        assert "--resume --on-bad-line" not in said
        assert contents(folder) == before, options


def test_the_first_item_of_a_pipe_is_looked_at_before_an_old_output_goes(folder: Path) -> None:
    before = finished_job(folder)
    options = ["--input", "-", "--output", "out.jsonl", "--overwrite"]
    done = batch(folder, *options, "--text-field", "typo", given=b'{"text": "t"}\n')
    assert done.returncode == 2, done.stderr
    assert contents(folder) == before
    # However late it comes.
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words(*options, "--text-field", "typo"), cwd=folder, env=variables, stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert b"waiting for the first item" in process.stderr.readline()
        now = contents(folder)
        assert now.pop(str(folder / ".out.jsonl.held")).startswith(b"{")
        assert now == before
        process.communicate(b'{"text": "t"}\n', timeout=100)
    assert process.returncode == 2
    assert contents(folder) == before
    done = batch(folder, *options, "--text-field", "text", given=b'{"text": "t"}\n')
    assert done.returncode == 0, done.stderr
    assert rows(folder) == 1


def test_a_link_in_the_place_of_the_ledger_is_not_followed(folder: Path) -> None:
    (folder / "victim").write_text("mine")
    for target in ("victim", "nowhere"):
        (folder / "out.jsonl.ledger").symlink_to(target)
        before = contents(folder)
        assert batch(folder, "--output", "out.jsonl", "--overwrite").returncode == 2
        assert contents(folder) == before
        (folder / "out.jsonl.ledger").unlink()


def test_a_corrected_command_works_without_another_option(folder: Path) -> None:
    (folder / "broken.py").write_text("raise SystemExit('no such model')\n")
    assert batch(folder, "--output", "runs/new/out.jsonl", "--text-field", "typo").returncode == 2
    assert not (folder / "runs").exists()
    assert batch(folder, "--output", "runs/new/out.jsonl", program="broken.py").returncode == 1
    done = batch(folder, "--output", "runs/new/out.jsonl", "--report", "runs/other/report.json")
    assert done.returncode == 0, done.stderr
    assert rows(folder, "runs/new/out.jsonl") == 5
    assert json.loads((folder / "runs/other/report.json").read_text())["valid"]
    # Results are not begun anew by themselves.
    done = batch(folder, "--output", "runs/new/out.jsonl")
    assert done.returncode == 2
    assert b"--overwrite" in done.stderr


def test_hints_that_cannot_help_are_not_printed(folder: Path) -> None:
    (folder / "late.jsonl").write_text('{"text": "a"}\n' * 3 + "broken\n")
    done = batch(folder, "--input", "late.jsonl", "--output", "out.jsonl")
    assert done.returncode == 4
    assert b"--resume --on-bad-line dead-letter" in done.stderr
    done = batch(folder, "--input", "-", "--output", "piped.jsonl", given=(folder / "late.jsonl").read_bytes())
    assert done.returncode == 4
    assert b"--resume" not in done.stderr


def test_what_is_no_file_gets_the_results_as_a_stream_and_stays_what_it_is(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    done = batch(folder, "--output", "pipe", "--overwrite")
    assert (done.returncode, b"nobody reads it" in done.stderr) == (2, True), done.stderr
    for more in ([], ["--keep-order"]):
        with subprocess.Popen(["cat", str(folder / "pipe")], stdout=subprocess.PIPE) as reader:
            deadline = time.monotonic() + 60
            while done.returncode == 2 and time.monotonic() < deadline:
                done = batch(folder, "--output", "pipe", *more)  # 2: the reader has not opened it yet
            assert done.returncode == 0, done.stderr
            assert reader.stdout is not None
            numbers = [json.loads(line)["number"] for line in reader.stdout]
        assert numbers == sorted(numbers) if more else sorted(numbers) == [0, 1, 2, 3, 4]
        done.returncode = 2
    assert stat.S_ISFIFO((folder / "pipe").lstat().st_mode)
    done = batch(folder, "--output", "/dev/stdout")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
    done = batch(folder, "--output", "/dev/stdout", "--output-format", "parquet")
    assert done.returncode == 2
    assert sorted(path.name for path in folder.iterdir()) == ["in.jsonl", "pipe", "program.py", "started"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_not_made_a_file(folder: Path) -> None:
    try:
        os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (folder / "null").write_bytes(b"x")
    except PermissionError:
        pytest.skip("devices cannot be made or opened here")
    for more in ([], ["--keep-order"], ["--report", "null"]):
        done = batch(folder, "--output", "null", "--overwrite", *more)
        assert done.returncode == 0, done.stderr
    assert stat.S_ISCHR((folder / "null").lstat().st_mode)
    for option in ("--run-dir", "--log-dir"):
        assert batch(folder, "--output", "out.jsonl", option, "null").returncode == 2
    (folder / "out.jsonl.ledger").symlink_to("null")
    assert batch(folder, "--output", "out.jsonl", "--overwrite").returncode == 2
    assert stat.S_ISCHR((folder / "null").lstat().st_mode)
