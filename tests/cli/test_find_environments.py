"""Which interpreters `dtypes` compares where none is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ipexlaunch.cli.run.find_environments import made_environments
from tests.examples.run_examples import torch_python


@pytest.mark.torch
def test_of_a_checkout_those_that_make_has_made_beside_the_active_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (".venv", "venv"):
        (tmp_path / folder).symlink_to(sys.prefix)
    (tmp_path / ".venv-torch").symlink_to(Path(torch_python()).parent.parent)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / ".venv"))
    # The launcher's own has no engine, and nobody has made the third.
    assert made_environments() == (str(tmp_path / ".venv-torch/bin/python"),)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / ".venv-torch"))
    assert made_environments() == (str(tmp_path / ".venv-torch/bin/python"),)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    assert made_environments() == (str(tmp_path / "venv/bin/python"),)
