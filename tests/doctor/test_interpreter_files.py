"""Packages and libraries of an interpreter, from its folders alone."""

from __future__ import annotations

import sys
from pathlib import Path

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.doctor.host_facts import Interpreter, NumaPackage
from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.doctor.read import find_preloaded, read_bundled_openmp, read_interpreter, read_numa_package
from tests.doctor.trees import write_tree

SITE = "/lib/python3.11/site-packages"


def environment(root: Path, *entries: str) -> str:
    write_tree(root, {"/bin/python": b"\x7fELF", **dict.fromkeys(entries, "")})
    return str(root / "bin/python")


def test_packages_are_read_from_their_folders(tmp_path: Path) -> None:
    names = ("torch-2.13.0+cpu", "intel_extension_for_pytorch-2.8.0", "Foo.Bar-1.0")
    python = environment(tmp_path, *(f"{SITE}/{name}.dist-info/METADATA" for name in names), f"{SITE}/torch/x.py")
    found = read_interpreter(python, [str(tmp_path)])
    assert isinstance(found, Interpreter)
    assert (found.path, found.version) == (python, "3.11")
    assert {name: seen.value for name, seen in found.packages.items()} == {
        "torch": "2.13.0+cpu",
        "intel-extension-for-pytorch": "2.8.0",
        "foo-bar": "1.0",
    }
    assert found.packages["torch"] == Evidence(f"{tmp_path}{SITE}/torch-2.13.0+cpu.dist-info", "2.13.0+cpu")


def test_the_virtual_environment_comes_before_what_it_was_made_from(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", f"{SITE}/torch-2.13.0.dist-info/METADATA")
    write_tree(
        tmp_path / "base", {f"/lib/python3/dist-packages/{name}.dist-info/M": "" for name in ("torch-1.0", "x-2")}
    )
    found = read_interpreter(python, [str(tmp_path / "venv"), str(tmp_path / "base")])
    assert isinstance(found, Interpreter)
    assert {name: seen.value for name, seen in found.packages.items()} == {"torch": "2.13.0", "x": "2"}


def test_a_shim_and_a_missing_interpreter_say_so(tmp_path: Path) -> None:
    shim = tmp_path / "python"
    shim.write_text("#!/bin/sh\nexec something\n")
    found = read_interpreter(str(shim), [])
    assert isinstance(found, Unavailable)
    assert "shim" in found.problem
    assert read_interpreter(str(tmp_path / "none"), []) == Unavailable(str(tmp_path / "none"), "there is no such file")


def test_runtimes_that_packages_bring_are_found_under_their_mangled_names(tmp_path: Path) -> None:
    environment(
        tmp_path,
        f"{SITE}/torch/lib/libgomp.so.1",
        f"{SITE}/torch/lib/libtorch_cpu.so",
        f"{SITE}/scikit_learn.libs/libgomp-a34b3233.so.1.0.0",
        f"{SITE}/paddle/lib/libiomp5.so",
        f"{SITE}/other.libs/libgompish.so",
    )
    found = [(library.family, library.package) for library in read_bundled_openmp([str(tmp_path)])]
    assert found == [("iomp5", "paddle"), ("gomp", "scikit_learn"), ("gomp", "torch")]


def test_our_own_interpreter_has_the_package_that_runs_this_test() -> None:
    found = read_interpreter(sys.executable, [sys.prefix])
    assert isinstance(found, Interpreter)
    assert "pytest" in found.packages
    assert found.version == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_a_preloaded_name_is_looked_for_as_the_linker_does(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "/opt/x/liba.so": "",
            "/usr/lib/libb.so": "",
            "/own/libc.so": "",
            "/etc/ld.so.cache": b"..\0libd.so.2\0/usr/lib/x/libf.so.1\0",
        },
    )
    names = [
        "/opt/x/liba.so",
        "/opt/x/none.so",
        "libb.so",
        "libc.so",
        "libd.so.2",
        "libf.so.1",
        "libd.so",
        "f.so.1",
        "/$LIB/libe.so",
    ]
    found = find_preloaded(names, {"LD_LIBRARY_PATH": "/own"}, root)
    assert found == {"/opt/x/liba.so", "libb.so", "libc.so", "libd.so.2", "libf.so.1", "/$LIB/libe.so"}
    assert find_preloaded(["libd.so.2"], {}, str(tmp_path / "empty")) == frozenset()


def test_the_numa_package_is_asked_by_whichever_of_its_two_names_it_has(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "/numa_cython_like.py": "def available(): return True\ndef get_max_node(): return 3\n",
            "/numa_blind.py": "def available(): return False\ndef get_max_node(): return 0\n",
            "/numa_ctypes_like/__init__.py": "",
            "/numa_ctypes_like/info.py": "numa_available = lambda: True\nget_num_configured_nodes = lambda: 2\n",
            "/numa_broken.py": "raise AttributeError('undefined symbol: numa_num_possible_nodes')\n",
        },
    )
    sys.path.insert(0, str(tmp_path))
    try:
        assert read_numa_package("numa_that_is_not_there") is None
        assert read_numa_package("numa_cython_like") == NumaPackage(str(tmp_path / "numa_cython_like.py"), highest_id=3)
        assert read_numa_package("numa_blind") == NumaPackage(str(tmp_path / "numa_blind.py"))
        assert read_numa_package("numa_ctypes_like") == NumaPackage(
            str(tmp_path / "numa_ctypes_like/__init__.py"), count=2
        )
        broken = read_numa_package("numa_broken")
        assert isinstance(broken, Unavailable)
        assert "undefined symbol" in broken.problem
    finally:
        sys.path.remove(str(tmp_path))
