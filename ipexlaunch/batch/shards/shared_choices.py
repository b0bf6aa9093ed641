"""What the first host of a kind has chosen for all of its kind: a file that is made once."""

from __future__ import annotations

import os

from ipexlaunch.batch.shards.names_once import link_whole
from ipexlaunch.documents.read_text import read_text
from ipexlaunch.errors import LaunchError

CHOICE = "choice-{}.json"


def keep_choice(directory: str, kind: str, text: str) -> str:
    """What is chosen for a kind of host, from the first that chose: ours, or another's that came before.

    Args:
        directory: of the job.
        kind: of host, as a part of a name.
        text: what this one would choose.

    Raises:
        LaunchError: it cannot be written.
    """
    path = os.path.join(directory, CHOICE.format(kind))
    try:
        link_whole(path, text)
    except OSError as error:
        raise LaunchError(f"write {path}", str(error.strerror), "make it writable, with room, and try again") from None
    return read_text(path)


def kept_choice(directory: str, kind: str) -> str:
    """What was chosen for a kind of host; "" where nothing was.

    Args:
        directory: of the job.
        kind: of host.
    """
    path = os.path.join(directory, CHOICE.format(kind))
    return read_text(path) if os.path.lexists(path) else ""
