"""models/run/prepare_torch.py in the environment with torch: compiled programs, their cache, and plain parameters."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import psutil
import pytest

from ipexlaunch.models.engines.candidate import Candidate, floating
from ipexlaunch.models.engines.model_job import ModelJob
from tests.examples.run_examples import ROOT, run, torch_python
from tests.examples.status_channel import talk_to, without_launcher
from tests.models.run.environments import facts_of, phases_of, work, work_and_listen

pytestmark = [pytest.mark.torch, pytest.mark.process]

INT4 = Candidate(engine="torch", dtype="int4", scheme="weight-only", activations="bf16", group_size=32)


def ask(what: str) -> dict[str, Any]:
    done = run(torch_python(), "-m", "tests.models.run.torch_checks", what)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


BERT = ModelJob(
    model="random:bert-tiny",
    task="embed",
    candidate=floating("torch", "bf16"),
    batch_size=2,
    input_tokens=16,
    seconds=0.1,
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelJob, list[dict[str, Any]]]:
    """A job, and what its first worker said, which compiled it."""
    job = replace(BERT, cache=str(tmp_path_factory.mktemp("compiled")))
    return job, work_and_listen(torch_python(), job)


@pytest.mark.slow
def test_the_second_worker_starts_from_what_the_first_compiled(
    compiled: tuple[ModelJob, list[dict[str, Any]]],
) -> None:
    job, first = compiled
    second = work_and_listen(torch_python(), job)
    assert phases_of(first) == [
        "imports", "loading", "checking", "converting", "compiling", "checking", "warming up", "ready", "finished"
    ]  # fmt: skip
    assert phases_of(second) == [phase for phase in phases_of(first) if phase != "compiling"]
    assert facts_of(first)["cache"] == "miss"
    assert facts_of(first)["compile_s"] > 0
    assert facts_of(second)["cache"] == "hit"
    assert facts_of(second)["compile_s"] == 0
    assert facts_of(second)["host_overhead_ms"] > 0
    # The very same program gives the very same answers; 1 would mean that nothing ran in bfloat16.
    assert facts_of(first)["check"] == facts_of(second)["check"]
    assert 0.995 < facts_of(second)["check"]["cosine"] < 1


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root has mounts of its own")
def test_a_cache_on_a_file_system_that_runs_nothing_is_used_all_the_same(
    compiled: tuple[ModelJob, list[dict[str, Any]]],
) -> None:
    job, first = compiled
    mounts = f'mount --bind "{job.cache}" "{job.cache}" && mount -o remount,bind,noexec "{job.cache}" && exec "$@"'
    worker = [torch_python(), "-m", "ipexlaunch.models.run_model", job.to_json()]
    said = talk_to(["unshare", "--mount", "sh", "-c", mounts, "-", *worker], cwd=str(ROOT))
    assert facts_of(said)["cache"] == "hit"
    assert facts_of(said)["check"] == facts_of(first)["check"]


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_nothing_in_the_directory_for_temporary_files(tmp_path: Path) -> None:
    cache, temporary = tmp_path / "cache", tmp_path / "temporary"
    temporary.mkdir()
    words = ["--python", torch_python(), "--model", BERT.model, "--engine", "torch", "--dtype", "bf16", "--force-dtype"]
    sizes = ["--batch-size", "2", "--input-tokens", "16", "--duration", "300", "--ninstances", "1"]
    command = [sys.executable, "-m", "ipexlaunch", "bench", *words, *sizes, "--cache-dir", str(cache)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=without_launcher(os.environ) | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
    ) as launch:  # fmt: skip
        mapped: set[Path] = set()
        while not mapped:
            assert launch.poll() is None, launch.stdout and launch.stdout.read()
            sleep(0.1)
            for process in psutil.Process(launch.pid).children(recursive=True):
                if found := programs_mapped_by(process.pid):
                    mapped = found
                    process.kill()
        assert launch.wait(timeout=60) == 128 + signal.SIGKILL
    assert [path.relative_to(cache).parts[1:3] for path in mapped] == [("files", "program")]
    # Headers that torch keeps for all compilations of a user.
    assert [path.name for path in temporary.glob("*/*")] == ["precompiled_headers"]
    assert len(list(temporary.iterdir())) == 1


def programs_mapped_by(pid: int) -> set[Path]:
    """The libraries of compiled programs in a process; none of one that has ended."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError:
        return set()
    return {Path(line.split(maxsplit=5)[5]) for line in maps.splitlines() if ".wrapper.so" in line}


