"""Write files of a host under a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_tree(root: Path, texts: Mapping[str, str | bytes]) -> str:
    """Write each text under the root; returns the root."""
    for path, text in texts.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(root)
