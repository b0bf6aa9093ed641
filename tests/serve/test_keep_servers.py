"""The keeper of servers with a proxy that ends and begins to count anew."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Sequence

import pytest

from ipexlaunch.errors import ProxyError
from ipexlaunch.launch.supervise.interfaces import Count
from ipexlaunch.launch.supervise.server_interfaces import Finish, ServerCommand, SideProgram, StartSide
from ipexlaunch.plan.plan import Instance
from ipexlaunch.serve.keep_servers import ServiceKeeper
from ipexlaunch.serve.notify_systemd import SystemdNotifier
from ipexlaunch.serve.probes import ProbeRules
from ipexlaunch.serve.proxy_figures import EndpointFigures, SlotFigures
from ipexlaunch.serve.slot_states import Traffic
from tests.several_hosts.lab import wait_for

PLACE = Instance(index=0, cpus=frozenset({0}), nodes=frozenset(), memory="none", threads=1)


class Proxy:
    """A proxy of one slot whose figures are a test's."""

    has_figures = True
    reload_signal = soft_stop_signal = 0
    where = "127.0.0.1:1"
    side = SideProgram(name="proxy", argv=("proxy",), environment={}, instance=PLACE)

    def __init__(self) -> None:
        self.done: int | None = None
        """None: it does not answer."""
        self.looks = 0

    def tell(self, traffic: Sequence[Traffic]) -> None:
        """It does not mind."""

    def has_settled(self) -> bool:
        return True

    def hindrance(self) -> str:
        return "port 1 is taken"

    def stop_softly(self) -> None:
        """It does not mind."""

    def figures(self) -> EndpointFigures:
        if self.done is None:
            raise ProxyError("ask", "it does not answer", "wait")
        self.looks += 1
        slot = SlotFigures(
            index=0, state="ready", in_flight=0, done=self.done, done_5xx=0, failed=0, broken_off=0, retries=0, moved=0
        )
        return EndpointFigures(
            slots=(slot,), in_flight=0, requests=self.done, refused=self.done, retries=0, moved=0, failed=0
        )


def keeper_of(proxy: Proxy) -> ServiceKeeper:
    return ServiceKeeper(
        [0],
        [None],
        ProbeRules(interval_s=5.0, timeout_s=2.0, failures=3),
        drain_timeout_s=30.0,
        frontend=proxy,
        duration_s=None,
        clock=time.monotonic,
        has_terminal=False,
        notifier=SystemdNotifier({}, 1, has_endpoint=True, tell=print),
    )


def heard(keeper: ServiceKeeper) -> None:
    """Wait until the proxy has told something that was not taken yet."""
    assert select.select([keeper.descriptor], [], [], 60)[0]


def kinds(commands: Sequence[ServerCommand]) -> list[type]:
    """Commands without fields are equal to each other."""
    return [type(each) for each in commands]


def counted(commands: Sequence[ServerCommand]) -> int:
    return sum(each.items for each in commands if isinstance(each, Count))


def test_what_a_proxy_has_told_before_its_end_counts_and_the_next_one_adds_to_it() -> None:
    proxy = Proxy()
    keeper, now = keeper_of(proxy), time.monotonic()
    assert StartSide in kinds(keeper.take(now))
    proxy.done = 5
    wait_for("figures that were told", lambda: proxy.looks >= 2)  # with the second look the first is on its way
    proxy.done = None
    keeper.side_ended("was killed", now)  # before the figures are taken
    total = counted(keeper.take(now + 10))
    due = keeper.due()
    assert due is None
    proxy.done, proxy.looks = 2, 0
    wait_for("figures that were told", lambda: proxy.looks >= 2)
    total += counted(keeper.take(now + 20))
    assert total == 7
    assert keeper.requests.totals.refused == 7
    keeper.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_no_proxy_runs_nothing_is_waited_for_at_the_end(number: int) -> None:
    keeper, now = keeper_of(Proxy()), time.monotonic()
    keeper.take(now)
    keeper.side_ended("was killed", now)
    keeper.take(now)
    due = keeper.due()
    assert due is not None
    assert due > now  # it is to be started again
    assert keeper.signalled(number)
    commands = [*keeper.take(now + 0.01), *keeper.take(now + 0.02)]
    assert Finish in kinds(commands)
    assert keeper.due() is None
    keeper.close()


def test_a_proxy_that_ends_again_and_again_ends_the_service() -> None:
    keeper, now, starts = keeper_of(Proxy()), time.monotonic(), 0
    commands: Sequence[ServerCommand] = []
    while Finish not in kinds(commands):
        commands = keeper.take(now)
        if StartSide in kinds(commands):
            starts += 1
            keeper.side_ended("could not be started", now)
        now += 1.0
        assert starts < 10
    assert starts > 1
    assert keeper.proxy.problem.startswith("the proxy could not be started")
    assert keeper.proxy.problem.endswith(": port 1 is taken")
    keeper.close()
