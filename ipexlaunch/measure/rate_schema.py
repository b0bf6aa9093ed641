"""A rate in a document, for the validator."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

LEAST_RATE, LARGEST_RATE = 1e-9, 1e30
"""Items per second. What was measured lies between, and so no ratio of two rates leaves what a float can hold."""


def _measured(rate: float) -> float:
    if 0 < rate < LEAST_RATE:
        raise ValueError(f"a rate is 0 or at least {LEAST_RATE:g}")
    return rate


Rate = Annotated[float, Field(ge=0, le=LARGEST_RATE), AfterValidator(_measured)]
