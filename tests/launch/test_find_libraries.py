import sys
from pathlib import Path

import pytest

from ipexlaunch.launch.preload_libraries import _directories, interpreter_prefixes, libraries_there

ELF_HEAD = Path("/proc/self/exe").read_bytes()[:64]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment whose interpreter is ours, beside an empty file system root."""
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/lib").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "env/bin/python").symlink_to(sys.executable)
    (tmp_path / "env/pyvenv.cfg").write_text(f"home = {tmp_path}/base/bin\n")
    return tmp_path


def library(path: Path, head: bytes = ELF_HEAD) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head)
    return str(path)


def find(place: Path, **variables: str) -> dict[str, str]:
    found = libraries_there(str(place / "env/bin/python"), variables, str(place / "root"))
    return {name: paths[0] for name, paths in found.items()}


def test_nothing_is_found_where_nothing_is(environment: Path) -> None:
    assert find(environment) == {}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("iomp5", "env/lib/libiomp5.so"),
        ("iomp5", "base/lib/libiomp5.so"),
        ("iomp5", "root/usr/lib/llvm-14/lib/libiomp5.so"),
        ("jemalloc", "root/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"),
        ("jemalloc", "root/usr/lib/aarch64-linux-gnu/libjemalloc.so.2"),
        ("tcmalloc", "root/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4"),
        ("tcmalloc", "root/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4.5.9"),
        ("tcmalloc", "root/usr/lib64/libtcmalloc.so.4"),
        ("jemalloc", "root/usr/local/lib/libjemalloc.so"),
    ],
)
def test_a_library_is_found_where_pip_apt_and_conda_put_it(environment: Path, name: str, place: str) -> None:
    path = library(environment / place)
    assert find(environment) == {name: path}


def test_a_directory_with_two_names_is_searched_under_one(environment: Path) -> None:
    expected = library(environment / "root/usr/lib/x86_64-linux-gnu/libjemalloc.so.2")
    (environment / "root/lib").symlink_to("usr/lib")
    (environment / "root/usr/local").mkdir()
    (environment / "root/usr/local/lib64").symlink_to("../../elsewhere")
    lonely = library(environment / "root/elsewhere/libtcmalloc.so.4")
    assert find(environment) == {
        "tcmalloc": lonely.replace("elsewhere", "usr/local/lib64"), "jemalloc": expected,
    }  # fmt: skip
    searched = list(_directories(str(environment / "env/bin/python"), {}, str(environment / "root")))
    assert not [path for path in searched if path.startswith(str(environment / "root/lib"))]


def test_conda_and_the_users_own_folder_are_searched(environment: Path) -> None:
    conda = library(environment / "conda/lib/libjemalloc.so.2")
    own = library(environment / "home/.local/lib/libiomp5.so")
    found = find(environment, CONDA_PREFIX=str(environment / "conda"), HOME=str(environment / "home"))
    assert found == {"jemalloc": conda, "iomp5": own}


def test_the_interpreters_own_environment_comes_first(environment: Path) -> None:
    library(environment / "root/usr/lib/libiomp5.so")
    own = library(environment / "env/lib/libiomp5.so")
    assert find(environment) == {"iomp5": own}


def test_the_full_tcmalloc_is_preferred_to_the_minimal_one(environment: Path) -> None:
    library(environment / "env/lib/libtcmalloc_minimal.so.4")
    full = library(environment / "root/usr/lib/libtcmalloc.so.4")
    assert find(environment) == {"tcmalloc": full}


@pytest.mark.parametrize("head", [b"INPUT(libiomp5.so.1)", ELF_HEAD[:4] + b"\x01" + ELF_HEAD[5:], b""])
def test_what_cannot_be_preloaded_is_left_alone(environment: Path, head: bytes) -> None:
    library(environment / "env/lib/libiomp5.so", head)
    assert find(environment) == {}


def test_names_that_only_look_alike_are_left_alone(environment: Path) -> None:
    library(environment / "env/lib/libjemalloc.so.2.bak")
    library(environment / "env/lib/libtcmalloc_debug.so.4")
    assert find(environment) == {}


def test_an_environment_names_the_installation_it_was_made_from(environment: Path) -> None:
    prefixes = interpreter_prefixes(str(environment / "env/bin/python"))
    assert prefixes == [str(environment / "env"), str(environment / "base")]
