"""Workers that wait for each other by files in a directory, so that they load the host together."""

from __future__ import annotations

import os
from time import sleep

POLL_S = 0.005


class Meeting:
    """A place where a fixed number of workers wait until all are there, as often as they like.

    Nobody waits for ever: the launcher stops every worker when one has failed.
    """

    def __init__(self, directory: str, index: int, workers: int) -> None:
        """Agree on the place.

        Args:
            directory: exists, is empty at first, and is the same for all.
            index: this worker's, unlike all others'.
            workers: how many meet; with 1, nobody waits.
        """
        self.directory = directory
        self.index = index
        self.workers = workers
        self.times = 0

    def meet(self) -> None:
        """Return when every worker has called this as often as we have."""
        self.times += 1
        if self.workers < 2:
            return
        beginning = f"{self.times}-"
        with open(os.path.join(self.directory, f"{beginning}{self.index}"), "w", encoding="utf-8"):
            pass
        while sum(name.startswith(beginning) for name in os.listdir(self.directory)) < self.workers:
            sleep(POLL_S)
