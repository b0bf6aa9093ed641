"""Libraries that are preloaded: tried first, not beside what does not bear them, and named where a worker dies."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.doctor.worker_variables import (
    ALLOCATORS,
    DIES_EARLY_S,
    preload_conflict,
    preload_crash_hint,
    preload_kinds,
)
from ipexlaunch.launch.preload_libraries import libraries_there, why_not
from tests.cli.test_run_command import ipexlaunch

ELF_HEAD = Path("/proc/self/exe").read_bytes()[:64]
PYTHON = (sys.executable, "-V")

ABORTS = "#include <stdlib.h>\n#include <stdio.h>\n__attribute__((constructor)) static void start(void) {{ {what} }}\n"


def built(path: Path, what: str) -> str:
    """A library that does this when it is loaded."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.with_suffix(".c")
    source.write_text(ABORTS.format(what=what))
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(path), str(source)], check=True)
    return str(path)


@pytest.mark.process
def test_a_library_that_starts_is_no_problem(tmp_path: Path) -> None:
    assert why_not(built(tmp_path / "liba.so", ""), PYTHON, os.environ) == ""


@pytest.mark.process
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ('fputs("<jemalloc>: Unsupported system page size\\n", stderr); abort();', "Unsupported system page size"),
        ("*(volatile int *)0 = 1;", "was killed by SIGSEGV"),
        ("_Exit(3);", "ended with exit code 3"),
    ],
)
def test_a_library_that_ends_the_program_is_refused_with_its_words(tmp_path: Path, what: str, reason: str) -> None:
    assert reason in why_not(built(tmp_path / "liba.so", what), PYTHON, os.environ)


@pytest.mark.process
def test_a_library_that_the_linker_goes_on_without_is_refused(tmp_path: Path) -> None:
    short = tmp_path / "libjemalloc.so.2"
    short.write_bytes(ELF_HEAD)
    assert "cannot be loaded: " in why_not(str(short), PYTHON, os.environ)
    assert "cannot be loaded: " in why_not(str(tmp_path / "missing.so"), PYTHON, os.environ)
    blank = tmp_path / "a b" / "liba.so"
    assert "blank" in why_not(str(blank), PYTHON, os.environ)


def home_with(tmp_path: Path, what: str | None) -> dict[str, str]:
    """Variables of a user whose own folder has a jemalloc: one that cannot be loaded, or that does this."""
    library = tmp_path / "home/.local/lib/libjemalloc.so.2"
    if what is None:
        library.parent.mkdir(parents=True)
        library.write_bytes(ELF_HEAD)
    else:
        built(library, what)
    return {"HOME": str(tmp_path / "home"), "LD_PRELOAD": ""}


def is_alone(variables: dict[str, str]) -> bool:
    """Whether the user's own jemalloc is the only allocator here that could be preloaded."""
    found = libraries_there(sys.executable, {**os.environ, **variables}, wanted=ALLOCATORS)
    return all(path.startswith(variables["HOME"]) for paths in found.values() for path in paths)


SCRIPT = "import os\nprint('preloaded', repr(os.environ.get('LD_PRELOAD')))\n"


