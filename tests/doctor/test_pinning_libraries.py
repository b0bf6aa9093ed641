"""Which library has moved a thread out of its slice, and what is said of it."""

import re

import pytest

from ipexlaunch.doctor.pinning_libraries import PINNING_LIBRARIES, blame, library_of, library_that_moved

PYBIND = "/s/onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so"
ORT = "/usr/lib/libonnxruntime.so.1.32.0"
GGML = "/s/llama_cpp/lib/libggml-cpu.so"
GOMP = "/usr/lib/x86_64-linux-gnu/libgomp.so.1"
TORCH = "/s/torch/lib/libtorch_cpu.so"
PYTHON = "/usr/bin/python3.11"
TOLD = "GOMP_CPU_AFFINITY=0-3"
RESET = "KMP_AFFINITY=granularity=fine,compact,1,0,reset"


@pytest.mark.parametrize(
    ("begins_in", "mapped", "variables", "is_main", "library"),
    [
        (PYBIND, [PYBIND], [], False, PYBIND),
        ("", [TORCH, ORT], [], False, ORT),  # where it began is not told, but only one can have done it
        ("", [PYBIND], [], True, ""),  # it pins the threads of its pool, not the one that made the session
        (PYTHON, [PYBIND], [], False, ""),  # a thread of the script's own
        (GOMP, [PYBIND, GOMP], [], False, ""),
        (PYBIND, [GGML, PYBIND], [], False, PYBIND),
        ("", [GGML], [], True, GGML),
        (PYTHON, [GGML], [], False, GGML),
        (GOMP, [GGML, GOMP], [TOLD], False, GGML),
        (GOMP, [GOMP], [TOLD], False, GOMP),
        ("", [GOMP], [TOLD], True, GOMP),
        ("/e/libiomp5.so", ["/e/libiomp5.so"], ["KMP_AFFINITY=norespect,compact"], False, "/e/libiomp5.so"),
        ("/e/libiomp5.so", ["/e/libiomp5.so"], [RESET], False, ""),  # what the launcher sets keeps to the slice
        (GOMP, [GOMP], ["GOMP_CPU_AFFINITY="], False, ""),
        ("", [TORCH], [TOLD], False, ""),
    ],
)
def test_the_library_is_one_that_can_have_moved_this_thread(
    begins_in: str, mapped: list[str], variables: list[str], is_main: bool, library: str
) -> None:
    assert library_that_moved(begins_in, mapped, variables, is_main=is_main) == library


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("libonnxruntime.so.1", "ONNX Runtime"),
        ("libonnxruntime-1a2b3c4d.so.1.18.0", "ONNX Runtime"),
        ("libonnxruntime_providers_shared.so", ""),
        ("libggml-base.so.0", "llama.cpp"),
        ("libllama.so", "llama.cpp"),
        ("llama-server", "llama.cpp"),
        ("libgomp-e985bcbb.so.1.0.0", "OpenMP"),
        ("libomp.so", "OpenMP"),
        ("libcompiler.so", ""),
    ],
)
def test_files_are_known_by_their_names(file: str, name: str) -> None:
    found = library_of(f"/somewhere/{file}")
    assert (found.name if found is not None else "") == name


def test_what_is_said_has_the_file_the_cure_and_the_option_only_where_it_reaches() -> None:
    assert "--fix-pinning" in blame(PYBIND)
    assert "--fix-pinning" not in blame(ORT)
    assert "--fix-pinning" not in blame(GGML)
    assert "(libggml-cpu.so)" in blame(GGML)
    assert blame(TORCH) == blame("") == ""


def test_every_expression_is_one_and_every_row_has_its_source() -> None:
    for library in PINNING_LIBRARIES:
        assert library.source
        for expression in (library.files, library.told_by, library.fixed_in):
            re.compile(expression)
