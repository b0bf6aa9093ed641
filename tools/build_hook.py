"""What the wheel has beside the package: manual pages, and what shells complete words with, made from the commands.

hatchling calls it (pyproject.toml). A virtual environment whose bin is on PATH has its manual pages found by `man`.
"""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SharedFilesHook(BuildHookInterface[Any]):
    """Writes the files to a folder that lasts as long as the build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to the wheel.

        Args:
            version: "standard", or "editable".
            build_data: of hatchling; `shared_data` maps a file to its place below the environment's folder.
        """
        self.folder = tempfile.TemporaryDirectory(prefix="ipexlaunch-build-")
        for place, text in self.files().items():
            written = Path(self.folder.name, place.replace("/", "-"))
            written.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(written)] = place

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder.

        Args:
            version: as for `initialize`.
            build_data: as for `initialize`.
            artifact_path: of the wheel.
        """
        self.folder.cleanup()

    def files(self) -> dict[str, str]:
        """Place to text of each file."""
        tool = runpy.run_path(str(Path(self.root, "tools/make_man_pages.py")))
        scripts = {
            "share/bash-completion/completions/ipexlaunch": "bash",
            "share/zsh/site-functions/_ipexlaunch": "zsh",
            "share/fish/vendor_completions.d/ipexlaunch.fish": "fish",
        }
        return {f"share/man/man1/{name}": text for name, text in tool["man_pages"]().items()} | {
            place: tool["completion"](shell) for place, shell in scripts.items()
        }
