"""The command that adds packages to an installed ipexlaunch, for whatever installed it: pip, uv or pipx.

What is said here was tried with each of them (docs/installing.md), also for a wheel that no package index has.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

UV_RECEIPT = "uv-receipt.toml"
PIPX_METADATA = "pipx_metadata.json"


def how_to_add(extra: str, prefix: str = "") -> str:
    """The command that installs what an extra needs beside ipexlaunch.

    Args:
        extra: its name, such as "report".
        prefix: the environment, as sys.prefix has it; empty for that of this interpreter.
    """
    python = str(Path(prefix, "bin", "python")) if prefix else sys.executable
    folder = Path(prefix or sys.prefix)
    receipt = _text_of(folder / UV_RECEIPT)
    if receipt:
        return _for_uv_tool(extra, receipt)
    if _text_of(folder / PIPX_METADATA):
        return shlex.join(["pipx", "inject", folder.name, f"ipexlaunch[{extra}]"])
    if _is_without_pip(folder):
        return shlex.join(["uv", "pip", "install", "--python", python, f"ipexlaunch[{extra}]"])
    return shlex.join([python, "-m", "pip", "install", f"ipexlaunch[{extra}]"])


def _for_uv_tool(extra: str, receipt: str) -> str:
    """The whole installation again: `uv tool install` forgets what is not repeated."""
    words = ["uv", "tool", "install"]
    if python := re.search(r'^python = "([^"]+)"', receipt, re.MULTILINE):
        words += ["--python", python[1]]
    name = f"ipexlaunch[{extra}]"
    requirements = re.search(r"^requirements = \[(.*?)\]$", receipt, re.MULTILINE | re.DOTALL)
    for table in re.findall(r"\{(.*?)\}", requirements[1] if requirements else ""):
        fields = dict(re.findall(r'([\w-]+) = ("[^"]*"|\[[^\]]*\])', table))
        values = {key: json.loads(value) for key, value in fields.items()}
        extras = ",".join(dict.fromkeys([*values.get("extras", []), *[extra] * (values.get("name") == "ipexlaunch")]))
        extras = f"[{extras}]" if extras else ""
        place = next((values[key] for key in ("path", "directory", "editable", "url", "git") if key in values), "")
        source = f"{place}{extras}" if place else f"{values.get('name', '')}{extras}{values.get('specifier', '')}"
        if values.get("name") == "ipexlaunch":
            name = source
            words += ["--editable"] * ("editable" in values)
        else:
            words += ["--with-editable" if "editable" in values else "--with", source]
    return shlex.join([*words, name])


def _is_without_pip(folder: Path) -> bool:
    """Whether this is a virtual environment that uv made, which has no pip of its own."""
    configuration = _text_of(folder / "pyvenv.cfg")
    return bool(re.search(r"^uv\s*=", configuration, re.MULTILINE)) and not any(
        folder.glob("lib/python3*/site-packages/pip/__init__.py")
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
