"""What every test may rely on, and the skips that are failures.

Nobody's files are touched: HOME and what stands beside it are folders of the session. Signals are what they are at a
terminal, however the tests were started. A test that takes too long fails, with its name and where it hung.

Tests that need something special (a guest, the ipex extra) carry a mark and skip themselves, with the reason, where it
is missing. CI names the marks that must not be skipped: IPEXLAUNCH_REQUIRE=guest,ipex.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import ipexlaunch
from tests.cpu_instructions import NO_INSTRUCTIONS
from tests.usual_signals import take_usual_signals

# No test measures time, and the machine may be busy.
settings.register_profile("ipexlaunch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ipexlaunch")

VARIABLE = "IPEXLAUNCH_REQUIRE"

GUEST_TIMES = pytest.StashKey[list[str]]()

TESTED = "IPEXLAUNCH_TESTED"
"""Environment variable that says "installed" where the installed package is to be tested, as `make test` does."""

SECONDS = {"guest": 1800, "ipex": 900, "light": 900, "torch": 900, "slow": 900}
"""A test with one of these marks may take so long; any other as long as pyproject.toml says."""


def pytest_configure() -> None:
    """The package that is meant is imported, and signals do what they do at a terminal."""
    package = Path(ipexlaunch.__file__).parent
    if os.environ.get(TESTED) == "installed" and "site-packages" not in package.parts:
        raise pytest.UsageError(f"{TESTED} says that the installed package is tested, but {package} was imported")
    take_usual_signals()


def pytest_report_header() -> str:
    """Which package is tested."""
    return f"ipexlaunch: {Path(ipexlaunch.__file__).parent}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that boot a machine or load a model have more time."""
    for item in items:
        seconds = max((SECONDS[mark.name] for mark in item.iter_markers() if mark.name in SECONDS), default=0)
        if seconds and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(seconds))


@pytest.fixture(scope="session", autouse=True)
def _nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept in the user's folders is kept in the session's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("CACHE", "CONFIG", "DATA", "STATE"):
            patch.delenv(f"XDG_{name}_HOME", raising=False)
        runtime = tmp_path_factory.mktemp("runtime")
        runtime.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        yield


@pytest.fixture(autouse=True)
def _devices_stay_devices() -> Iterator[None]:
    """A test that replaces /dev/null fails itself, not those after it."""
    yield
    found = os.stat(os.devnull)
    assert stat.S_ISCHR(found.st_mode), "this test replaced /dev/null"
    assert found.st_rdev == os.makedev(1, 3), "this test replaced /dev/null"


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
    why = call.excinfo.value if call.excinfo is not None else None
    may = str(why).startswith(NO_INSTRUCTIONS)
    if report.skipped and required and isinstance(why, pytest.skip.Exception) and not may:
        report.outcome = "failed"
        report.longrepr = f"{VARIABLE} names {', '.join(sorted(required))}, but the test skipped itself: {why}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A required mark under which nothing passed fails the run: a whole module may have been skipped, or deselected."""
    absent = _absent(session.config)
    if absent and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says why, in the last lines; and how long guests took: they are the first to reach their time limit."""
    for line in config.stash.get(GUEST_TIMES, []):
        terminalreporter.line(line)
    for mark in sorted(_absent(config)):
        terminalreporter.line(f"{VARIABLE} names {mark}, but no test with that mark passed", red=True)


def _absent(config: pytest.Config) -> frozenset[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if (
        config.option.collectonly or reporter is None
    ):  # there is none in the processes that `make test` shares tests among
        return frozenset()
    passed = (report for report in reporter.stats.get("passed", []) if report.when == "call")
    return required_marks().difference(*(report.keywords for report in passed))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over what the process that ran the guests tells."""
    del error
    node.config.stash.setdefault(GUEST_TIMES, []).extend(getattr(node, "workeroutput", {}).get("guest_times", []))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """One process runs all guests, which share their boots, and each file stays in one process, with its fixtures."""
    from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # for the same reason
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return "guest" if path.startswith("tests/guest/") else path

    return ByFile(config, log)
