"""The promise of tests/conftest.py, on real pytest runs of a small file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

ONE_SKIPPED = """
import pytest

@pytest.mark.guest
def test_skips(): pytest.skip("no QEMU here")

@pytest.mark.ipex
def test_passes(): pass
"""
SKIPPED_BY_MARK = """
import pytest

@pytest.mark.guest
@pytest.mark.skipif(True, reason="no QEMU here")
def test_skips(): pass
"""
MODULE_SKIPPED = """
import pytest

pytest.skip("no QEMU here", allow_module_level=True)
"""
EXPECTED_FAILURE = """
import pytest

@pytest.mark.guest
@pytest.mark.xfail(reason="known")
def test_fails(): assert False

@pytest.mark.guest
def test_passes(): pass
"""


def run_pytest(directory: Path, text: str, required: str | None) -> tuple[int, str]:
    (directory / "pytest.ini").write_text("[pytest]\nmarkers =\n  guest: x\n  ipex: x\n")
    (directory / "test_sample.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "IPEXLAUNCH_REQUIRE"}
    if required is not None:
        environment["IPEXLAUNCH_REQUIRE"] = required
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest"),
            *("-c", str(directory / "pytest.ini"), str(directory)),
        ],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_skip_stays_a_skip_where_nothing_is_required(tmp_path: Path) -> None:
    code, text = run_pytest(tmp_path, ONE_SKIPPED, None)
    assert code == 0, text
    assert "1 passed, 1 skipped" in text


def test_a_skip_under_a_required_mark_fails_with_its_reason(tmp_path: Path) -> None:
    code, text = run_pytest(tmp_path, ONE_SKIPPED, "guest,ipex")
    assert code == 1, text
    assert "1 failed, 1 passed" in text
    assert "the test skipped itself: no QEMU here" in text


def test_a_skip_under_another_mark_is_left_alone(tmp_path: Path) -> None:
    code, text = run_pytest(tmp_path, ONE_SKIPPED, "ipex")
    assert code == 0, text
    assert "1 passed, 1 skipped" in text


def test_a_skip_by_mark_fails_as_well(tmp_path: Path) -> None:
    code, text = run_pytest(tmp_path, SKIPPED_BY_MARK, "guest")
    assert code == 1, text
    assert "no QEMU here" in text


def test_a_module_that_skips_itself_whole_cannot_hide(tmp_path: Path) -> None:
    code, text = run_pytest(tmp_path, MODULE_SKIPPED, " guest ")
    assert code == 1, text
    assert "no test with that mark passed" in text


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    code, text = run_pytest(tmp_path, EXPECTED_FAILURE, "guest")
    assert code == 0, text
    assert "1 passed, 1 xfailed" in text
