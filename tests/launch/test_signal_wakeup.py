"""Requests to end: a run takes those that come in time, and whoever handles signals after it takes the others."""

from __future__ import annotations

import signal

import pytest

from ipexlaunch.launch.supervise.take_signals import SignalWakeup, signals_deferred


@pytest.mark.parametrize("is_looked_for", [False, True])
def test_a_request_that_nobody_has_taken_is_not_lost(is_looked_for: bool) -> None:
    told: list[str] = []
    with signals_deferred(told.append) as came:
        with SignalWakeup() as wakeup:
            assert not wakeup.is_asked()
            signal.raise_signal(signal.SIGTERM)
            if is_looked_for:
                assert wakeup.is_asked()
                assert wakeup.is_asked()
            assert came == []
        assert came == [signal.SIGTERM]
    assert len(told) == 1


def test_a_request_that_was_taken_is_not_given_again() -> None:
    with signals_deferred(lambda _: None) as came:
        with SignalWakeup() as wakeup:
            signal.raise_signal(signal.SIGINT)
            assert wakeup.arrived() == [signal.SIGINT]
            assert not wakeup.is_asked()
        assert came == []
