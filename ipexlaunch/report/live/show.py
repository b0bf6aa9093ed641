"""Show a run while it lasts: a table that is redrawn on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from ipexlaunch.batch.items import BatchProgress
from ipexlaunch.launch.guard_streams import is_standard, outlet_of, text_for
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.report.live.background_thread import BackgroundThread
from ipexlaunch.report.live.cells import TriedCandidate, batch_bar, batch_words, measuring_bar, tried_candidate
from ipexlaunch.report.live.sample_usage import UsageSampler
from ipexlaunch.report.live.status import RunIdentity, Usage
from ipexlaunch.report.live.table import live_line, live_table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

LINE_INTERVAL_S = 10.0
"""Between two lines where there is no terminal."""

FIRST_LOOK_S = 0.5
"""Cpu use is what was used between two looks; for the first line the second look comes so soon."""

LINES_PRINTED_AGAIN = 5
"""Messages that are repeated where the screen had to be cleared."""

PATIENCE_S = 5.0
"""How long a terminal may take for the last picture."""


def table_interval_s(rows: int) -> float:
    """Seconds between two pictures: 64 rows four times a second take an eighth of a core, a person reads slower."""
    return 0.5 if rows <= 32 else 1.0 if rows <= 128 else 2.0


class _UsageObserver(Observer):
    """Takes what is newest and shows it, in a thread of its own, together with what the workers use."""

    def __init__(self, name: str, progress: Callable[[], BatchProgress] | None) -> None:
        self._newest: Snapshot | None = None
        self._progress = progress
        self._newest_progress: BatchProgress | None = None
        self._messages: deque[str] = deque()
        self._closing = False
        self._sampler: UsageSampler[int] | None = None
        self._apart = BackgroundThread(self._show, name)

    def tick(self, now: Callable[[], Snapshot]) -> None:
        """Show this soon, unless something newer comes first."""
        self._newest = now()
        if self._progress is not None:
            self._newest_progress = self._progress()
        self._apart.poke()

    def _usages(self, snapshot: Snapshot) -> dict[int, Usage]:
        if self._sampler is None:
            self._sampler = UsageSampler()
        return self._sampler.sample({worker.index: worker.pid for worker in snapshot.workers if worker.pid is not None})

    def _show(self) -> None:
        raise NotImplementedError


class LiveTable(_UsageObserver):
    """The table at the bottom of a terminal; what is said meanwhile appears above it."""

    def __init__(
        self,
        identity: RunIdentity,
        rows: int,
        stream: TextIO,
        *,
        color: bool,
        progress: Callable[[], BatchProgress] | None = None,
    ) -> None:
        """Begin with nothing drawn.

        Args:
            identity: what is run, and the share of local memory that is asked of it.
            rows: how many workers there are.
            stream: a terminal.
            color: whether it wants colours.
            progress: how far a batch job is; None where the run is none.
        """
        self.interval_s: float | None = table_interval_s(rows)
        self._identity = identity
        self._color = color
        self._outlet = outlet_of(stream)
        self._file = text_for(self._outlet, stream)
        self._live: Live | None = None
        self._width = 0
        self._said: deque[str] = deque(maxlen=LINES_PRINTED_AGAIN)
        super().__init__("ipexlaunch-live", progress)

    def say(self, text: str) -> None:
        """Write a line above the table."""
        if self._closing:
            print(text, file=self._file)
            return
        self._messages.append(text)
        self._apart.poke()

    def close(self) -> None:
        """Draw it a last time and leave it there."""
        self._closing = True
        ended = self._apart.end(PATIENCE_S)
        if self._apart.error is not None:
            self._restore()
            print(f"the live view stopped: {self._apart.error!r}", file=self._file)
        while ended and self._messages:
            print(self._messages.popleft(), file=self._file)
        if not is_standard(self._outlet):
            self._outlet.wait(PATIENCE_S)

    def _show(self) -> None:
        last, snapshot = self._closing, self._newest
        if snapshot is not None or self._messages:
            live = self._live or self._begin()
            console = live.console
            while self._messages:
                self._said.append(self._messages.popleft())
                self._print(console, self._said[-1])
        # A terminal that does not take one picture is not given more; what is said is kept for it.
        if snapshot is not None and (last or not self._outlet.thread.waiting_bytes):
            self._after_resizing(console)
            from rich.console import Group

            # The cursor stands below the picture: the terminal writes there what is typed, such as ^C.
            live.update(Group(*self._picture(snapshot, *console.size), ""), refresh=True)
        if last:
            self._restore()

    def _picture(self, snapshot: Snapshot, width: int, height: int) -> list[RenderableType]:
        bar = self._bar(snapshot, width)
        table = live_table(
            replace(snapshot, failures=()),  # each has been said, and stands above
            self._usages(snapshot),
            width=width,
            height=height - 2 - len(bar),
            title=self._identity.program,
            local_share_required=self._identity.local_share_required,
        )
        return [*bar, table]

    def _bar(self, snapshot: Snapshot, width: int) -> list[RenderableType]:
        """The lines above the table: how far the job is."""
        if self._newest_progress is None:
            return []

        return [batch_bar(self._newest_progress, snapshot, width=width)]

    def _begin(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._file, force_terminal=True, no_color=not self._color, highlight=False, emoji=False)
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
        return self._live

    def _print(self, console: Console, text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _after_resizing(self, console: Console) -> None:
        """A terminal that became narrower has broken the former picture's lines, so it is no longer where it was."""
        from rich.control import Control

        if console.width < self._width:
            console.control(Control.clear(), Control.home())
            for text in self._said:
                self._print(console, text)
        self._width = console.width

    def _restore(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class MeasuringBar(LiveTable):
    """A bar instead of the table: how many of the candidates are measured, and what is tried now."""

    _tried = TriedCandidate()

    def _picture(self, snapshot: Snapshot, width: int, height: int) -> list[RenderableType]:
        self._tried = tried_candidate(snapshot, self._tried)
        return [measuring_bar(snapshot, self._tried, width=width)]

    def _restore(self) -> None:
        if self._live is not None:
            self._live.transient = True
        super()._restore()


class LiveLines(_UsageObserver):
    """One line every ten seconds."""

    interval_s: float | None = LINE_INTERVAL_S

    def __init__(self, tell: Callable[[str], None], progress: Callable[[], BatchProgress] | None = None) -> None:
        """Begin with nothing told.

        Args:
            tell: takes a line.
            progress: how far a batch job is; None where the run is none.
        """
        self._tell = tell
        self._shown: Snapshot | None = None
        super().__init__("ipexlaunch-live", progress)

    def close(self) -> None:
        """End; the report follows, so there is no last line."""
        self._closing = True
        self._apart.end(PATIENCE_S)
        if self._apart.error is not None:
            self._tell(f"the live view stopped: {self._apart.error!r}")

    def _show(self) -> None:
        snapshot, progress = self._newest, self._newest_progress
        if snapshot is None or snapshot is self._shown or self._closing:
            return
        if all(worker.phase == "exited" for worker in snapshot.workers):
            return
        if self._shown is None:
            self._usages(snapshot)
            time.sleep(FIRST_LOOK_S)
        self._shown = snapshot
        line = live_line(snapshot, self._usages(snapshot))
        if progress is not None:
            line = f"{batch_words(progress, snapshot)}; {line}"
        self._tell(line)
