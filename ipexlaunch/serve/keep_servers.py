"""Keep servers: probe them, tell the proxy, restart and reload them; what the supervisor's loop asks and is told."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from ipexlaunch.launch.run_events import RunEvent, WorkerExited, WorkerReady, WorkerStarted
from ipexlaunch.launch.supervise.interfaces import Kill, Notice, Observer
from ipexlaunch.launch.supervise.server_interfaces import (
    Drain,
    Finish,
    Ready,
    Recycle,
    Retire,
    Say,
    ServerCommand,
    SideProgram,
    SignalSide,
    StartSide,
)
from ipexlaunch.machine.wording import counted
from ipexlaunch.serve.count_requests import RequestCounts
from ipexlaunch.serve.frontends import Counted, Frontend, FrontendThread
from ipexlaunch.serve.inbox import Inbox
from ipexlaunch.serve.notify_systemd import SystemdNotifier
from ipexlaunch.serve.probe_servers import ProbingThread
from ipexlaunch.serve.probes import Probe, ProbeRules
from ipexlaunch.serve.restart_proxy import ProxyStarts
from ipexlaunch.serve.slot_states import Decision, Seen, ServiceState, SlotState, Traffic, due
from ipexlaunch.serve.slot_steps import seen

QUIET_LOOKS = 2
"""In a row without a request end the drain: one may have been taken and not been passed on yet at the first."""


class ServiceKeeper(Observer):
    """The keeper of the servers of one run."""

    def __init__(
        self,
        indices: Sequence[int],
        probes: Sequence[Probe | None],
        rules: ProbeRules,
        *,
        drain_timeout_s: float,
        frontend: Frontend | None,
        duration_s: float | None,
        clock: Callable[[], float],
        has_terminal: bool,
        notifier: SystemdNotifier,
    ) -> None:
        """Begin with no server; make it before workers are started.

        Args:
            indices: of the instances, in the order of the workers.
            probes: of each; None where a line of its output says that it is ready.
            rules: how often they are probed.
            drain_timeout_s: how long requests may take to finish where a server is to end.
            frontend: the proxy; None for none.
            duration_s: for how long to serve, from now; None until somebody asks for the end.
            clock: the supervisor's.
            has_terminal: whether SIGHUP means that it was closed, and not that servers are to be reloaded.
            notifier: is told what systemd wants to know.
        """
        self._clock, self._has_terminal, self._notifier = clock, has_terminal, notifier
        self._inbox: Inbox[Seen | Counted] = Inbox()
        self._places = {index: place for place, index in enumerate(indices)}
        self.state = ServiceState(
            slots=tuple(SlotState(index=index) for index in indices),
            has_endpoint=frontend is not None,
            has_figures=frontend is not None and frontend.has_figures,
            drain_timeout_s=drain_timeout_s,
            failures_allowed=rules.failures,
        )
        self._stop_at = None if duration_s is None else clock() + duration_s
        self._probing = [
            None if each is None else self._prober(place, each, rules) for place, each in enumerate(probes)
        ]
        self._frontend = frontend
        self._speaker: FrontendThread | None = None
        if frontend is not None:
            written, put = Seen("written", clock()), self._inbox.put
            self._speaker = FrontendThread(
                frontend, len(indices), lambda: put(written), self._told, put,
                lambda text: put(Seen("silent", clock(), text=text)),
            )  # fmt: skip
        self.side: SideProgram | None = None if frontend is None else frontend.side
        self.leftovers: list[str] = []
        self.proxy = ProxyStarts(None if frontend is None else clock())
        self.requests = RequestCounts(self._places, clock())
        self._quiet_looks = self._life = 0
        self._is_announced, self._endpoint_serves = False, frontend is None
        self.is_asked_to_reload = False
        """Whether a reload was asked for that is not among the state yet."""

    def _prober(self, place: int, probe: Probe, rules: ProbeRules) -> ProbingThread:
        put, clock = self._inbox.put, self._clock
        return ProbingThread(
            probe,
            rules,
            lambda attempt: put(Seen("answers", clock(), place, attempt)),
            lambda attempt, trouble: put(Seen("probed", clock(), place, attempt, trouble)),
            lambda attempt, trouble: put(Seen("waited", clock(), place, attempt, trouble)),
        )

    def _told(self, traffic: Sequence[Traffic]) -> None:
        """The proxy knows this now; in its thread."""
        if "ready" in traffic:
            self._notifier.endpoint_ready()
            self._endpoint_serves = True
            self._inbox.put(Seen("tick", self._clock()))
        for place, each in enumerate(traffic):
            if each == "drain":
                self._inbox.put(Seen("told", self._clock(), place))

    def on_event(self, event: RunEvent) -> None:
        """Note what has become of a server."""
        match event:
            case WorkerStarted(pid=pid) if pid is not None and event.time:
                self._inbox.put(Seen("started", event.time, self._places[event.planned.index]))
            case WorkerReady():
                self._inbox.put(Seen("ready", event.time, self._places[event.index]))
            case WorkerExited(seen=True):
                self._inbox.put(Seen("ended", event.time, self._places[event.index]))

    def side_ended(self, text: str, now: float) -> None:
        """The proxy has ended: start it again, unless it was asked to end, or does so again and again."""
        if self._speaker is not None:
            self._speaker.ended()
        if self.state.stopping:
            self._inbox.put(Seen("endpoint_ended", now))
            return
        self.proxy.end(text, now)
        self._inbox.put(Seen("tick", now))

    def signalled(self, number: int) -> bool:
        """Drain at SIGTERM, SIGINT and a scheduler's warning, reload at SIGHUP where there is no terminal."""
        if number == signal.SIGHUP:
            if not self._has_terminal:
                self.reload()
            return not self._has_terminal
        if self.state.stopping:
            return False
        self.stop()
        return True

    def stop(self) -> None:
        """Have requests finished, then end every server."""
        self._inbox.put(Seen("stop", self._clock()))

    def reload(self, places: Sequence[int] | None = None) -> None:
        """Restart servers, one slot at a time.

        Args:
            places: which; None for all.
        """
        self._notifier.reloading()
        self.is_asked_to_reload = True
        self._inbox.put(Seen("reload", self._clock(), slots=tuple(places or range(len(self.state.slots)))))

    def drain(self, place: int) -> None:
        """Have the requests of one slot finished, and end its server until it is reloaded."""
        self._inbox.put(Seen("drain", self._clock(), place))

    def place_of(self, index: int) -> int | None:
        """Which worker an instance's is; None where it has none."""
        return self._places.get(index)

    @property
    def where(self) -> str:
        """The endpoint, as people write it; "" for none."""
        return self._frontend.where if self._frontend is not None else ""

    @property
    def descriptor(self) -> int:
        """Readable when there is something to decide."""
        return self._inbox.fileno()

    def due(self) -> float | None:
        """When something is to be decided at the latest."""
        times = (due(self.state), *(() if self.state.stopping else (self.proxy.due, self._stop_at)))
        return min((time for time in times if time is not None), default=None)

    def take(self, now: float) -> Sequence[ServerCommand]:
        """What is to be done."""
        commands: list[ServerCommand] = []
        for message in [*self._inbox.take(), Seen("tick", now)]:
            if isinstance(message, Seen):
                commands += self._see(message)
            else:
                commands += self._take_figures(message, now)
        if self._stop_at is not None and now >= self._stop_at and not self.state.stopping:
            commands += self._see(Seen("stop", now, text="--duration"))
        return [*commands, *self._mind_side(now), *self._ready_line()]

    def close(self) -> None:
        """The run is over."""
        for prober in self._probing:
            if prober is not None:
                prober.watch(0)
        if self._speaker is not None:
            self._speaker.ended()

    def _see(self, event: Seen) -> list[ServerCommand]:
        if event.kind == "written":
            return [SignalSide(self._frontend.reload_signal)] if self._frontend and self._frontend.reload_signal else []
        if event.kind == "silent":
            return [Notice(f"the proxy {event.text} and is killed"), SignalSide(signal.SIGKILL)]
        before = self.state
        if event.kind == "reload":
            self.is_asked_to_reload = False
        self.state, decisions = seen(before, event)
        if before.is_reloading and not self.state.is_reloading:
            self._notifier.reloaded()
        if event.slot >= 0 and (prober := self._probing[event.slot]) is not None:
            slot = self.state.slots[event.slot]
            if event.kind in ("started", "ended"):
                prober.watch(slot.attempt if slot.phase == "loading" else 0)
        commands: list[ServerCommand] = []
        if event.kind == "stop" and self.state is not before:
            self._notifier.stopping()
            commands += [Drain(), Say("draining: nothing new is taken, what is held is finished")]
        for decision in decisions:
            commands += self._command(decision)
        return commands

    def _command(self, decision: Decision) -> list[ServerCommand]:
        match decision.kind:
            case "traffic":
                if self._speaker is not None:
                    self._speaker.want(decision.slot, decision.traffic)
            case "ready":
                return [Ready(decision.slot)]
            case "recycle":
                return [Recycle(decision.slot)]
            case "retire":
                return [Retire(decision.slot)]
            case "kill":
                return [Kill(decision.slot, decision.text)]
            case "drain_endpoint":
                return self._drain_endpoint()
            case "finish":
                return [Finish()]
            case "say":
                return [Say(decision.text)]
            case "note":
                return [Notice(decision.text)]
        return []

    def _drain_endpoint(self) -> list[ServerCommand]:
        if self._frontend is None or self._speaker is None:
            return []
        if not self.proxy.runs:
            self._inbox.put(Seen("endpoint_ended", self._clock()))
            return []
        if self._frontend.soft_stop_signal:
            return [SignalSide(self._frontend.soft_stop_signal)]
        self._speaker.stop()
        return []

    def _ready_line(self) -> list[ServerCommand]:
        if self._is_announced or not (self.state.was_ready and self._endpoint_serves):
            return []
        self._is_announced = True
        at = f" behind {self._frontend.where}" if self._frontend is not None else ""
        return [Say(f"{counted(len(self.state.slots), 'server')} ready{at}")]

    def _take_figures(self, counted_by: Counted, now: float) -> list[ServerCommand]:
        (life, figures), is_stopping = counted_by, self.state.stopping
        if life != self._life:
            self.requests.begin_anew()
            self._life = life
        commands = self.requests.take(figures, now, at_once=is_stopping)
        for each in figures.slots:
            commands += self._see(Seen("in_flight", now, self._places[each.index], number=each.in_flight))
        self._quiet_looks = self._quiet_looks + 1 if is_stopping and not figures.in_flight else 0
        if self._quiet_looks >= QUIET_LOOKS:
            commands += self._see(Seen("endpoint_ended", now))
        return commands

    def _mind_side(self, now: float) -> list[ServerCommand]:
        if self.state.stopping:
            return []
        if self.proxy.problem:
            self.proxy.problem += self._why()
            self.state = replace(self.state, stopping=True, finished=True)
            return [Notice(self.proxy.problem), Finish()]
        if not self.proxy.start(now):
            return []
        if self._speaker is not None:
            self._speaker.started()
        ended = self.proxy.ended_so
        return [*([Notice(f"{ended}{self._why()}; it is started again")] if ended else []), StartSide()]

    def _why(self) -> str:
        """ ": port 8000 is taken by process 4711 (python3)"; "" where the endpoint's port is free."""
        why = self._frontend.hindrance() if self._frontend is not None else ""
        return f": {why}" if why else ""
