"""The life of a run as a pure function: `step(state, event)` gives the next state and the commands to carry out.

No clock, no processes, no signals: each event carries the time it happened, so every history can be tested as a table.
Times are seconds of one monotonic clock.
"""

from ipexlaunch.launch.lifecycle.next_state import begin, next_deadline, step
from ipexlaunch.launch.lifecycle.states import (
    LONGEST_RESTART_WAIT_S,
    SIGNAL_BASE,
    TIMED_OUT,
    Command,
    CommandKind,
    Event,
    EventKind,
    Failure,
    Limits,
    Phase,
    Stage,
    State,
    WorkerState,
    end_text,
    exit_code,
    signal_code,
)

__all__ = [
    "LONGEST_RESTART_WAIT_S",
    "SIGNAL_BASE",
    "TIMED_OUT",
    "Command",
    "CommandKind",
    "Event",
    "EventKind",
    "Failure",
    "Limits",
    "Phase",
    "Stage",
    "State",
    "WorkerState",
    "begin",
    "end_text",
    "exit_code",
    "next_deadline",
    "signal_code",
    "step",
]
