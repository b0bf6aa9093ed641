"""One table of who starts threads: what the shell's variables mean, whose a thread is, and the page that shows it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.doctor.thread_pools import COUNTS, LIMITS, POOLS, cure_of, pool_of_thread
from ipexlaunch.doctor.worker_variables import mismatched_thread_counts
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.make_launch import make_launch
from tests.launch.test_job import plan

PAGE = Path(__file__).parents[2] / "docs" / "binding.md"


def test_names_are_unique_and_every_expression_is_one() -> None:
    assert len({pool.name for pool in POOLS}) == len(POOLS)
    for pool in POOLS:
        assert pool.cure
        for expression in (pool.files, pool.mapped):
            re.compile(expression)


def row_of(name: str) -> str:
    pool = next(pool for pool in POOLS if pool.name == name)
    variables = ", ".join(f"`{variable}`" for variable in (*pool.variables, *pool.limits)) or "-"
    return f"| {pool.name} | {variables} | {cure_of(pool.name, 8).replace('|', chr(92) + '|')} |"


def test_the_page_has_a_row_for_each_with_its_cure_for_eight_threads() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("### The table")[2].partition("\n## ")[0]
    assert [row_of(pool.name) for pool in POOLS] == [line for line in table.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, {}),
        ({"MKL_NUM_THREADS": "1"}, {"MKL_NUM_THREADS": "1"}),
        ({"OPENBLAS_NUM_THREADS": " 1 ", "POLARS_MAX_THREADS": "2"}, {"OPENBLAS_NUM_THREADS": "1"}),
        ({"GOMAXPROCS": "1", "RAYON_NUM_THREADS": "64"}, {"GOMAXPROCS": "1", "RAYON_NUM_THREADS": "64"}),
        ({"OMP_NUM_THREADS": "2"}, {}),
        ({"OMP_NUM_THREADS": "4,2"}, {"OMP_NUM_THREADS": "4,2"}),
        ({"JULIA_NUM_THREADS": "auto", "PYTHON_CPU_COUNT": "default", "MKL_NUM_THREADS": ""}, {}),
        ({"OMP_THREAD_LIMIT": "1"}, {"OMP_THREAD_LIMIT": "1"}),
        ({"OMP_THREAD_LIMIT": "64", "NUMEXPR_MAX_THREADS": "2"}, {}),
    ],
)
def test_a_count_of_the_shell_that_is_not_the_slices_is_found(variables: dict[str, str], found: dict[str, str]) -> None:
    assert mismatched_thread_counts(variables, [2, 2]) == found


def test_with_instances_of_unlike_sizes_no_count_fits() -> None:
    assert mismatched_thread_counts({"MKL_NUM_THREADS": "2"}, [2, 4]) == {"MKL_NUM_THREADS": "2"}


@given(st.dictionaries(st.sampled_from([*COUNTS, *LIMITS]), st.from_regex(r"[0-9]{1,3}", fullmatch=True)))
def test_every_worker_gets_its_own_count_whatever_the_shell_says_and_a_note_names_each_that_is_replaced(
    shell: dict[str, str],
) -> None:
    launch = make_launch(plan({0, 1}, {2, 3}), Job(program="a.py"), shell)
    for worker in launch.workers:
        seen = {**shell, **worker.environment}
        assert all(int(seen[name]) == 2 for name in COUNTS if name in seen)
        assert all(int(seen[name]) >= 2 for name in LIMITS if name in seen)
    replaced = [name for name in shell if shell[name] != launch.workers[0].environment.get(name, shell[name])]
    assert all(any(f"{name}={shell[name]}" in note for note in launch.notes) for name in replaced)


def test_what_the_user_says_by_env_is_kept_without_a_note() -> None:
    job = Job(program="a.py", environment={"MKL_NUM_THREADS": "1"})
    launch = make_launch(plan({0, 1}), job, {"MKL_NUM_THREADS": "1"})
    assert launch.workers[0].environment["MKL_NUM_THREADS"] == "1"
    assert not launch.notes


PYTHON = "/usr/bin/python3.11"
CTRANSLATE2 = "/s/ctranslate2.libs/libctranslate2-a7a60d30.so.4.8.5"


@pytest.mark.parametrize(
    ("begins_in", "thread", "program", "mapped", "owner"),
    [
        ("/s/torch/lib/libgomp.so.1", "python", PYTHON, (), "OpenMP"),
        ("/s/scikit_learn.libs/libgomp-a34b3233.so.1.0.0", "python", PYTHON, (), "OpenMP"),
        ("/e/lib/libiomp5.so", "python", PYTHON, (), "OpenMP"),
        ("/usr/lib/libgomp.so.1", "llama-bench", "/usr/bin/llama-bench", ("/usr/bin/llama-bench",), "llama.cpp"),
        ("/usr/lib/libgomp.so.1", "python", PYTHON, ("/s/llama_cpp/lib/libggml-cpu.so",), "llama.cpp"),
        ("/s/ctranslate2.libs/libgomp-e985bcbb.so.1.0.0", "python", PYTHON, (CTRANSLATE2,), "CTranslate2"),
        ("/s/torch/lib/libgomp.so.1", "python", PYTHON, (CTRANSLATE2, "/s/torch/lib/libtorch_cpu.so"), "OpenMP"),
        ("/s/numpy.libs/libscipy_openblas64_-32a4b2a6.so", "python", PYTHON, (), "OpenBLAS"),
        ("/s/_duckdb.cpython-311-x86_64-linux-gnu.so", "python", PYTHON, (), "DuckDB"),
        ("/s/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so", "python", PYTHON, (), "ONNX Runtime"),
        ("/s/openvino/libs/libtbb.so.12", "python", PYTHON, ("/s/openvino/libs/libopenvino.so.2641",), "OpenVINO"),
        ("/usr/lib/libtbb.so.12", "program", "/usr/bin/program", (), "oneTBB"),
        ("/s/_polars_runtime.abi3.so", "polars-1", PYTHON, (), "Polars"),
        ("/usr/lib/libpython3.11.so.1.0", "python", PYTHON, (), "Python's pools"),
        ("/usr/bin/pigz", "pigz", "/usr/bin/pigz", (), "pigz"),
        ("/usr/lib/x86_64-linux-gnu/liblzma.so.5", "xz", "/usr/bin/xz", (), "xz"),
        ("", "zstd", "/usr/bin/zstd", (), "zstd"),
        ("", "ffmpeg", "/s/imageio_ffmpeg/binaries/ffmpeg-linux-x86_64-v7.0.2", (), "FFmpeg"),
        ("/jdk/lib/server/libjvm.so", "G1 Conc#0", "/jdk/bin/java", (), "Java"),
        ("/usr/bin/node", "libuv-worker", "/usr/bin/node", (), "Node.js"),
        ("", "python", PYTHON, ("/s/_duckdb.cpython-311.so",), "DuckDB"),
        ("", "python", PYTHON, (), ""),
        ("", "my-program", "/home/me/my-program", (), ""),
    ],
)
def test_whose_a_thread_is(begins_in: str, thread: str, program: str, mapped: tuple[str, ...], owner: str) -> None:
    assert pool_of_thread(begins_in, thread, program, mapped) == owner
