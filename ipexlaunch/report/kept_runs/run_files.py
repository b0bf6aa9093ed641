"""The names of the files in a run's directory.

run.yaml          the command: program, arguments, environment additions, options (its schema is the directory's)
plan.yaml         the instances
topology.yaml     the machine
environment.json  versions, libraries really mapped, kernel, limits, variables
events.jsonl      the raw facts: every count, look, failure and signal, with its time
events-so-far.jsonl  the same while the run lasts; it is left where the launcher was killed
report.json       what was computed from them
baseline-events.jsonl  the raw facts of the instance that ran alone first, where that was asked for
logs/             what the workers printed
launcher.json     who keeps a run there, while it lasts
"""

from __future__ import annotations

RUN, PLAN, TOPOLOGY = "run.yaml", "plan.yaml", "topology.yaml"
ENVIRONMENT, EVENTS, REPORT = "environment.json", "events.jsonl", "report.json"
SO_FAR = "events-so-far.jsonl"
BASELINE_EVENTS = "baseline-events.jsonl"
LOGS = "logs"
HOLD = "launcher.json"
RUN_FILES = (RUN, PLAN, TOPOLOGY, ENVIRONMENT, EVENTS, SO_FAR, REPORT, BASELINE_EVENTS)
"""Every file that may stand in a run's directory itself."""