@pytest.mark.process
@pytest.mark.parametrize("what", [None, "abort();"])
def test_auto_goes_without_an_allocator_that_cannot_start_and_says_so(tmp_path: Path, what: str | None) -> None:
    variables = home_with(tmp_path, what)
    (tmp_path / "a.py").write_text(SCRIPT)
    done = ipexlaunch("--ninstances", "1", "a.py", cwd=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert ("jemalloc is not preloaded: " in done.stderr) or not is_alone(variables)
    assert ".local/lib/libjemalloc.so.2" not in done.stdout


@pytest.mark.process
def test_asked_by_name_it_is_a_bad_request_that_says_what_would_work(tmp_path: Path) -> None:
    variables = home_with(tmp_path, "abort();")
    (tmp_path / "a.py").write_text(SCRIPT)
    done = ipexlaunch("--memory-allocator", "jemalloc", "a.py", cwd=tmp_path, **variables)
    if not is_alone(variables):
        pytest.skip("another allocator is installed here, and taken")
    assert done.returncode == 2
    assert "preload jemalloc" in done.stderr
    assert "SIGABRT" in done.stderr
    assert "--memory-allocator default" in done.stderr


@pytest.mark.process
def test_the_doctor_says_that_an_allocator_cannot_start(tmp_path: Path) -> None:
    variables = home_with(tmp_path, "abort();")
    if not is_alone(variables):
        pytest.skip("another allocator is installed here, and taken")
    done = ipexlaunch("doctor", "--format", "json", cwd=tmp_path, **variables)
    (found,) = [each for each in json.loads(done.stdout)["findings"] if each["check"] == "allocator"]
    ours = [each for each in found["evidence"] if each["where"].endswith(".local/lib/libjemalloc.so.2")]
    assert "SIGABRT" in ours[0]["value"]


@pytest.mark.process
def test_what_the_user_preloads_is_kept_and_no_second_allocator_is_put_before_it(tmp_path: Path) -> None:
    variables = home_with(tmp_path, "")
    mine = built(tmp_path / "mine/libmimalloc.so.2", "")
    (tmp_path / "a.py").write_text(SCRIPT)
    done = ipexlaunch("--ninstances", "1", "--omp-runtime", "default", "a.py", cwd=tmp_path,
                      **{**variables, "LD_PRELOAD": mine})  # fmt: skip
    assert done.stdout == f"[0] preloaded {mine!r}\n"


@pytest.mark.process
def test_a_worker_that_dies_early_under_it_is_told_the_way_out(tmp_path: Path) -> None:
    variables = home_with(tmp_path, "")
    (tmp_path / "a.py").write_text("import os\nos.abort()\n")
    done = ipexlaunch("--ninstances", "1", "--memory-allocator", "jemalloc", "a.py", cwd=tmp_path, **variables)
    assert done.returncode == 134
    assert "libjemalloc.so" in done.stderr
    assert "if that is why: --memory-allocator default" in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("by_option", [True, False])
def test_a_library_that_the_user_preloads_is_named_where_a_worker_dies_early_under_it(
    tmp_path: Path, by_option: bool
) -> None:
    mine = built(tmp_path / "mine/libtracer.so.1", "")
    (tmp_path / "a.py").write_text("import os\nos.abort()\n")
    given = ("--env", f"LD_PRELOAD={mine}") if by_option else ()
    variables = {"HOME": str(tmp_path)} if by_option else {"HOME": str(tmp_path), "LD_PRELOAD": mine}
    done = ipexlaunch("--ninstances", "1", *given, "a.py", cwd=tmp_path, **variables)
    assert done.returncode == 134
    assert f"it ran with {mine} preloaded" in done.stderr
    assert "if that is why: --env LD_PRELOAD=\n" in done.stderr


@pytest.mark.process
def test_nothing_is_preloaded_by_default_beside_a_package_that_does_not_bear_it(tmp_path: Path) -> None:
    variables = home_with(tmp_path, "")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    (packages,) = (tmp_path / "v/lib").glob("python3.*/site-packages")
    (packages / "openvino-2026.4.1.dist-info").mkdir()
    (tmp_path / "a.py").write_text(SCRIPT)
    python = str(tmp_path / "v/bin/python")
    done = ipexlaunch("--ninstances", "1", "--python", python, "a.py", cwd=tmp_path, **variables)
    assert "is not preloaded: openvino is installed" in done.stderr
    assert "libjemalloc" not in done.stdout
    done = ipexlaunch("--memory-allocator", "jemalloc", "--python", python, "a.py", cwd=tmp_path, **variables)
    assert "jemalloc is preloaded as asked, but openvino is installed" in done.stderr
    assert "libjemalloc" in done.stdout


def test_only_an_early_death_by_such_a_signal_is_laid_at_a_librarys_door() -> None:
    for number, library, way in (
        (6, "/l/libtcmalloc_minimal.so.4", "--memory-allocator default"),
        (11, "/l/libiomp5.so", "--omp-runtime default"),
    ):
        assert preload_crash_hint(number, 1.0, [library], [library]).endswith(f": {way}")
        assert preload_crash_hint(number, 1.0, [library], []).endswith(": --env LD_PRELOAD=")
    for number, lived_s, preload in ((9, 1.0, ["/l/liba.so"]), (6, DIES_EARLY_S + 1, ["/l/liba.so"]), (6, 1.0, [])):
        assert preload_crash_hint(number, lived_s, preload, preload) == ""


def test_kinds_and_conflicts() -> None:
    assert preload_kinds(["/x/libmimalloc.so.2.1"]) == preload_kinds(["/x/libtcmalloc_minimal.so.4"]) == {"allocator"}
    assert preload_kinds(["/x/libgomp-a34b.so.1", "/y/libjemalloc.so"]) == {"openmp", "allocator"}
    assert preload_kinds(["/x/libfakeroot.so", "/x/libmock.so"]) == set()
    assert preload_conflict("jemalloc", ["openvino"]) is not None
    assert preload_conflict("iomp5", ["openvino"]) is None
    assert preload_conflict("jemalloc", ["torch"]) is None
