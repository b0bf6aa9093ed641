"""What a worker tells of itself, kept: phases end with the next one, reasons are kept once."""

from ipexlaunch.launch.run_record import MORE_REASONS, REASONS_KEPT, Announced, PhaseSpan, Spent


def test_a_phase_ends_with_the_next_and_the_last_with_what_ends_it() -> None:
    told = Announced()
    told.begin_phase("loading", 1.0)
    told.begin_phase("compiling", 3.0)
    assert told.phases == [PhaseSpan("loading", 1.0, 3.0), PhaseSpan("compiling", 3.0)]
    told.end_phase(4.5)
    told.end_phase(9.0)
    assert told.phase_seconds() == {"loading": 2.0, "compiling": 1.5}


def test_the_same_phase_again_goes_on() -> None:
    told = Announced()
    for time in (1.0, 2.0, 3.0):
        told.begin_phase("compiling", time)
    assert told.phases == [PhaseSpan("compiling", 1.0)]
    assert told.phase_seconds() == {}


def test_a_phase_that_is_entered_again_has_the_sum_and_its_first_place() -> None:
    told = Announced()
    for time, name in enumerate(("loading", "compiling", "loading")):
        told.begin_phase(name, float(time))
    told.end_phase(7.0)
    assert list(told.phase_seconds().items()) == [("loading", 6.0), ("compiling", 1.0)]


def test_no_phase_lasts_less_than_nothing() -> None:
    told = Announced()
    told.begin_phase("loading", 5.0)
    told.end_phase(4.0)
    assert told.phase_seconds() == {"loading": 0.0}


def test_a_reason_is_kept_once_and_too_many_are_cut_off() -> None:
    told = Announced()
    assert told.add_invalid("wrong answers")
    assert not told.add_invalid("wrong answers")
    for number in range(100):
        told.add_invalid(f"reason {number}")
    assert len(told.invalid) == REASONS_KEPT + 1
    assert told.invalid[-1] == MORE_REASONS


def test_a_new_attempt_keeps_doubts_and_durations_only() -> None:
    told = Announced()
    told.begin_phase("loading", 1.0)
    told.ready_spent = Spent(1.0)
    told.facts["dtype"] = "bf16"
    told.add_durations("first_token", [0.5])
    told.add_invalid("wrong answers")
    told.begin_attempt()
    assert (told.phases, told.facts, told.invalid) == ([], {}, ["wrong answers"])
    assert told == Announced(durations_s=told.durations_s, invalid=told.invalid)
    assert list(told.durations_s["first_token"]) == [0.5]
