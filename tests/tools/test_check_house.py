"""The check that keeps the package readable finds what is over a limit, and nothing in what is not."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.tools.load_tool import load_tool


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool("check_house")


def package(folder: Path, **modules: str) -> Path:
    (folder / "ipexlaunch").mkdir()
    for name, text in modules.items():
        (folder / f"ipexlaunch/{name}.py").write_text(text)
    return folder / "ipexlaunch"


def test_a_long_module_is_named_with_its_lines(tool: ModuleType, tmp_path: Path) -> None:
    long = package(tmp_path, short="a = 1\n" * 300, long="a = 1\n" * 301)
    assert list(tool.too_long(long)) == ["ipexlaunch/long.py: 301 lines, at most 300 are wanted"]


def test_an_import_of_ours_inside_a_function_has_a_reason_beside_or_above_it(tool: ModuleType, tmp_path: Path) -> None:
    made = package(
        tmp_path,
        late="def f():\n    import os\n    import ipexlaunch.plan\n    from ipexlaunch import plan  # heavy\n",
        said="def f():\n    # heavy\n    from ipexlaunch.plan import plan\n",
        top="from ipexlaunch.plan import plan\n\n\ndef f():\n    pass\n",
    )
    [problem] = tool.late_imports(made)
    assert problem.startswith("ipexlaunch/late.py:3: ")


def test_too_many_late_imports_are_all_listed(tool: ModuleType, tmp_path: Path) -> None:
    made = package(tmp_path, late="def f():\n" + "    import ipexlaunch.plan  # heavy\n" * (tool.LATE_IMPORTS + 1))
    problems = list(tool.late_imports(made))
    assert problems[0].startswith(f"{tool.LATE_IMPORTS + 1} imports")
    assert problems[1:] == [f"  ipexlaunch/late.py:{line}" for line in range(2, tool.LATE_IMPORTS + 3)]


def test_what_stands_at_the_root_is_counted(tool: ModuleType, tmp_path: Path) -> None:
    made = package(tmp_path, **{f"m{number}": "" for number in range(tool.ROOT_ENTRIES)})
    (made / "py.typed").touch()
    assert not list(tool.too_many_rooms(made))
    (made / "wing").mkdir()
    (made / "wing/__init__.py").touch()
    assert len(list(tool.too_many_rooms(made))) == 1
