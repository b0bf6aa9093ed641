"""Folders whose names are short."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Like tmp_path, for sockets: the kernel takes 107 bytes of a path (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="ipexlaunch-", ignore_cleanup_errors=True) as name:
        yield Path(name)
