"""Boots each shape once per test session and hands its findings to the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import GUEST_TIMES
from tests.guest.findings import Findings, Guests
from tests.guest.kernel import GuestMissingError, ready_kernel
from tests.guest.shape import SHAPES


@pytest.fixture(scope="session")
def guests(request: pytest.FixtureRequest) -> Iterator[Guests]:
    try:
        ready_kernel()
    except GuestMissingError as error:
        pytest.skip(f"no guests here: {error}")
    wanted = {
        item.callspec.params["findings"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "findings" in item.callspec.params
    }
    running = Guests([name for name in SHAPES if name in wanted])
    yield running
    running.close()
    told = getattr(request.config, "workeroutput", None)  # where `make test` shares the tests among processes
    lines = request.config.stash.setdefault(GUEST_TIMES, []) if told is None else told.setdefault("guest_times", [])
    lines.append(running.times())


@pytest.fixture(scope="session", params=list(SHAPES))
def findings(request: pytest.FixtureRequest, guests: Guests) -> Findings:
    """Of every shape in turn, or of those that a test names with indirect=True."""
    return guests[request.param]
