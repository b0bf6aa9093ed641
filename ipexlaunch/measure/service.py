"""What a run that serves has beside its figures, as its report has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSummary:
    """Of a run of servers."""

    endpoint: str = ""
    """Where all were reached; "" where each had its own port alone."""
    restarts: Mapping[int, int] = field(default_factory=dict)
    """Instance to how often its server ended by itself or did not answer; those where it never did are left out."""
    refused: int | None = None
    """Requests that the endpoint answered itself, for want of a server or of an answer; None where it tells nothing."""
    retries: int | None = None
    """Tries after the first, because a server had ended or taken no connection."""
    strays: Mapping[int, int] = field(default_factory=dict)
    """Instance to how many looks found a thread or pages of its server outside; those without any are left out."""
    reloads: int = 0
    """How often all servers were replaced by new ones."""
