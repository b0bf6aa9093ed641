"""What is decided about servers, as tables of what happens to them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.serve.slot_states import Decision, Seen, ServiceState, SlotState, due, standing
from ipexlaunch.serve.slot_steps import seen


def service(count: int = 2, **fields: object) -> ServiceState:
    slots = tuple(SlotState(index=10 + i) for i in range(count))
    return ServiceState(slots=slots, has_endpoint=True, **fields)  # type: ignore[arg-type]  # fields of the class


def play(state: ServiceState, *events: Seen) -> tuple[ServiceState, list[Decision]]:
    """The state after the events, and the decisions of the last one."""
    decisions: Sequence[Decision] = []
    for event in events:
        state, decisions = seen(state, event)
    return state, list(decisions)


def up(count: int = 2, **fields: object) -> ServiceState:
    events = [Seen(kind, 1.0, slot) for slot in range(count) for kind in ("started", "ready")]
    return play(service(count, **fields), *events)[0]


def words(state: ServiceState) -> list[str]:
    return list(standing(state))


def test_a_server_gets_requests_once_it_is_ready_and_none_once_it_has_ended() -> None:
    state, decisions = play(service(), Seen("started", 1.0, 0), Seen("ready", 2.0, 0))
    assert decisions == [Decision("traffic", 0, "ready")]
    state, decisions = play(state, Seen("ended", 9.0, 0))
    assert decisions == [Decision("traffic", 0, "maint")]
    state, _ = play(state, Seen("started", 9.5, 0))
    assert (state.slots[0].attempt, state.slots[0].restarts, words(state)[0]) == (2, 1, "loading")


def test_the_first_answer_of_the_server_that_loads_makes_it_ready_and_no_other() -> None:
    state, _ = play(service(), Seen("started", 1.0, 0))
    assert play(state, Seen("answers", 2.0, 0, 1))[1] == [Decision("ready", 0)]
    assert play(state, Seen("answers", 2.0, 0, 0))[1] == []
    assert play(state, Seen("waited", 31.0, 0, 1, "after 30 s (refused)"))[1] == [
        Decision("say", text="instance 10 is not ready after 30 s (refused)")
    ]
    assert play(up(), Seen("answers", 2.0, 0, 1))[1] == []


def test_all_are_ready_when_the_last_one_is() -> None:
    state, _ = play(service(), Seen("started", 1.0, 0), Seen("started", 1.0, 1), Seen("ready", 2.0, 0))
    assert not state.was_ready
    assert play(state, Seen("ready", 3.0, 1))[0].was_ready


def test_so_many_probes_in_a_row_without_an_answer_kill_a_server() -> None:
    state = up(failures_allowed=2)
    for _ in range(3):  # an answer in between counts from the beginning
        state, decisions = play(state, Seen("probed", 5.0, 0, 1, "refused"), Seen("probed", 6.0, 0, 1, ""))
        assert decisions == []
    state, decisions = play(state, Seen("probed", 7.0, 0, 1, "refused"), Seen("probed", 8.0, 0, 1, "refused"))
    assert decisions[0] == Decision("traffic", 0, "maint")
    assert (decisions[1].kind, decisions[1].text) == ("kill", "did not answer 2 times in a row (refused)")


def test_what_is_said_of_a_former_server_does_not_count() -> None:
    state, _ = play(up(failures_allowed=1), Seen("ended", 5.0, 0), Seen("started", 6.0, 0), Seen("ready", 7.0, 0))
    assert play(state, Seen("probed", 7.5, 0, 1, "refused"))[1] == []


def test_a_reload_has_one_slot_at_a_time_finish_what_it_has_and_start_again() -> None:
    state, decisions = play(up(), Seen("reload", 10.0, slots=(0, 1)))
    assert decisions == [Decision("traffic", 0, "drain")]
    assert words(state) == ["leaving", "up"]
    assert play(state, Seen("in_flight", 10.1, 0, number=0))[1] == []  # it may not know yet that it is to drain
    state, decisions = play(state, Seen("told", 10.2, 0), Seen("in_flight", 10.3, 0, number=2))
    assert decisions == []
    state, decisions = play(state, Seen("in_flight", 11.0, 0, number=0))
    assert decisions == [Decision("traffic", 0, "maint"), Decision("recycle", 0)]
    state, decisions = play(state, Seen("ended", 11.5, 0), Seen("started", 11.6, 0), Seen("ready", 13.0, 0))
    assert decisions == [Decision("traffic", 0, "ready"), Decision("traffic", 1, "drain")]
    finish = [Seen("told", 13.1, 1), Seen("in_flight", 13.2, 1), Seen("ended", 14.0, 1), Seen("started", 14.1, 1)]
    state, decisions = play(state, *finish, Seen("ready", 15.0, 1))
    assert Decision("say", text="reloaded: every slot has a new server") in decisions
    assert (state.reloads, state.is_reloading, [slot.restarts for slot in state.slots]) == (1, False, [0, 0])


def test_a_server_with_requests_is_not_reloaded_while_no_other_one_could_take_them() -> None:
    state, _ = play(up(), Seen("ended", 9.0, 1), Seen("started", 9.5, 1))
    state, decisions = play(state, Seen("reload", 10.0, slots=(0, 1)))
    assert decisions == [Decision("recycle", 1)]  # it has none, and goes first
    state, decisions = play(state, Seen("ended", 10.1, 1), Seen("started", 10.2, 1), Seen("ready", 11.0, 1))
    assert decisions == [Decision("traffic", 1, "ready"), Decision("traffic", 0, "drain")]


def test_one_that_waits_for_another_is_reloaded_once_that_one_is_ready() -> None:
    state, _ = play(up(), Seen("ended", 9.0, 1), Seen("started", 9.5, 1))
    state, decisions = play(state, Seen("reload", 10.0, slots=(0,)))
    assert (decisions, words(state)) == ([], ["up", "loading"])
    assert play(state, Seen("ready", 11.0, 1))[1] == [Decision("traffic", 1, "ready"), Decision("traffic", 0, "drain")]


def test_one_slot_alone_or_beside_drained_ones_is_reloaded_all_the_same() -> None:
    assert play(up(1), Seen("reload", 10.0, slots=(0,)))[1] == [Decision("traffic", 0, "drain")]
    state, _ = play(up(), Seen("drain", 9.0, 1), Seen("told", 9.1, 1), Seen("in_flight", 9.2, 1), Seen("ended", 9.3, 1))
    assert play(state, Seen("reload", 10.0, slots=(0,)))[1] == [Decision("traffic", 0, "drain")]


def test_requests_that_take_too_long_do_not_hold_up_a_reload() -> None:
    state, _ = play(up(), Seen("reload", 10.0, slots=(0,)), Seen("told", 10.1, 0), Seen("in_flight", 10.2, 0, number=1))
    assert due(state) == 40.0
    _, decisions = play(state, Seen("tick", 40.0))
    assert [each.kind for each in decisions] == ["note", "traffic", "recycle"]
    assert "instance 10 still has requests after 30 s" in decisions[0].text


def test_a_new_server_that_does_not_get_ready_stops_the_reload() -> None:
    state, _ = play(up(), Seen("reload", 10.0, slots=(0, 1)), Seen("told", 10.1, 0), Seen("in_flight", 10.2, 0))
    state, decisions = play(state, Seen("ended", 10.5, 0), Seen("started", 10.6, 0), Seen("ended", 11.0, 0))
    assert decisions[-1].kind == "note"
    assert "the reload stops: instance 10 ended before it was ready" in decisions[-1].text
    assert (state.is_reloading, words(state)) == (False, ["down", "up"])


def test_a_drained_slot_stays_away_until_it_is_reloaded() -> None:
    state, _ = play(up(), Seen("drain", 10.0, 1), Seen("told", 10.1, 1), Seen("in_flight", 10.2, 1))
    state, _ = play(state, Seen("ended", 10.5, 1))
    assert words(state) == ["up", "drained"]
    state, decisions = play(state, Seen("reload", 20.0, slots=(1,)))
    assert decisions == [Decision("recycle", 1)]
    state, _ = play(state, Seen("started", 20.1, 1), Seen("ready", 21.0, 1))
    assert words(state) == ["up", "up"]


def test_a_server_that_dies_while_it_is_drained_is_not_started_again() -> None:
    _, decisions = play(up(), Seen("drain", 10.0, 1), Seen("ended", 10.1, 1))
    assert Decision("retire", 1) in decisions


def test_without_an_endpoint_a_server_is_ended_at_once_and_finishes_by_itself() -> None:
    state = ServiceState(slots=up().slots)
    _, decisions = play(state, Seen("reload", 10.0, slots=(0,)))
    assert Decision("recycle", 0) in decisions


def test_a_proxy_without_figures_is_told_before_a_server_ends() -> None:
    state, decisions = play(up(has_figures=False), Seen("reload", 10.0, slots=(0,)))
    assert decisions == [Decision("traffic", 0, "drain")]
    assert Decision("recycle", 0) in play(state, Seen("told", 10.1, 0))[1]


def test_the_end_waits_for_the_endpoint_or_for_its_time() -> None:
    state, decisions = play(up(), Seen("stop", 10.0))
    assert decisions == [Decision("drain_endpoint")]
    assert play(state, Seen("endpoint_ended", 12.0))[1] == [Decision("finish")]
    assert play(state, Seen("tick", 40.0))[1] == [Decision("finish")]
    assert play(state, Seen("stop", 11.0))[1] == []


def test_a_server_that_ends_while_all_are_drained_is_not_started_again() -> None:
    assert Decision("retire", 0) in play(up(), Seen("stop", 10.0), Seen("ended", 10.1, 0))[1]


EVENTS = st.builds(
    Seen,
    st.sampled_from(["started", "ready", "probed", "ended", "told", "in_flight", "reload", "drain", "tick"]),
    st.floats(0, 100),
    st.integers(0, 2),
    st.integers(0, 3),
    st.sampled_from(["", "refused"]),
    st.integers(0, 2),
    st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True).map(tuple),
)


@given(st.lists(EVENTS, max_size=80))
def test_at_most_one_slot_is_reloaded_at_a_time_and_every_end_is_reached(events: list[Seen]) -> None:
    state = service(3, failures_allowed=1)
    for time, event in enumerate(events):
        phase = state.slots[event.slot].phase
        if (event.kind == "started") == (phase in ("loading", "up", "leaving")) and event.kind in ("started", "ended"):
            continue
        state, decisions = seen(state, Seen(event.kind, float(time), *_rest(event)))
        leaving = [slot for slot in state.slots if slot.phase == "leaving" and slot.leaves_for == "reload"]
        assert len(leaving) <= 1
        assert sum(each.kind == "recycle" for each in decisions) <= 1
        assert len(set(state.to_reload)) == len(state.to_reload)
    state, _ = seen(state, Seen("stop", 1000.0))
    state, decisions = seen(state, Seen("tick", 1030.0))
    assert state.finished
    assert Decision("finish") in decisions


def _rest(event: Seen) -> tuple[int, int, str, int, tuple[int, ...]]:
    return event.slot, event.attempt, event.text, event.number, event.slots
