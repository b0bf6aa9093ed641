"""Messages that need another process: a namespace of mounts, another user, an ipexlaunch in an archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ipexlaunch

PACKAGE = Path(ipexlaunch.__file__).parent


def said(folder: Path, *words: str, first: tuple[str, ...] = (), path: str = "") -> str:
    """The last line of a command, typed in a folder."""
    done = subprocess.run(
        [*first, sys.executable, "-P" if sys.version_info >= (3, 11) else "-B", "-m", "ipexlaunch", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": path or str(PACKAGE.parent)}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    if "mount: " in done.stderr or "unshare: " in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 2, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root has mounts of its own")
def test_a_file_that_is_a_mount_point(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    (tmp_path / "r.json").touch()
    bound = ("unshare", "--mount", "sh", "-c", 'mount --bind r.json r.json && exec "$@"', "-")
    assert said(tmp_path, "run", "--report", "r.json", "a.py", first=bound) == (
        "ipexlaunch: cannot write the report to r.json: it is a mount point, which cannot be replaced; "
        "mount its directory instead"
    )


@pytest.mark.process
def test_workers_of_an_ipexlaunch_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in PACKAGE.rglob("*.py"):
            archive.write(file, file.relative_to(PACKAGE.parent))
    line = said(tmp_path, "bench", "--model", "random:bert-base", path=str(tmp_path / "x.zip"))
    assert line.startswith("ipexlaunch: cannot start a worker of ipexlaunch: there is no file ")
    assert line.endswith("; pip install ipexlaunch")


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="root gives up the right to read")
def test_a_script_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    (tmp_path / "a.py").chmod(0)
    less = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    line = said(tmp_path, "run", "a.py", first=less)
    assert line == "ipexlaunch: cannot run the script 'a.py': it may not be read; chmod +r a.py"
