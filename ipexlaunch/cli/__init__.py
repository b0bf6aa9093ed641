"""The command line: parse, call, print. The one place where errors become exit codes."""

from __future__ import annotations

COMMANDS = {
    "run": ("run_command", "Start one pinned worker per instance and report the throughput (the default)."),
    "batch": ("batch_command", "Put every item of an input through a program, once each, whatever dies."),
    "shards": ("shards_command", "Do a batch job in shards, on as many hosts as an engine gives."),
    "serve": ("serve_command", "Keep one pinned server per instance, behind one endpoint."),
    "loadgen": ("loadgen_command", "Let MLPerf LoadGen measure a model or a program on all instances."),
    "topology": ("plan_command", "Show the machine: sockets, nodes, cores, memory, what is allowed."),
    "plan": ("plan_command", "Show the instances that a request gives, without starting anything."),
    "top": ("report_command", "Show your runs on this host as they stand."),
    "bench": ("bench_command", "Run a model on every instance: throughput, latencies, time to be ready."),
    "tune": ("tune_command", "Find by measuring how a program or a model runs fastest here."),
    "dtypes": ("dtypes_command", "Measure which engine and numbers are fast on this host."),
    "report": ("report_command", "Show runs that are over, compare several, write a page with charts."),
    "doctor": ("doctor_command", "Say what stands between this host and full speed."),
    "completion": ("completion_command", "Print what a shell needs to complete ipexlaunch's words."),
}
"""Command name to its module in this package (loaded when it is used; it is NAME_command there) and its --help line."""

EXIT_UNSHOWN = 1
"""What was to be shown could not be, and nothing else was wrong."""
EXIT_BUG = 3
EXIT_INTERRUPTED = 130
