"""A history of a run, played through its life."""

from __future__ import annotations

from ipexlaunch.launch.lifecycle import Command, Event, Limits, State, begin, step


def played(events: list[Event], count: int, limits: Limits) -> tuple[State, list[tuple[Command, ...]]]:
    """The state after the events, and the commands of each; the workers are started at 0."""
    state = begin(count, limits, 0.0)
    commands = []
    for event in [Event("tick", 0.0), *events]:
        state, now = step(state, event)
        commands.append(now)
    return state, commands[1:]
