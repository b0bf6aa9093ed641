"""No option is silently ignored: every pair of them is refused, or shows both effects."""

from __future__ import annotations

import itertools
import sys
from dataclasses import fields
from functools import cache
from typing import Any

import click
import pytest

from ipexlaunch.cli.main import COMMANDS, ipexlaunch, main
from ipexlaunch.cli.make_job import job_from_options, launch_from_options
from ipexlaunch.cli.option_table import REFUSED, RULES, check_options
from ipexlaunch.cli.option_types import Number, Size
from ipexlaunch.cli.plan_options import REQUEST_OPTIONS, request_from_options
from ipexlaunch.cli.run_launch import limits_from_options
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.plan import Request, make_plan
from tests.plan.machines import machine

MACHINE = machine([8, 8], threads=2)

VALUES = {
    "ncores_per_instance": "2", "cores_list": "0-3", "nodes_list": "0", "groups": "1x4@node0", "instance_idx": "0",
    "on_failure": "restart:2", "env": "A=b", "throughput_regex": r"(\d+)", "python": "/bin/sh", "device": "cuda",
    "accelerators": "0", "local_pages": "0.5", "lost_time": "0.5", "port": "4000", "grace": "3", "proof_interval": "2",
    "ninstances": "2", "node_id": "1", "reserve_cores": "1", "memory_per_instance": "1GiB", "warmup_calls": "4",
}  # fmt: skip
"""Where an example of the type is none of the option."""


def command_of(name: str) -> click.Command:
    command = ipexlaunch.get_command(click.Context(ipexlaunch), name)
    assert command is not None
    return command


def options_of(name: str) -> dict[str, click.Option]:
    return {each.name or "": each for each in command_of(name).params if isinstance(each, click.Option)}


def words_for(option: click.Option, value: str | None = None) -> list[str]:
    flag = next((each for each in option.opts if each.startswith("--")), option.opts[0])
    if option.is_flag:
        return [flag]
    if value is None:
        value = VALUES.get(option.name or "")
    if value is None and isinstance(option.type, click.Choice):
        value = next(str(each) for each in reversed(option.type.choices) if each != option.default)
    if value is None:
        value = "1GiB" if isinstance(option.type, Size) else "7" if isinstance(option.type, Number) else "x"
    return [flag, value]


def parsed(name: str, words: list[str]) -> click.Context:
    return command_of(name).make_context(name, list(words), resilient_parsing=False)


# --- the table itself


def pairs_of_the_table() -> list[tuple[str, list[str], str]]:
    """(command, words that it must refuse, the flag that the message names) of every line of the table."""
    found = []
    for name in COMMANDS:
        options = options_of(name)
        required = [word for each in options.values() if each.required for word in words_for(each)]
        required += ["x"] if name == "report" else []
        for rule in (rule for rule in RULES if not rule.commands or name in rule.commands):
            for option in (options[each] for each in rule.options if each in options):
                flag = words_for(option)[0]
                for term in rule.excludes:
                    other, _, value = term.partition("=")
                    if other in options and other != option.name:
                        more = words_for(options[other], value or None)
                        found.append((name, [*required, *words_for(option), *more], flag))
                if any(term.partition("=")[0] in options for term in rule.needs):
                    found.append((name, [*required, *words_for(option)], flag))
        for each in REFUSED.get(name, {}):
            found.append((name, [*required, *words_for(options[each])], words_for(options[each])[0]))
    return found


