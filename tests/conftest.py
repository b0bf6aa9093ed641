"""Turns the skip of a test that must run here into a failure.

Tests that need something special (a guest, the ipex extra) carry a mark and skip themselves, with the reason, where it
is missing. CI names the marks that must not be skipped: IPEXLAUNCH_REQUIRE=guest,ipex.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# No test measures time, and the machine may be busy.
settings.register_profile("ipexlaunch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ipexlaunch")

VARIABLE = "IPEXLAUNCH_REQUIRE"
PASSED = pytest.StashKey[set[str]]()
"""The marks of all tests that passed."""


@pytest.fixture(autouse=True)
def _no_width_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are as wide as the test says, not as wide as the terminal that the tests were started in."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def _no_verdict_on_a_busy_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else uses the host that the tests run on must not decide how they end."""
    monkeypatch.setenv("IPEXLAUNCH_LOST_TIME", "1")


def required_marks() -> frozenset[str]:
    """The marks that the environment names."""
    return frozenset(filter(None, (mark.strip() for mark in os.environ.get(VARIABLE, "").split(","))))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip under a required mark fails, with the reason of the skip."""
    report = yield
    marks = {mark.name for mark in item.iter_markers()}
    required = marks & required_marks()
    if report.skipped and required and call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception):
        report.outcome = "failed"
        report.longrepr = (
            f"{VARIABLE} names {', '.join(sorted(required))}, but the test skipped itself: {call.excinfo.value}"
        )
    if report.when == "call" and report.passed:
        item.config.stash.setdefault(PASSED, set()).update(marks)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A required mark under which nothing passed fails the run: a whole module may have been skipped, or deselected."""
    absent = _absent(session.config)
    if absent and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says why, in the last lines."""
    for mark in sorted(_absent(config)):
        terminalreporter.line(f"{VARIABLE} names {mark}, but no test with that mark passed", red=True)


def _absent(config: pytest.Config) -> frozenset[str]:
    if config.option.collectonly:
        return frozenset()
    passed: set[str] = config.stash.setdefault(PASSED, set())
    return required_marks() - passed
