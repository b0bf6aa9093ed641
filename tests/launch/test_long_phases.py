"""When a phase that lasts is worth a line, as histories."""

from ipexlaunch.launch.supervise.handle_messages import LongPhases


def lines(*busy: tuple[int, str, float], until: float) -> list[tuple[float, str]]:
    """What is told, and when, where nobody's phase changes."""
    phases, told = LongPhases(5.0), []
    due = phases.due(busy)
    while due is not None and due <= until:
        told.append((due, phases.line(busy, due)))
        due = phases.due(busy)
    return told


def test_one_worker_is_named_after_five_seconds_and_then_every_thirty() -> None:
    assert lines((3, "compiling", 10.0), until=80.0) == [
        (15.0, "[3] compiling, 5 s"),
        (45.0, "[3] compiling, 35 s"),
        (75.0, "[3] compiling, 65 s"),
    ]


def test_many_workers_have_one_line() -> None:
    busy = [(index, "loading", index / 10) for index in range(64)]
    assert lines(*busy, until=40.0) == [(5.0, "loading: 64 workers, 5 s"), (35.0, "loading: 64 workers, 35 s")]


def test_phases_that_are_long_at_about_the_same_time_share_a_line() -> None:
    busy = [(0, "compiling", 0.0), *((index, "waiting for compilation", 2.0) for index in range(1, 4))]
    assert lines(*busy, until=40.0) == [
        (5.0, "[0] compiling, 5 s; waiting for compilation: 3 workers, 3 s"),
        (35.0, "[0] compiling, 35 s; waiting for compilation: 3 workers, 33 s"),
    ]


def test_a_line_is_not_followed_by_another_at_once() -> None:
    assert lines((0, "compiling", 0.0), (1, "loading", 3.0), until=40.0) == [
        (5.0, "[0] compiling, 5 s"),
        (10.0, "[0] compiling, 10 s; [1] loading, 7 s"),
        (40.0, "[0] compiling, 40 s; [1] loading, 37 s"),
    ]


def test_nothing_is_due_where_nobody_is_busy() -> None:
    assert LongPhases(5.0).due([]) is None
    assert LongPhases(5.0).line([], 100.0) == ""


def test_a_short_phase_is_not_told() -> None:
    phases = LongPhases(5.0)
    assert phases.line([(0, "loading", 0.0)], 4.9) == ""
    assert phases.due([(0, "compiling", 4.9)]) == 9.9


def test_workers_that_enter_a_phase_one_after_the_other_do_not_each_have_a_line() -> None:
    phases, told = LongPhases(5.0), []
    for index in range(30):
        busy = [(index, "loading", 6.0 * index)]
        due = phases.due(busy)
        if due is not None and due <= 6.0 * index + 6.0:
            told.append(phases.line(busy, due))
    assert told == [f"[{index}] loading, 5 s" for index in (0, 5, 10, 15, 20, 25)]
