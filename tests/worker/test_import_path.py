"""What workers import is the launcher's own ipexlaunch, whatever lies in their folder and in their interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import ipexlaunch
from tests.examples.status_channel import without_launcher

pytestmark = pytest.mark.process

PACKAGE = Path(ipexlaunch.__file__).parent
VERSION = "7.7.7"
"""Of the launcher in these tests: no other has it."""

SHOW = (
    "import ipexlaunch, sys\nfrom ipexlaunch import worker\nfrom ipexlaunch.plan import make_plan\n"
    "print('IT IS', ipexlaunch.__version__, ipexlaunch.__file__, worker.__file__, 'click' in sys.modules)\n"
    "worker.ready(); worker.count(); worker.finish()\n"
)
OTHER = "raise ImportError('this is another ipexlaunch')\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ipexlaunch of its own version, as site-packages has one; its name has a space."""
    folder = tmp_path_factory.mktemp("an installation")
    _copy(folder)
    return folder


def _copy(folder: Path) -> None:
    shutil.copytree(PACKAGE, folder / "ipexlaunch", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "ipexlaunch/__init__.py").write_text(f'"""Another."""\n\n__version__ = "{VERSION}"\n')


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with another ipexlaunch, which fails when it is imported, and a torch in name only."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "torch-2.13.0.dist-info").mkdir()
    (site / "torch-2.13.0.dist-info/METADATA").write_text("Name: torch\nVersion: 2.13.0\n")
    (site / "ipexlaunch").mkdir()
    (site / "ipexlaunch/__init__.py").write_text(OTHER)
    return folder / "bin/python"


def launch(folder: Path, *words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`ipexlaunch WORDS` of an installation, in a folder where another ipexlaunch and another torch lie."""
    for name in ("ipexlaunch", "torch"):
        (cwd / name).mkdir(exist_ok=True)
        (cwd / name / "__init__.py").write_text(OTHER)
    start = f"import sys; sys.path[0] = {str(folder)!r}; from ipexlaunch.__main__ import main; main()"
    environment = {name: value for name, value in without_launcher(os.environ).items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", start, *words],
        cwd=cwd, env={**environment, "IPEXLAUNCH_LOST_TIME": "1", **variables},
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


def wrapped(tmp_path: Path, python: Path | str, option: str) -> str:
    """An interpreter that is always started with an option."""
    path = tmp_path / f"python{option}"
    path.write_text(f'#!/bin/sh\nexec {python} {option} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "variables", [{}, {"PYTHONSAFEPATH": "1"}, {"PYTHONPATH": "{other}"}, {"PYTHONNOUSERSITE": "1"}]
)
def test_a_script_imports_the_launchers_own(
    installed: Path, bare: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/show.py").write_text(SHOW)
    variables = {name: value.replace("{other}", str(tmp_path)) for name, value in variables.items()}
    done = launch(installed, "--ninstances", "1", "--python", str(bare), "scripts/show.py", cwd=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    place = installed / "ipexlaunch"
    assert f"IT IS {VERSION} {place}/__init__.py {place}/worker/__init__.py False" in done.stdout


@pytest.mark.parametrize("option", ["-I", "-E", "-P", "-S"])
def test_a_watched_script_does_whatever_the_interpreter_leaves_out_and_whatever_is_beside_it(
    installed: Path, bare: Path, tmp_path: Path, option: str
) -> None:
    if option == "-P" and sys.version_info < (3, 11):
        pytest.skip("-P came with Python 3.11")
    (tmp_path / "show.py").write_text(SHOW.replace("worker.ready(); worker.count(); worker.finish()", ""))
    (tmp_path / "ipexlaunch.py").write_text(OTHER)
    python = wrapped(tmp_path, bare, option)
    done = launch(installed, "--ninstances", "1", "--count-calls", "--python", python, "show.py", cwd=tmp_path)
    assert f"IT IS {VERSION}" in done.stdout, done.stderr


@pytest.mark.parametrize("variables", [{}, {"PYTHONSAFEPATH": "1"}, {"PYTHONPATH": "."}])
def test_a_built_in_worker_is_the_launchers_own_in_any_folder(
    installed: Path, bare: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    words = ("bench", "--ninstances", "1", "--engine", "eager", "--dtype", "fp32", "--model", "random:minilm")
    done = launch(installed, *words, "--python", str(bare), cwd=tmp_path, **variables)
    # Our program, in an interpreter that has no torch: what is in the current folder is neither ours nor torch.
    assert done.returncode == 2, done.stderr
    assert "run_model: " in done.stderr
    assert "-m pip install 'ipexlaunch[" in done.stderr
    assert "another ipexlaunch" not in done.stderr


def test_an_ipexlaunch_inside_a_worker_runs(installed: Path, tmp_path: Path) -> None:
    command = tmp_path / "bin" / "ipexlaunch"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom ipexlaunch.__main__ import main\nmain()\n")
    command.chmod(0o755)
    one = ("--ninstances", "1")
    (tmp_path / "show.py").write_text(SHOW)
    inner = ("--no-python", str(command), "run", *one)
    done = launch(installed, *one, *inner, "--no-python", str(command), "--version", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"ipexlaunch, version {VERSION}" in done.stdout
    done = launch(installed, *one, "-m", "ipexlaunch", "--version", cwd=tmp_path, PYTHONSAFEPATH="1")
    assert f"ipexlaunch, version {VERSION}" in done.stdout, done.stderr


def test_nothing_else_of_the_launchers_environment_leaks_in(installed: Path, bare: Path, tmp_path: Path) -> None:
    (installed / "beside_ipexlaunch.py").write_text("")
    (tmp_path / "leak.py").write_text(
        "import ipexlaunch, importlib.util as u\nprint([n for n in ('click', 'beside_ipexlaunch') if u.find_spec(n)])\n"
    )
    done = launch(installed, "--ninstances", "1", "--python", str(bare), "leak.py", cwd=tmp_path, PYTHONSAFEPATH="1")
    assert "[0] []" in done.stdout, done.stdout + done.stderr


def test_from_an_archive_scripts_run_and_our_own_workers_are_refused_in_one_line(
    installed: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "app"), "zip", installed)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/show.py").write_text(SHOW)
    words = ("--ninstances", "1", "scripts/show.py")
    done = launch(Path(archive), *words, cwd=tmp_path)
    assert f"IT IS {VERSION} {archive}/ipexlaunch/__init__.py" in done.stdout, done.stderr
    done = launch(Path(archive), "run", "--count-calls", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "pip install ipexlaunch" in done.stderr


def test_a_folder_with_a_colon_is_said_and_our_own_workers_run(tmp_path: Path, bare: Path) -> None:
    folder = tmp_path / "at 12:30"
    _copy(folder)
    (tmp_path / "hello.py").write_text(
        "import sys; print('hello', [p for p in sys.path if '12:30' in p or p.endswith('at 12')])"
    )
    done = launch(folder, "--ninstances", "1", "hello.py", cwd=tmp_path)
    assert "[0] hello []" in done.stdout
    assert "PYTHONPATH cannot name" in done.stderr
    (tmp_path / "show.py").write_text("import ipexlaunch; print(ipexlaunch.__version__)")
    done = launch(folder, "--ninstances", "1", "--count-calls", "--python", str(bare), "show.py", cwd=tmp_path)
    assert f"[0] {VERSION}" in done.stdout, done.stderr