def test_a_program_that_is_mapped_where_it_lies_says_what_an_extracted_package_says() -> None:
    found = ask("forms")
    assert found["encoder"] == [True] * 3
    assert found["step"] == [True]
    assert found["mapped"] == found["left beside them"] == ["encoder", "step"]
    assert found["rooms by"] == ["valloc"]  # weights begin a page


@pytest.mark.slow
def test_a_compiled_decoder_follows_eager_fp32_with_int4_weights(tmp_path: Path) -> None:
    job = ModelJob(
        model="random:llama-68m",
        task="generate",
        candidate=INT4,
        batch_size=2,
        input_tokens=16,
        new_tokens=5,
        seconds=0.1,
        cache=str(tmp_path),
    )
    said = work_and_listen(torch_python(), job)
    facts = facts_of(said)
    # Two layers of seven products, and the output.
    assert facts["quantised_layers"] == facts["unwrapped_layers"] == 15
    assert 0 < facts["check"]["logit_error"] < 0.3
    samples = {name: sum(len(m["values_s"]) for m in said if m["event"] == "samples" and m["name"] == name)
               for name in ("first_token", "next_token")}  # fmt: skip
    assert samples["next_token"] == 4 * samples["first_token"] > 0
    # The prompt's program and the step's, and no other for the shorter texts of the check.
    assert len(list(tmp_path.glob("*/files/program"))) == 2


def test_a_model_that_was_given_back_answers_and_compiles_no_more() -> None:
    found = ask("release")
    assert found["alive before"] is True
    assert found["alive after"] is False
    assert found["same answers"] is True
    assert "for another shape of batch" in found["other shape"]


def test_unwrapped_layers_say_what_torchao_says() -> None:
    found = ask("layers")
    for dtype, few in (("int8", 4), ("int4", 8)):
        assert found[f"{dtype} unwrapped"] == 2
        assert found[f"{dtype} wrapped before"] is True
        assert found[f"{dtype} wrapped after"] is False
        # bfloat16 has eight bits.
        assert all(found[f"{dtype} {rows}"] < 0.02 for rows in (1, few, few + 1)), found


def test_attention_of_one_query_is_that_of_torch() -> None:
    assert max(ask("attention").values()) < 1e-5


def test_a_step_continues_what_the_prompt_began_in_every_architecture() -> None:
    found = ask("steps")
    assert set(found) == {"llama", "qwen2", "gpt2", "opt"}
    assert max(found.values()) < 1e-4, found


def test_texts_longer_than_the_attention_sees_are_refused() -> None:
    assert "generate texts of 9 tokens" in ask("windows")["refused"]


def test_one_program_answers_batches_of_any_shape_where_that_costs_nothing() -> None:
    found = ask("any_shape")
    assert found["exported"] == ["bert", "distilbert", "electra", "roberta", "xlm-roberta"]
    assert found["programs"] == 1
    assert min(found["cosines"]) > 0.99


def test_threads_caps_and_weights_are_part_of_the_key() -> None:
    assert ask("keys") == {"threads": ["threads"], "caps": ["caps"], "same weights": True, "other weights": False}


def test_integers_that_torch_has_no_kernel_for_are_refused_in_one_line() -> None:
    candidate = Candidate(engine="torch", dtype="int4", scheme="weight-only", activations="fp32")
    done = work(torch_python(), ModelJob(model="random:bert-tiny", candidate=candidate, check=False))
    assert done.returncode == 2
    assert "torch's int4 kernel is weight-only and takes bf16 activations" in done.stderr
