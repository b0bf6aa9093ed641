"""tools/make_deb.py: versions in Debian's order, and a control file that dpkg reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.load_tool import load_tool

make_deb = load_tool("make_deb")


@pytest.mark.parametrize(
    ("version", "debian"),
    [("0.2.0", "0.2.0"), ("0.2.0.dev0", "0.2.0~dev0"), ("0.2.0rc1", "0.2.0~rc1"), ("1.0b2", "1.0~b2")],
)
def test_a_version_in_preparation_comes_before_the_release(version: str, debian: str) -> None:
    assert make_deb.debian_version(version) == debian
    if shutil.which("dpkg") and debian != "0.2.0":
        release = debian.partition("~")[0]
        assert subprocess.run(["dpkg", "--compare-versions", debian, "lt", release], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb")
def test_dpkg_reads_the_control_file(tmp_path: Path) -> None:
    (tmp_path / "stage/DEBIAN").mkdir(parents=True)
    fields = {"version": "0.2.0~dev0", "architecture": "all", "maintainer": "Me <me@host>", "size_kib": 1}
    fields |= {"python": "3.11", "next_python": "3.12", "summary": "Inference"}
    (tmp_path / "stage/DEBIAN/control").write_text(make_deb.CONTROL.format(**fields))
    subprocess.run(["dpkg-deb", "--build", tmp_path / "stage", tmp_path / "x.deb"], check=True, capture_output=True)
    words = ["dpkg-deb", "--field", str(tmp_path / "x.deb"), "Depends"]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout.startswith("python3 (>= 3.11), ")


def test_a_python_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("there is no dpkg-deb")
    words = [sys.executable, str(make_deb.__file__), "--python", str(tmp_path / "python3")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"deb: there is no {tmp_path}/python3 here: apt-get install python3\n"
