"""`serve --preset` as it is typed: what each server would be started with, by --dry-run."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from ipexlaunch.cli.main import main

MACHINE = "2s 1n 8c 2t"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand for the servers, which no dry run starts."""
    for name in ("vllm", "llama-server", "ovms", "text-embeddings-router"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


def commands(capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    """The words of each server's line."""
    assert main(["serve", "--topology", MACHINE, "--dry-run", *words]) == 0
    return [shlex.split(line) for line in capsys.readouterr().out.splitlines() if line.startswith("env ")]


@pytest.mark.usefixtures("programs")
def test_each_slot_has_its_own_port_threads_and_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = commands(capsys, "--preset", "llama-server", "--port", "8001", "llama-server", "-m", "x.gguf")
    assert first[-6:] == ["--port", "8001", "--host", "127.0.0.1", "--threads", "8"]
    assert second[-6:] == ["--port", "8002", "--host", "127.0.0.1", "--threads", "8"]
    first, second = commands(capsys, "--preset", "vllm", "--", "vllm", "serve", "model")
    assert "CPU_VISIBLE_MEMORY_NODES=0" in first
    assert {"CPU_VISIBLE_MEMORY_NODES=1", "VLLM_CPU_OMP_THREADS_BIND=auto"} <= set(second)


@pytest.mark.usefixtures("programs")
def test_what_is_typed_wins_and_what_a_container_sets_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTNAME", "3f2a9c")
    monkeypatch.setenv("PORT", "80")
    words = ("--preset", "tei", "--env", "RAYON_NUM_THREADS=2", "text-embeddings-router", "-p", "90{index}1")
    for index, line in enumerate(commands(capsys, *words)):
        assert line.count("RAYON_NUM_THREADS=2") == 1
        assert "RAYON_NUM_THREADS=8" not in line
        assert line[line.index("-p") + 1] == f"90{index}1"
        assert "--port" not in line
        assert line[line.index("--hostname") + 1] == "127.0.0.1"


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "llama-server", "llama-server", "--numa=isolate"), "leave --numa out"),
        (("--preset", "vllm", "--ninstances", "8", "vllm", "serve", "m"), "2 of the 3 threads that it needs"),
        (("--preset", "vllmm", "vllm"), "vllm"),
    ],
)
def test_what_would_not_serve_is_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert main(["serve", "--topology", MACHINE, "--dry-run", *words]) == 2
    assert message in capsys.readouterr().err
