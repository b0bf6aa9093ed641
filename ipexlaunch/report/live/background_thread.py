"""Work that may take its time (a terminal, a slow disk) in a thread of its own, so that the supervisor never waits."""

from __future__ import annotations

import threading
from collections.abc import Callable


class BackgroundThread:
    """Calls a function in its thread soon after each poke; pokes that come meanwhile count as one.

    Make it before workers are started: a thread inherits the cpus that the starting thread is held to, and the
    supervisor's main thread is held to a worker's cpus while it starts that worker.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        """Start the thread.

        Args:
            work: what to do; an error in it ends the thread and stays in `error`.
            name: of the thread, for debuggers.
        """
        self._work = work
        self._poked = threading.Event()
        self._ending = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def poke(self) -> None:
        """Have the work done soon."""
        self._poked.set()

    def end(self, timeout_s: float) -> bool:
        """Do it a last time and end the thread; false where it hangs (a stopped terminal), and the thread is left."""
        self._ending = True
        self._poked.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                self._poked.wait()
                self._poked.clear()
                last = self._ending
                self._work()
                if last:
                    return
        except Exception as error:  # the thread's boundary: whoever made it tells the user
            self.error = error
