"""What is decided about the servers of a run: a pure function of what is seen of them and asked for.

A slot is `loading` from the start of its server, `up` once it answers, `leaving` while the endpoint gives it nothing
and what it has is finished, `ending` once it was asked to end, `down` while no server runs there. At most one slot is
reloaded at a time; the next follows when that one is up again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from ipexlaunch.serve.slot_states import Decision, DecisionKind, Seen, ServiceState, SlotState

Step = tuple[ServiceState, list[Decision]]


def seen(state: ServiceState, event: Seen) -> tuple[ServiceState, Sequence[Decision]]:
    """The next state, and what is to be done now.

    Args:
        state: before it.
        event: what happened.
    """
    match event.kind:
        case "started":
            return _started(state, event)
        case "answers" | "waited":
            return state, _while_it_loads(state, event)
        case "ready":
            return _ready(state, event)
        case "probed":
            return _probed(state, event)
        case "ended":
            return _ended(state, event)
        case "told":
            if state.slots[event.slot].phase != "leaving":
                return state, []
            return (_with(state, event.slot, told=True), []) if state.has_figures else _end_slot(state, event.slot)
        case "in_flight":
            slot = state.slots[event.slot]
            if slot.phase == "leaving" and slot.told and not event.number:
                return _end_slot(state, event.slot)
        case "reload":
            return _reload(state, event)
        case "drain":
            return _drain(state, event)
        case "stop":
            return _stop(state, event)
        case "endpoint_ended":
            if state.stopping and not state.finished:
                return replace(state, finished=True), [Decision("finish")]
        case "tick":
            return _tick(state, event)
    return state, []


def _with(state: ServiceState, index: int, **changes: Any) -> ServiceState:
    return _put(state, index, replace(state.slots[index], **changes))


def _put(state: ServiceState, index: int, slot: SlotState) -> ServiceState:
    return replace(state, slots=(*state.slots[:index], slot, *state.slots[index + 1 :]))


def _started(state: ServiceState, event: Seen) -> Step:
    slot = state.slots[event.slot]
    fresh = SlotState(
        index=slot.index, phase="loading", attempt=slot.attempt + 1, restarts=slot.restarts + slot.fell,
        was_up=slot.was_up,
    )  # fmt: skip
    return _put(state, event.slot, fresh), []


def _while_it_loads(state: ServiceState, event: Seen) -> list[Decision]:
    slot = state.slots[event.slot]
    if slot.phase != "loading" or slot.attempt != event.attempt:
        return []
    if event.kind == "answers":
        return [Decision("ready", event.slot)]
    return [Decision("say", text=f"instance {slot.index} is not ready {event.text}")]


def _ready(state: ServiceState, event: Seen) -> Step:
    slot = state.slots[event.slot]
    if slot.phase != "loading" or state.stopping:
        return state, []
    state = _with(state, event.slot, phase="up", was_up=True)
    decisions = [Decision("traffic", event.slot, "ready")]
    if state.reloading == event.slot:
        state = replace(state, reloading=None)
        if not state.to_reload:
            state = replace(state, reloads=state.reloads + 1)
            decisions.append(Decision("say", text="reloaded: every slot has a new server"))
    all_up = all(each.phase == "up" or each.leaves_for == "drain" for each in state.slots)
    if all_up and not state.to_reload:
        state = replace(state, was_ready=True)
    state, more = _next_reload(state, event.time)
    return state, decisions + more


def _probed(state: ServiceState, event: Seen) -> Step:
    slot = state.slots[event.slot]
    if slot.phase != "up" or slot.attempt != event.attempt or state.stopping:
        return state, []
    if not event.text:
        return _with(state, event.slot, failed_probes=0), []
    state = _with(state, event.slot, failed_probes=slot.failed_probes + 1)
    if state.slots[event.slot].failed_probes < state.failures_allowed:
        return state, []
    times = "once" if state.failures_allowed == 1 else f"{state.failures_allowed} times in a row"
    return _with(state, event.slot, phase="ending"), [
        Decision("traffic", event.slot, "maint"),
        Decision("kill", event.slot, text=f"did not answer {times} ({event.text})"),
    ]


def _ended(state: ServiceState, event: Seen) -> Step:
    slot = state.slots[event.slot]
    if slot.phase == "down":
        return state, []
    asked = slot.phase == "ending" and bool(slot.leaves_for)
    state = _with(
        state, event.slot, phase="down", failed_probes=0, leave_by=None, told=False,
        leaves_for=slot.leaves_for if asked else "", fell=not asked,
    )  # fmt: skip
    decisions = [Decision("traffic", event.slot, "maint")]
    if state.stopping:
        return state, [*decisions, Decision("retire", event.slot)]
    if slot.phase == "leaving" and slot.leaves_for == "drain":
        # It has ended by itself in the meantime: it is not started again all the same.
        state = _with(state, event.slot, leaves_for="drain")
        decisions.append(Decision("retire", event.slot))
    if state.reloading == event.slot and slot.phase == "loading":
        state = replace(state, reloading=None, to_reload=())
        left = "the others keep the servers that they have"
        decisions.append(
            Decision("note", text=f"the reload stops: instance {slot.index} ended before it was ready; {left}")
        )
    return state, decisions


def _reload(state: ServiceState, event: Seen) -> Step:
    if state.stopping:
        return state, []
    waiting = dict.fromkeys((*state.to_reload, *event.slots))
    return _next_reload(replace(state, to_reload=tuple(waiting)), event.time)


def _next_reload(state: ServiceState, time: float) -> Step:
    """Whoever has no requests comes first; one that has waits until another one can take them, if there is any."""
    if state.reloading is not None or not state.to_reload or state.stopping:
        return state, []
    idle = [each for each in state.to_reload if state.slots[each].phase not in ("up", "leaving")]
    index = idle[0] if idle else state.to_reload[0]
    others = [slot for place, slot in enumerate(state.slots) if place != index and slot.leaves_for != "drain"]
    if not idle and others and not any(slot.phase == "up" for slot in others):
        return state, []
    state = replace(state, reloading=index, to_reload=tuple(each for each in state.to_reload if each != index))
    if not idle:
        return _leave(state, index, "reload", time)
    return _with(state, index, phase="ending", leaves_for="reload"), [Decision("recycle", index)]


def _drain(state: ServiceState, event: Seen) -> Step:
    if state.stopping:
        return state, []
    state = replace(state, to_reload=tuple(each for each in state.to_reload if each != event.slot))
    slot, more = state.slots[event.slot], list[Decision]()
    if state.reloading == event.slot:
        state, more = _next_reload(replace(state, reloading=None), event.time)
    if slot.phase == "up":
        state, decisions = _leave(state, event.slot, "drain", event.time)
    elif slot.phase == "leaving":
        state, decisions = _with(state, event.slot, leaves_for="drain"), []
    elif slot.phase == "down" and slot.leaves_for == "drain":
        return state, more
    else:
        state, decisions = _with(state, event.slot, leaves_for="drain"), [Decision("retire", event.slot)]
        if slot.phase == "loading":
            state = _with(state, event.slot, phase="ending")
    return state, [*decisions, *more]


def _leave(state: ServiceState, index: int, why: Literal["reload", "drain"], time: float) -> Step:
    state = _with(state, index, phase="leaving", leaves_for=why, leave_by=time + state.drain_timeout_s, told=False)
    if not state.has_endpoint:
        return _end_slot(state, index)
    return state, [Decision("traffic", index, "drain")]


def _end_slot(state: ServiceState, index: int) -> Step:
    """What it had is finished, or has taken too long."""
    how: DecisionKind = "recycle" if state.slots[index].leaves_for == "reload" else "retire"
    return _with(state, index, phase="ending", leave_by=None), [
        Decision("traffic", index, "maint"),
        Decision(how, index),
    ]


def _stop(state: ServiceState, event: Seen) -> Step:
    if state.stopping:
        return state, []
    state = replace(state, stopping=True, to_reload=(), reloading=None, served_long_enough=bool(event.text))
    if not state.has_endpoint:
        return replace(state, finished=True), [Decision("finish")]
    return replace(state, stop_by=event.time + state.drain_timeout_s), [Decision("drain_endpoint")]


def _tick(state: ServiceState, event: Seen) -> Step:
    if state.stop_by is not None and event.time >= state.stop_by and not state.finished:
        return replace(state, finished=True), [Decision("finish")]
    decisions: list[Decision] = []
    for index, slot in enumerate(state.slots):
        if slot.phase == "leaving" and slot.leave_by is not None and event.time >= slot.leave_by:
            state, more = _end_slot(state, index)
            limit = f"{state.drain_timeout_s:g} s (--drain-timeout)"
            decisions += [
                Decision("note", text=f"instance {slot.index} still has requests after {limit}, and is ended"),
                *more,
            ]
    return state, decisions
