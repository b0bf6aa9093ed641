"""The runtimes of running processes: of trees, and of a real process that maps one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.doctor.host_facts import LoadedRuntimes
from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.doctor.read import read_loaded_runtimes
from tests.doctor.trees import write_tree

MAPS = """\
00400000-00401000 r-xp 00000000 fe:00 1 /env/bin/python3.11
7f00-7f01 r--p 00000000 fe:00 2 /env/lib/a b/libgomp-a34b3233.so.1.0.0
7f01-7f02 r-xp 00001000 fe:00 2 /env/lib/a b/libgomp-a34b3233.so.1.0.0
7f02-7f03 r-xp 00000000 fe:00 3 /env/lib/libiomp5.so (deleted)
7f03-7f04 r-xp 00000000 fe:00 4 /env/lib/libompish.so
7ffc-7ffd rw-p 00000000 00:00 0 [stack]
"""


def test_runtimes_are_found_once_each_with_what_was_preloaded(tmp_path: Path) -> None:
    variables = b"A=1\0LD_PRELOAD=/x.so:/env/lib/libiomp5.so\0"
    stat = f"7 (a) b) S 1 {'0 ' * 9}{6 * os.sysconf('SC_CLK_TCK')} 0 9 9\n"
    told = {"/proc/7/stat": stat, "/proc/7/status": "Name:\ta\nRssAnon:\t    2048 kB\n"}
    root = write_tree(tmp_path, {"/proc/7/maps": MAPS, "/proc/7/environ": variables, **told})
    assert read_loaded_runtimes(7, root) == LoadedRuntimes(
        pid=7,
        paths=("/env/lib/a b/libgomp-a34b3233.so.1.0.0", "/env/lib/libiomp5.so (deleted)"),
        preloaded=("/x.so", "/env/lib/libiomp5.so"),
        cpu_s=6.0,
        anonymous_bytes=2 << 20,
    )


def test_a_process_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert read_loaded_runtimes(7, str(tmp_path)) == Unavailable("/proc/7", "there is no such process")


@pytest.mark.process
def test_a_real_process_that_maps_a_runtime_is_seen_to_do_so(tmp_path: Path) -> None:
    library = tmp_path / "libgomp.so.1"
    library.write_bytes(bytes(8192))
    hold = f"""
import mmap
with open({str(library)!r}, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
    print(flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = read_loaded_runtimes(process.pid)
        process.communicate(b"\n")
    assert isinstance(found, LoadedRuntimes)
    assert found.paths == (str(library),)
