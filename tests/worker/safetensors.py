"""Write and read safetensors files with the standard library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

Tensors = Mapping[str, tuple[str, list[int], bytes]]
"""Name to type, shape and data."""


def write_tensors(path: Path, tensors: Tensors) -> None:
    """A file of these tensors, in their order.

    Args:
        path: of the file.
        tensors: what it holds.
    """
    header, data = {}, b""
    for name, (kind, shape, part) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def read_tensors(path: str | Path) -> dict[str, tuple[str, list[int], bytes]]:
    """What a file holds, with no byte that belongs to no tensor.

    Args:
        path: of the file.
    """
    content = Path(path).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    parts = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        parts[name] = entry["dtype"], entry["shape"], data[begin:end]
    assert sum(len(part) for _, _, part in parts.values()) == len(data)
    return parts
