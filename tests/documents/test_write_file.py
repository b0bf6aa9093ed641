"""A whole file is written whole or not at all, and what is no file is never replaced."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipexlaunch.documents.write_file import (
    check_directory,
    check_writable,
    descriptor_of,
    is_stream,
    open_stream,
    replaced_file,
    write_file,
)
from ipexlaunch.errors import LaunchError


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_directories_are_made_and_every_byte_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "today" / "report.json"
    write_file(str(path), ["a\udcff", b"\x00", "ü"])
    assert path.read_bytes() == b"a\xff\x00\xc3\xbc"
    assert names(path.parent) == ["report.json"]


def test_half_a_surrogate_pair_comes_back_from_json(tmp_path: Path) -> None:
    words = ["half \ud800", "byte \udcff", "other half \udfff", "ü"]
    write_file(str(tmp_path / "x.json"), json.dumps(words, ensure_ascii=False))
    assert json.loads((tmp_path / "x.json").read_text(errors="surrogateescape")) == words


def test_a_new_file_follows_the_umask_and_an_old_one_keeps_its_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(str(tmp_path / "new"), "x")
        write_file(str(tmp_path / "secret"), "x", mode=0o600)
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o604)
        write_file(str(tmp_path / "old"), "x")
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)}
    assert modes == {"new": 0o640, "secret": 0o600, "old": 0o604}


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("made")
    write_file(str(tmp_path / "link"), "new")
    write_file(str(tmp_path / "dangling"), "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == (tmp_path / "made").read_text() == "new"


def test_what_fails_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")

    def parts() -> Iterator[str]:
        yield "half of a "
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_file(str(path), parts())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]


FULL = """
import resource, signal, sys
from ipexlaunch.documents.write_file import write_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(sys.argv[1], "x" * 100_000)
except OSError as error:
    print(error.errno)
"""


@pytest.mark.process
def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    assert resource.RLIMIT_FSIZE is not None
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], env={**os.environ, "PYTHONPATH": root}, text=True,
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == str(errno.EFBIG), done.stderr
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]


def test_what_a_killed_process_left_aside_is_replaced_and_a_link_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "out.unfinished").symlink_to("precious")
    with replaced_file(str(tmp_path / "out"), aside=str(tmp_path / "out.unfinished")) as file:
        file.write(b"new")
    assert (tmp_path / "precious").read_text() == "kept"
    assert names(tmp_path) == ["out", "precious"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    check_writable(str(path), "the report")  # its reader must not see an end
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    content = b"x" * 300_000
    descriptor = os.open(path, os.O_RDWR)  # so that nobody waits for the reader to have opened it
    write_file(str(path), content)
    os.close(descriptor)
    reader.join(30)
    assert found == [content]
    assert stat.S_ISFIFO(path.lstat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_a_pipe_that_nobody_reads_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="nobody reads it"):
        write_file(str(tmp_path / "pipe"), "x")


def test_names_of_descriptors_are_streams_even_where_a_file_stands_behind(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as file:
        file.write("before ")
        file.flush()
        path = f"/dev/fd/{file.fileno()}"
        inode = os.fstat(file.fileno()).st_ino
        write_file(path, "after")
        assert (tmp_path / "log").read_text() == "before after"
        assert (tmp_path / "log").stat().st_ino == inode
        (tmp_path / "link").symlink_to(path)
        assert descriptor_of(str(tmp_path / "link")) == file.fileno()
    assert descriptor_of("/dev/stdout") == 1
    assert descriptor_of("/proc/self/fd/2") == 2
    assert descriptor_of(f"/proc/{os.getppid()}/fd/2") is None
    assert descriptor_of(str(tmp_path / "log")) is None
    assert descriptor_of(str(tmp_path / "1")) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_written_to_and_a_disk_is_refused(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(tmp_path / "disk", 0o666 | stat.S_IFBLK, os.makedev(1, 15))
        write_file(str(tmp_path / "null"), "x")
    except PermissionError:
        pytest.skip("devices cannot be made or opened here")
    assert stat.S_ISCHR((tmp_path / "null").lstat().st_mode)
    assert is_stream(str(tmp_path / "null"))
    with pytest.raises(OSError, match="it is a disk"):
        open_stream(str(tmp_path / "disk"))
    with pytest.raises(LaunchError, match="it is a disk"):
        check_writable(str(tmp_path / "disk"), "the report")
    with pytest.raises(LaunchError, match="no regular file"):
        check_writable(str(tmp_path / "null"), "the metrics", regular=True)


def test_what_cannot_be_written_is_found_out_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, problem in (
        (str(tmp_path), "directory"),
        (f"{tmp_path}/", "directory"),
        (".", "directory"),
        (f"{tmp_path}/new/", "directory"),
        (f"{tmp_path}/file/report.json", "[Nn]ot a directory"),
        (f"{tmp_path}/{'n' * 300}", "too long"),
        ("/proc/nowhere/report.json", "No such file|denied|not permitted"),
    ):
        with pytest.raises(LaunchError, match=problem):
            check_writable(path, "the report")
    with pytest.raises(LaunchError, match="no directory"):
        check_directory(str(tmp_path / "file"), "logs")
    check_writable(str(tmp_path / "a" / "b" / "report.json"), "the report")
    check_directory(str(tmp_path / "a" / "logs"), "logs")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    (tmp_path / "kept").chmod(0o444)
    with pytest.raises(LaunchError, match="denied"):
        check_writable(str(tmp_path / "kept"), "the report")
    with pytest.raises(PermissionError):
        write_file(str(tmp_path / "kept"), "y")
