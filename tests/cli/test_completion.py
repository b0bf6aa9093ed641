"""Words that a shell completes, asked of real shells where they are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def offered(*words: str) -> list[str]:
    """What bash would be offered for the last word."""
    environment = {
        **os.environ,
        "_IPEXLAUNCH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["ipexlaunch", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([sys.executable, "-m", "ipexlaunch"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return [line.partition(",")[2] if line.startswith("plain") else line for line in done.stdout.splitlines()]


def test_options_of_run_complete_without_a_command() -> None:
    assert offered("--nin") == ["--ninstances"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pl",), ["plan"]),
        (("scr",), ["file,scr"]),
        (("batch", "--resu"), ["--resume"]),
        (("run", "--memory-policy", "pre"), ["preferred", "preferred-many"]),
        (("plan", "--topology", "xeon-clx-2s-1n"), ["xeon-clx-2s-1n-20c-2t-interleaved"]),
        (("--ninstances", "2", "scr"), ["file,scr"]),
        (("report", "ru"), ["file,ru"]),
        (("run", "--replay", "ru"), ["dir,ru"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
    ],
)
def test_values_complete(words: tuple[str, ...], expected: list[str]) -> None:
    found = offered(*words)
    assert [each for each in expected if each not in found] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_takes_the_script(tmp_path: Path, shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "completion", shell], capture_output=True, text=True, check=True
    )
    assert "_IPEXLAUNCH_COMPLETE" in done.stdout
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"there is no {shell} here")
    script = tmp_path / "script"
    script.write_text(done.stdout, encoding="utf-8")
    subprocess.run([program, "-n", str(script)], check=True)
