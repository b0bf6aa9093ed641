"""How the user wants integers to be used, and the candidates that are of that form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate

GROUP_SIZES = (32, 64, 128)
"""torchao's int4 kernel for cpus takes these (prototype/quantization/int4); IPEX takes more, and every one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedForm:
    """What is asked of int8 and int4 beyond the dtype; floating-point candidates are untouched by it."""

    scheme: Literal["auto", "dynamic", "weight-only"] = "auto"
    group_size: int = 0
    """Weights that share a scale; 0 for each candidate's own."""
    lowp_mode: str = ""
    """IPEX's low-precision mode; "" for its own choice."""

    def of(self, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        """Those that are of this form, with its group size and mode.

        Args:
            candidates: as `candidates_of` lists them.

        Raises:
            RequestError: torchao has no such group size.
        """
        return tuple(self._applied(each) for each in candidates if self._allows(each))

    def _allows(self, candidate: Candidate) -> bool:
        if not candidate.scheme:
            return True
        if self.lowp_mode and candidate.engine != "ipex":
            return False
        if self.group_size and candidate.engine != "ipex" and candidate.dtype != "int4":
            return False
        return self.scheme in ("auto", candidate.scheme)

    def _applied(self, candidate: Candidate) -> Candidate:
        if not candidate.scheme:
            return candidate
        if self.group_size and candidate.engine == "torch" and self.group_size not in GROUP_SIZES:
            sizes = ", ".join(map(str, GROUP_SIZES))
            raise RequestError(
                f"use groups of {self.group_size} weights on engine torch",
                f"its int4 kernel takes {sizes}",
                "use --group-size 128, or --engine ipex",
            )
        return replace(
            candidate,
            group_size=self.group_size or candidate.group_size,
            lowp_mode=self.lowp_mode or candidate.lowp_mode,
        )


AS_IT_COMES = QuantizedForm()
"""Nothing asked: every candidate as it is."""
