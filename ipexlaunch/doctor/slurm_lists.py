"""The two notations of Slurm's variables: numbers with how often each, and names of hosts with brackets.

Sources: man sbatch (SLURM_JOB_CPUS_PER_NODE, SLURM_JOB_NODELIST); man scontrol (show hostnames).
"""

from __future__ import annotations

import itertools
import math
import re

MOST_HOSTS = 1 << 16
"""A list that names more is taken for something else."""


def numbers_in(text: str) -> list[int]:
    """ "72(x2),36" as [72, 72, 36]; empty where it is something else.

    Args:
        text: as SLURM_JOB_CPUS_PER_NODE has it.
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,6})(?:\(x([0-9]{1,5})\))?", part)
        if match is None:
            return []
        numbers += [int(match[1])] * int(match[2] or 1)
    return numbers


def host_names(text: str) -> list[str]:
    """ "h[1-3,07],login" as its names; empty where it is something else, or names too many.

    Args:
        text: as SLURM_JOB_NODELIST has it.
    """
    names: list[str] = []
    for part in re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text):
        pieces = [_spelled(piece) for piece in re.split(r"(\[[^\[\]]*\])", part)]
        if math.prod(map(len, pieces)) > MOST_HOSTS - len(names):
            return []
        names += map("".join, itertools.product(*pieces))
    return names


def _spelled(piece: str) -> list[str]:
    """ "[1-3,07]" as ["1", "2", "3", "07"], other text as itself."""
    if not piece.startswith("["):
        return [piece]
    found: list[str] = []
    for each in piece[1:-1].split(","):
        match = re.fullmatch("([0-9]{1,9})(?:-([0-9]{1,9}))?", each)
        if match is None:
            return []
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < MOST_HOSTS:
            return []
        found += [str(number).zfill(len(match[1])) for number in range(first, last + 1)]
    return found
