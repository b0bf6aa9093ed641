"""tools/draw_house.py: the picture shows every import between wings, and one that goes up is named."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.tools.load_tool import load_tool


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool("draw_house")


@pytest.fixture
def house(tool: ModuleType, tmp_path: Path) -> Path:
    for wing in tool.WINGS:
        folder = tmp_path / "ipexlaunch" / wing
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(f'"""What {wing} is."""\n')
    return tmp_path / "ipexlaunch"


def test_every_import_between_wings_is_a_dot(tool: ModuleType, house: Path) -> None:
    (house / "models/run.py").write_text("def late():\n    from ipexlaunch import worker\n")
    (house / "machine/probe.py").write_text(
        "import ipexlaunch.documents.text\nfrom ipexlaunch.machine import cpulist\n"
    )
    drawn = tool.picture(house)
    assert "\nmodels     ●\n" in drawn
    assert "\nmachine    · · ●\n" in drawn
    assert "| `plan/` | What plan is. |" in drawn
    assert tool.upward(tool.arrows(house)) == []


def test_an_import_that_goes_up_is_named_with_its_file(tool: ModuleType, house: Path) -> None:
    (house / "plan/planner.py").write_text("from ipexlaunch.cli.main import main\n")
    assert tool.upward(tool.arrows(house)) == ["plan/planner.py imports cli, which stands above plan"]
