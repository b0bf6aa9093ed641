"""What the children of a program find: its interpreter first on PATH, no buffered output, no counts of the shell."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.cli.run.make_job import first_of_path
from tests.cli.test_run_command import ipexlaunch

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of another environment."""
    folder = tmp_path_factory.mktemp("other") / "v"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin"


def test_a_scripts_python_is_the_one_that_was_named(other: Path, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import subprocess\nsubprocess.run(['python', '-c', 'import sys; print(sys.prefix)'])\n"
    )
    done = ipexlaunch("--ninstances", "1", "--python", str(other / "python"), "a.py", cwd=tmp_path)
    assert done.stdout == f"[0] {other.parent}\n"


def test_path_is_left_alone_where_it_leads_there_already(other: Path) -> None:
    assert first_of_path(str(other / "python"), {"PATH": f"{other}:/usr/bin"}) == ""
    assert first_of_path(str(other / "python"), {"PATH": "/usr/bin:/bin"}) == str(other)
    assert first_of_path(str(other / "python"), {}) == str(other)


@pytest.mark.parametrize(
    ("variable", "set_to", "options", "seen"),
    [
        ("PYTHONUNBUFFERED", None, (), "1"),  # a grandchild does not keep back what it prints
        ("PYTHONUNBUFFERED", "", (), ""),
        ("TORCH_WARM_POOL", None, (), "0"),  # importing IPEX starts no pool of processes that compile
        ("TORCH_WARM_POOL", "1", (), "1"),
        ("TORCH_WARM_POOL", None, ("--env", "TORCH_WARM_POOL=1"), "1"),
    ],
)
def test_children_find_what_suits_a_slice_unless_the_user_has_decided(
    tmp_path: Path, variable: str, set_to: str | None, options: tuple[str, ...], seen: str
) -> None:
    child = f"import os; print(os.environ[{variable!r}])"
    (tmp_path / "a.py").write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n")
    variables = {name: value for name, value in os.environ.items() if name != variable}
    variables |= {"PYTHONPATH": str(Path(__file__).parents[2])} | ({} if set_to is None else {variable: set_to})
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", *options, "a.py"],
        cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout == f"[0] {seen}\n"


def test_a_count_of_the_shell_is_replaced_in_the_worker_and_told_in_the_report(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import os\nprint(os.environ['MKL_NUM_THREADS'], os.environ['POLARS_MAX_THREADS'])\n"
    )
    report = tmp_path / "report.json"
    done = ipexlaunch("--ninstances", "1", "--ncores-per-instance", "1", "--report", str(report), "a.py", cwd=tmp_path,
                      MKL_NUM_THREADS="7", POLARS_MAX_THREADS="9")  # fmt: skip
    assert done.stdout == "[0] 1 1\n"
    assert "MKL_NUM_THREADS=7 and POLARS_MAX_THREADS=9 of the environment are replaced" in report.read_text()
