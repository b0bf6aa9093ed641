"""What the workers' interpreter has installed, as far as it decides which kernels there are."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """Versions as their packages tell them; "" for what is not installed."""

    torch: str = ""
    ipex: str = ""
    torchao: str = ""
    transformers: str = ""

    @property
    def words(self) -> str:
        """For messages: "torch 2.8.0, ipex 2.8.0"."""
        pairs = (("torch", self.torch), ("ipex", self.ipex), ("torchao", self.torchao))
        return ", ".join(f"{name} {version}" for name, version in pairs if version) or "no torch"


PACKAGES = {
    "torch": "torch",
    "ipex": "intel-extension-for-pytorch",
    "torchao": "torchao",
    "transformers": "transformers",
}
"""Field of Software to the normalised name on the package index."""


def at_least(version: str, wanted: tuple[int, int]) -> bool:
    """Whether a version is that release or a later one; "" is none, and "2.13.0+cpu" is 2.13.

    Args:
        version: as the package tells it.
        wanted: major and minor.
    """
    match = re.match(r"(\d+)\.(\d+)", version)
    return match is not None and (int(match[1]), int(match[2])) >= wanted