def test_every_line_of_the_table_is_about_options_that_there_are_and_is_obeyed() -> None:
    lines = pairs_of_the_table()
    assert len(lines) > 200
    for name, words, flag in lines:
        context = parsed(name, words)
        with pytest.raises(click.UsageError) as caught:
            check_options(context)
        assert "--" in str(caught.value), (name, words, flag)
    named = {name for command in COMMANDS for name in options_of(command)}
    for rule in RULES:
        terms = [term.partition("=")[0] for term in (*rule.options, *rule.needs, *rule.excludes)]
        assert set(terms) <= named, rule


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--metrics-address", "::1", "a.py"], "--metrics-address needs --metrics-port"),
        (["run", "--log-max-mb", "5", "a.py"], "--log-max-mb needs --log-dir"),
        (["run", "--any-machine", "a.py"], "--any-machine needs --plan"),
        (["run", "--no-python", "--python", "/bin/sh", "a"], "--no-python and --python exclude each other"),
        (["run", "--multi-task-manager", "none", "--memory-policy", "interleave", "a.py"], "memory is not bound then"),
        (["run", "--port", "4000", "a.py"], "--port needs {port}"),
        (["batch", "--input", "a", "--output", "b", "--on-failure", "stop", "a.py"], "--on-failure is not for batch"),
        (["topology", "--save", "x.tar.gz", "--format", "json"], "--save and --format exclude each other"),
        (["tune", "--live", "a.py"], "--live is not for tune"),
        (["top", "--once", "--interval", "3"], "--interval and --once exclude each other"),
    ],
)
def test_what_would_be_ignored_is_refused_with_the_reason(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert told in capsys.readouterr().err


# --- the pairs of `run`

NOT_HERE = {
    "auto_ipex": "it looks for IPEX in the interpreter; its options are refused without it (see the table)",
    "disable_ipex_graph_mode": "with --auto-ipex only",
    "auto_ipex_verbose": "with --auto-ipex only",
    "dtype": "with --auto-ipex only",
    "force_dtype": "with --auto-ipex only",
    "dry_run": "it shows what all the others would do",
    "topology": "with --dry-run only",
    "plan_file": "test_plan_command.py and `asked_options` have its pairs: a file decides the instances",
    "any_machine": "with a plan from a file only",
    "profile": "it needs one that tune has left; see the table",
    "replay": "see test_replayed_batch.py and SETTLED: what a kept run decides cannot be said again",
    "memory": "this machine has one kind of memory",
    "use_e_cores": "this machine has one kind of cores",
    "accelerators": "this machine has none",
    "device": "this machine has none",
    "node_id": "-1 is run_cpu's word for none; it is --nodes-list",
    "multi_instance": "a word of ipexrun that changes nothing: several instances are what ipexlaunch starts",
    "disable_taskset": "a word of run_cpu that changes nothing alone: numactl is what binds",
    "use_default_allocator": "preloads nothing, as where nothing is installed",
    "disable_iomp": "preloads nothing, as where nothing is installed",
    "memory_allocator": "`programs` owns what is preloaded",
    "omp_runtime": "`programs` owns what is preloaded",
    "enable_tcmalloc": "`programs` owns what is preloaded",
    "enable_jemalloc": "`programs` owns what is preloaded",
    "latency_mode": "it is a size and a count; `Request.check` excludes both",
    "bind_numa_node": "it is what happens anyway, and excludes wider scopes",
    "skip_cross_node_cores": "the same",
}
"""Options of `run` without a probe of their own in the test of pairs, and why."""

COMPANIONS = {"warmup_calls": ["--count-calls"], "metrics_address": ["--metrics-port", "7"], "log_max_mb": ["--live"],
              "log_file_prefix": ["--live"], "port": ["--env", "P={port}"], "module": []}  # fmt: skip
"""What an option needs."""


def state_of(words: list[str]) -> dict[str, Any]:
    """Everything that follows from the words, flat: request, instances and their binding, job, limits, the rest."""
    context = parsed("run", [*words, "json" if "--module" in words or "-m" in words else __file__, "word"])
    check_options(context)
    options = context.params
    request = request_from_options(options)
    program, arguments = options["program"], options["arguments"]
    if options["no_python"]:
        program = sys.executable
    job = job_from_options(program, arguments, {**options, "omp_runtime": "default", "memory_allocator": "default"})
    launch = launch_from_options(make_plan(MACHINE, request), job, options)
    found: dict[str, Any] = {f"request.{each.name}": getattr(request, each.name) for each in fields(Request)}
    found |= {f"job.{name}": getattr(job, name) for name in ("kind", "python", "benchmark", "first_port")}
    found |= {f"environment.{name}": value for name, value in job.environment.items()}
    limits = limits_from_options(options)
    found |= {f"limits.{name}": getattr(limits, name) for name in limits.__dataclass_fields__}
    found["bound cpus"] = any(worker.instance.cpus for worker in launch.workers)
    found["bound memory"] = {worker.instance.memory for worker in launch.workers}
    found["started"] = [worker.instance.index for worker in launch.workers] if options["instance_idx"] else None
    taken = {*REQUEST_OPTIONS, "program", "arguments", "env", "multi_task_manager", "disable_numactl", "python"}
    found |= {name: value for name, value in options.items() if name not in taken}
    return found


@cache
def effects(words: tuple[str, ...]) -> frozenset[tuple[str, str]] | None:
    """What these words change; None where they are refused."""
    try:
        found, plain = state_of(list(words)), state_of([])
    except (click.UsageError, IpexLaunchError):
        return None
    return frozenset((name, repr(value)) for name, value in found.items() if repr(plain.get(name)) != repr(value))


def test_every_pair_of_runs_options_is_refused_or_shows_both_effects() -> None:
    options = {name: each for name, each in options_of("run").items() if name not in NOT_HERE and name != "help"}
    assert set(NOT_HERE) <= set(options_of("run"))
    words = {name: (*words_for(each), *COMPANIONS.get(name, ())) for name, each in options.items()}
    alone = {name: effects(each) for name, each in words.items()}
    assert [name for name, found in alone.items() if not found] == []

    def missing(names: list[str], found: frozenset[tuple[str, str]]) -> set[tuple[str, str]]:
        return {(name, what) for name in names for what, _ in (alone[name] or frozenset()) - found}

    pairs = [frozenset(pair) for pair in itertools.combinations(words, 2)]
    seen: set[frozenset[str]] = set()
    for pair in pairs:
        if pair in seen:
            continue
        together = sorted(pair)
        found = effects(tuple(word for name in together for word in words[name]))
        assert found is None or not missing(together, found), (together, missing(together, found))
        seen.add(pair)
        if found is None:
            continue
        # As many others as go with these at once: all pairs of them show their effects, or it is tried alone above.
        for name in words:
            if name in together or all(frozenset((name, other)) in seen for other in together):
                continue
            more = effects(tuple(word for each in (*together, name) for word in words[each]))
            if more is not None and not missing([*together, name], more):
                seen.update(frozenset((name, other)) for other in together)
                together.append(name)
