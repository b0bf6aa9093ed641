"""Actions after an import: once, after the module's own code, and nothing is imported for them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ipexlaunch.models.scripts.watch_calls import after_import


def _nothing(_: ModuleType) -> None:
    """An action that does nothing."""


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "awaited").mkdir()
    (tmp_path / "awaited" / "__init__.py").write_text("VALUE = 1\n")
    (tmp_path / "awaited" / "inner.py").write_text("VALUE = 2\n")
    (tmp_path / "awaited" / "broken.py").write_text("raise ImportError('not now')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.meta_path)
    yield tmp_path
    sys.meta_path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "awaited"]:
        del sys.modules[name]


def test_the_action_comes_once_after_the_modules_own_code() -> None:
    seen: list[tuple[str, int]] = []
    after_import({"awaited.inner": lambda module: seen.append((module.__name__, module.VALUE))})
    import awaited  # type: ignore[import-not-found]

    assert seen == []
    inner = importlib.import_module("awaited.inner")
    importlib.import_module("awaited.inner")
    assert seen == [("awaited.inner", 2)]
    assert awaited.inner is inner
    # inspect and importlib.resources look at these.
    assert type(inner.__loader__).__name__ == "SourceFileLoader"
    assert "exec_module" not in vars(inner.__loader__)


def test_when_all_have_come_no_finder_is_left() -> None:
    before = list(sys.meta_path)
    after_import({"awaited": _nothing, "awaited.inner": _nothing})
    importlib.import_module("awaited.inner")
    assert sys.meta_path == before


def test_what_is_imported_already_is_acted_on_now() -> None:
    importlib.import_module("awaited.inner")
    before, seen = list(sys.meta_path), list[ModuleType]()
    after_import({"awaited.inner": seen.append})
    assert [module.__name__ for module in seen] == ["awaited.inner"]
    assert sys.meta_path == before


def test_looking_for_a_module_is_no_import() -> None:
    seen: list[ModuleType] = []
    after_import({"awaited.inner": seen.append})
    assert importlib.util.find_spec("awaited.inner") is not None
    assert seen == []
    importlib.import_module("awaited.inner")
    assert len(seen) == 1


def test_a_module_that_fails_is_not_acted_on_and_missing_ones_stay_missing() -> None:
    seen: list[ModuleType] = []
    after_import({"awaited.broken": seen.append, "awaited.nowhere": seen.append})
    for name in ("awaited.broken", "awaited.nowhere"):
        with pytest.raises(ImportError):
            importlib.import_module(name)
    assert seen == []
