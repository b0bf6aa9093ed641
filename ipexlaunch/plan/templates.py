"""What `{index}`, `{cpus}` ... stand for in a program's arguments and variables, for runs and for exports."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.plan.plan import Instance

NAMES = ("index", "count", "cpus", "nodes", "threads", "port")

TEMPLATE = rf"(\{{?)\{{({'|'.join(NAMES)})\}}(\}}?)"
"""`{index}` in an argument; `{{index}}` stands for itself, and every other brace is left as it is."""

FIRST_PORT = 29500
"""Port of instance 0 where none is asked for: the default of torch's launchers."""


def values_of(instance: Instance, count: int, first_port: int) -> dict[str, str]:
    """What each name stands for.

    Args:
        instance: the worker's.
        count: of all instances.
        first_port: port of instance 0.
    """
    return {
        "index": str(instance.index),
        "count": str(count),
        "cpus": format_list(instance.cpus),
        "nodes": format_list(instance.nodes),
        "threads": str(instance.threads),
        "port": str(first_port + instance.index),
    }


def fill_template(text: str, values: Mapping[str, str]) -> str:
    """The text with `{index}`, `{cpus}` ... replaced, `{{index}}` turned into `{index}`, the rest byte for byte."""

    def replace(match: re.Match[str]) -> str:
        opening, name, closing = match.groups()
        if opening and closing:
            return "{" + name + "}"
        return opening + values[name] + closing

    return re.sub(TEMPLATE, replace, text) if "{" in text else text


def names_in(text: str) -> set[str]:
    """Which names stand in a text to be replaced."""
    return {match[2] for match in re.finditer(TEMPLATE, text) if not (match[1] and match[3])}
