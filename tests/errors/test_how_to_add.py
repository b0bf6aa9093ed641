"""The command that adds packages: it is for the tool that installed ipexlaunch, and keeps what was there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.errors.how_to_add import how_to_add

FROM_A_WHEEL = """\
[tool]
requirements = [{ name = "ipexlaunch", path = "/x/ipexlaunch-0.2.0-py3-none-any.whl" }]
python = "/usr/bin/python3.13"
entrypoints = [
    { name = "ipexlaunch", install-path = "/home/me/.local/bin/ipexlaunch", from = "ipexlaunch" },
]
"""

WITH_MORE = """\
[tool]
requirements = [
    { name = "ipexlaunch", extras = ["zstd", "report"], specifier = ">=0.2" },
    { name = "prometheus-client", specifier = ">=0.19" },
    { name = "mine", editable = "/home/me/my project" },
]
entrypoints = [
]
"""


def environment(folder: Path, **files: str) -> str:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("__", "-").replace("_json", ".json").replace("_toml", ".toml")).write_text(text)
    return str(folder)


def test_pip_is_that_of_the_environment(tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env")
    assert how_to_add("report", prefix) == f"{prefix}/bin/python -m pip install 'ipexlaunch[report]'"


def test_pipx_injects_into_the_environment_of_that_name(tmp_path: Path) -> None:
    prefix = environment(tmp_path / "ipexlaunch-next", pipx_metadata_json="{}")
    assert how_to_add("zstd", prefix) == "pipx inject ipexlaunch-next 'ipexlaunch[zstd]'"


def test_uv_tool_is_told_everything_again(tmp_path: Path) -> None:
    prefix = environment(tmp_path / "wheel", uv__receipt_toml=FROM_A_WHEEL)
    wheel = "'/x/ipexlaunch-0.2.0-py3-none-any.whl[zstd]'"
    assert how_to_add("zstd", prefix) == f"uv tool install --python /usr/bin/python3.13 {wheel}"
    prefix = environment(tmp_path / "more", uv__receipt_toml=WITH_MORE)
    others = "--with 'prometheus-client>=0.19' --with-editable '/home/me/my project'"
    assert how_to_add("tune", prefix) == f"uv tool install {others} 'ipexlaunch[zstd,report,tune]>=0.2'"


def test_an_environment_of_uv_without_pip_is_filled_by_uv(tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env")
    (tmp_path / "env/pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.13.9\n")
    assert how_to_add("all", prefix) == f"uv pip install --python {prefix}/bin/python 'ipexlaunch[all]'"
    (tmp_path / "env/lib/python3.12/site-packages/pip").mkdir(parents=True)
    (tmp_path / "env/lib/python3.12/site-packages/pip/__init__.py").touch()
    assert how_to_add("all", prefix) == f"{prefix}/bin/python -m pip install 'ipexlaunch[all]'"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("matplotlib", ["report", "--html", "page.html", "report.json"]),
        ("prometheus_client", ["--metrics-file", "m.prom", "--no-python", "true"]),
        ("optuna", ["tune", "--budget", "1m", "--no-python", "true"]),
        ("pyarrow", ["batch", "--input", "in.jsonl", "--output", "out.parquet", "--no-python", "true"]),
        (
            "zstandard",
            ["batch", "--input", "in.zst", "--format", "jsonl", "--output", "out.jsonl", "--no-python", "true"],
        ),
        (
            "mlperf_loadgen",
            ["loadgen", "--scenario", "Offline", "--qps", "1", "--input", "in.jsonl", "--no-python", "true"],
        ),
    ],
)
@pytest.mark.process
def test_every_command_that_lacks_a_package_says_how_to_add_it(tmp_path: Path, module: str, words: list[str]) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n')
    (tmp_path / "in.zst").write_bytes(b"(\xb5/\xfd\x04\x00\x01\x00\x00")
    kept = Path(__file__).parents[1] / "report/kept_runs/version-1"
    report = next(kept.rglob("report.json"))
    (tmp_path / "report.json").write_bytes(report.read_bytes())
    (tmp_path / "lacks").mkdir()
    (tmp_path / f"lacks/{module}.py").write_text("raise ImportError('not here')\n")
    path = os.pathsep.join([str(tmp_path / "lacks"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    extra = {"matplotlib": "report", "prometheus_client": "metrics", "optuna": "tune", "pyarrow": "parquet"}
    extra |= {"zstandard": "zstd", "mlperf_loadgen": "loadgen"}
    said = done.stderr.splitlines()[-1]
    assert "not installed beside ipexlaunch; " in said
    assert how_to_add(extra[module]) in said
    assert sys.executable in said
