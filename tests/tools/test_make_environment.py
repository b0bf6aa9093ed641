"""tools/make_environment.py: nothing to do is nothing done, and what works stays until something better is complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/make_environment.py"

pytestmark = pytest.mark.process


VENV = """
import os, pathlib, sys
python = pathlib.Path(sys.argv[1], "bin/python")
python.parent.mkdir(parents=True, exist_ok=True)
python.write_text(f'''#!/bin/sh
[ "$1" = -c ] && exec {sys.executable} "$@"
{os.environ.get("PIP", "exit 1")}
''')
python.chmod(0o755)
"""
"""Stands for the venv module: makes, in no time, an environment in which pip does what the variable PIP says."""

INSTALLING_PIP = """
[ "$5" = install ] && printf '#!%s\\n' "$0" > "$(dirname "$0")/tool"
while [ $# -gt 1 ]; do
    if [ "$1" = --wheel-dir ]; then mkdir -p "$2"; touch "$2/nothing-1-py3-none-any.whl"; fi
    shift
done
"""
"""Leaves a script with the path of its interpreter, as the real one does."""

NO_NETWORK_PIP = "echo \"WARNING: Retrying after connection broken by 'NewConnectionError(...)'\"; exit 1"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing but what an environment is made from, and a `.venv` that is up to date."""
    (tmp_path / "tools").mkdir()
    shutil.copy(TOOL, tmp_path / "tools")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "nothing"\nversion = "1"\n')
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs/venv.py").write_text(VENV)
    subprocess.run([sys.executable, str(tmp_path / "stubs/venv.py"), str(tmp_path / ".venv")], check=True)
    for stamp, function in ((".made-from", "recipe_hash"), (".installed", "sources_hash")):
        question = f"import make_environment; print(make_environment.{function}(), end='')"
        command = [sys.executable, "-c", question]
        answer = subprocess.run(command, cwd=tmp_path / "tools", capture_output=True, check=True)
        (tmp_path / ".venv" / stamp).write_bytes(answer.stdout)
    return tmp_path


def make(checkout: Path, *words: str, pip: str = "exit 1") -> subprocess.CompletedProcess[str]:
    """Run the tool where no package can be had: pip fails."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "stubs"), "PIP": pip}
    command = [sys.executable, str(checkout / "tools/make_environment.py"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_up_to_date_means_silent_and_without_network(checkout: Path) -> None:
    done = make(checkout, "test")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_changed_pyproject_updates_the_environment_in_place(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[project]\nname = "nothing"\nversion = "2"\n')
    (checkout / ".venv/kept").touch()
    done = make(checkout, "test")
    assert "pyproject.toml has changed: bringing .venv up to date" in done.stdout
    assert (checkout / ".venv/kept").exists()


def of_another_python(folder: Path, pip: str = "exit 1") -> None:
    """Make the environment one of a Python that does not run these tests."""
    (folder / "bin/python").write_text(f"#!/bin/sh\n[ \"$1\" = -c ] && echo '3.9.1 (of long ago)' && exit\n{pip}\n")


def test_a_failed_installation_says_so_and_is_begun_again(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    for _ in range(2):
        done = make(checkout, "test")
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert last.startswith("environment: ")
        assert "failed (exit 1)" in last
        assert last.endswith(str(checkout / ".venv.new/install.log"))
        assert done.stdout.startswith("environment: creating .venv.new with Python")
        assert not (checkout / ".venv").exists()


def test_an_environment_of_another_python_stays_until_the_new_one_is_complete(checkout: Path) -> None:
    of_another_python(checkout / ".venv")
    (checkout / ".venv/kept").touch()
    failed = make(checkout, "test")
    assert "environment: .venv has Python 3.9.1, this is 3." in failed.stdout
    assert "; .venv is as it was; the whole output is in" in failed.stderr
    assert (checkout / ".venv/kept").exists()
    done = make(checkout, "test", pip=INSTALLING_PIP)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (checkout / ".venv/kept").exists()
    assert {path.name for path in checkout.glob(".venv*")} == {".venv"}
    assert make(checkout, "test").stdout == ""


def test_what_was_made_beside_it_knows_its_place(checkout: Path) -> None:
    (checkout / ".venv/bin/python").unlink()
    assert make(checkout, "test", pip=INSTALLING_PIP).returncode == 0
    assert (checkout / ".venv/bin/tool").read_text() == f"#!{checkout}/.venv/bin/python\n"


def test_a_link_is_replaced_and_what_it_leads_to_is_left_alone(checkout: Path) -> None:
    (checkout / ".venv").rename(checkout / "of another checkout")
    (checkout / ".venv").symlink_to(checkout / "of another checkout")
    of_another_python(checkout / "of another checkout")
    assert make(checkout, "test", pip=INSTALLING_PIP).returncode == 0
    assert not (checkout / ".venv").is_symlink()
    assert (checkout / "of another checkout/.made-from").exists()


def test_an_environment_whose_interpreter_is_gone_is_made_again(checkout: Path) -> None:
    (checkout / ".venv/bin/python").unlink()
    (checkout / ".venv/bin/python").symlink_to("/nowhere/python3")
    assert "environment: .venv is broken: making it again beside it\n" in make(checkout, "test").stdout


def test_no_network_is_one_line_and_takes_nothing_away(checkout: Path) -> None:
    of_another_python(checkout / ".venv")
    done = make(checkout, "test", pip=NO_NETWORK_PIP)
    assert done.returncode == 2
    assert done.stderr.startswith("environment: no package index answers, which .venv needs; .venv is as it was; ")
    assert done.stderr.count("\n") == 1


def test_no_network_for_an_update_leaves_it_to_the_next_call(checkout: Path) -> None:
    (checkout / ".venv/bin/python").write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\n{NO_NETWORK_PIP}\n'
    )
    (checkout / "pyproject.toml").write_text('[project]\nname = "nothing"\nversion = "2"\n')
    for _ in range(2):
        done = make(checkout, "test")
        assert "environment: pyproject.toml has changed: bringing .venv up to date\n" in done.stdout
        assert done.stderr.startswith("environment: no package index answers: .venv is as it was before")
        assert done.stderr.count("\n") == 1


def test_a_full_disk_is_said_before_anything_is_downloaded(checkout: Path) -> None:
    # A limit on nothing but this question: the tool asks shutil.disk_usage.
    (checkout / "stubs/sitecustomize.py").write_text(
        "import shutil, types\nshutil.disk_usage = lambda path: types.SimpleNamespace(free=3_000_000_000)\n"
    )
    done = make(checkout, "ipex")
    assert done.returncode == 2
    assert ".venv-ipex needs 12 GB to install, 3.0 GB are free on the disk of" in done.stderr
    assert not list(checkout.glob(".venv-ipex*"))


def test_a_full_disk_takes_nothing_away(checkout: Path) -> None:
    of_another_python(checkout / ".venv")
    (checkout / "stubs/sitecustomize.py").write_text(
        "import shutil, types\nshutil.disk_usage = lambda path: types.SimpleNamespace(free=300_000_000)\n"
    )
    done = make(checkout, "test")
    assert ".venv needs 1.3 GB to install, 0.3 GB are free on the disk of" in done.stderr
    assert done.stderr.endswith("; .venv is as it was\n")
    assert (checkout / ".venv/.made-from").exists()


def test_where_only_sources_have_changed_the_wheel_is_built_once_and_installed_alone(checkout: Path) -> None:
    fake = f"""#!/bin/sh
if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi
echo "$@" >> {checkout}/calls
while [ $# -gt 1 ]; do
    if [ "$1" = --wheel-dir ]; then mkdir -p "$2"; touch "$2/nothing-1-py3-none-any.whl"; fi
    shift
done
"""  # stands for the interpreter of an environment: pip is asked, and nothing is installed
    shutil.copytree(checkout / ".venv", checkout / ".venv-torch", symlinks=True)
    for name in (".venv", ".venv-torch"):
        (checkout / name / "bin/python").unlink()
        (checkout / name / "bin/python").write_text(fake)
        (checkout / name / "bin/python").chmod(0o755)
    assert make(checkout, "test").stdout == ""
    (checkout / "ipexlaunch").mkdir()
    (checkout / "ipexlaunch/new.py").write_text("x = 1\n")
    for name in ("test", "torch"):
        assert "installing nothing-1-py3-none-any.whl into .venv" in make(checkout, name).stdout
        assert make(checkout, name).stdout == ""
    calls = (checkout / "calls").read_text().splitlines()
    assert [call.split()[4] for call in calls] == ["wheel", "install", "install"]
    assert all("--no-deps" in call for call in calls)
    assert all("--force-reinstall" in call for call in calls[1:])
