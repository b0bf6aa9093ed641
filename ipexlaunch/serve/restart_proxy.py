"""When a proxy that has ended is started again, and when it is given up."""

from __future__ import annotations

QUICK_S = 5.0
"""A proxy that ends sooner after its start is restarted with growing waits."""
QUICK_ENDS = 5
"""In a row, and it is given up with the next."""
FIRST_WAIT_S = 0.2


class ProxyStarts:
    """The starts of one run's proxy; it has no clock."""

    def __init__(self, due: float | None) -> None:
        """Begin with none.

        Args:
            due: when the first start is due; None where there is no proxy.
        """
        self.due = due
        """When the next start is due; None where it runs, or is not to run."""
        self.runs = False
        self.problem = ""
        """Why it was given up; "" where it was not."""
        self.ended_so = ""
        """How it ended last; "" where it never did."""
        self._began, self._quick_ends = 0.0, 0

    def start(self, now: float) -> bool:
        """Whether to start it now, which is then assumed.

        Args:
            now: seconds of the supervisor's clock.
        """
        if self.due is None or now < self.due:
            return False
        self.due, self._began, self.runs = None, now, True
        return True

    def end(self, text: str, now: float) -> None:
        """It has ended, without being asked to.

        Args:
            text: how.
            now: seconds of the supervisor's clock.
        """
        self.runs, self.ended_so = False, f"the proxy {text}"
        self._quick_ends = self._quick_ends + 1 if now - self._began < QUICK_S else 1
        if self._quick_ends > QUICK_ENDS:
            self.problem = f"{self.ended_so}, {self._quick_ends} times in a row soon after its start"
        else:
            self.due = now + FIRST_WAIT_S * 2 ** (self._quick_ends - 1)
