"""No option is silently ignored: every option of every command shows an effect, and every pair both, or is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from ipexlaunch.cli import COMMANDS
from ipexlaunch.cli.options.option_table import REFUSED
from ipexlaunch.cli.options.plan_options import REQUEST_OPTIONS
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.machine.topology import Accelerator, Node, Topology
from ipexlaunch.machine.topology_file import topology_to_yaml
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.plan_file import write_plan
from tests.cli.option_states import (
    VALUES,
    State,
    flag_of,
    options_of,
    parsed,
    shown_by,
    state_of,
    typed,
    with_more,
    words_for,
)
from tests.plan.machines import machine
from tests.sysfs_writer import write_sysfs


def _machine(cores: int) -> Topology:
    """Two nodes with siblings, efficiency cores, fast memory and accelerators: every option has something to choose."""
    made = machine([cores, cores, 0], threads=2, memory=[64, 64, 16], distances={(0, 2): 13, (1, 2): 23})
    kinds = [replace(each, kind="efficiency" if each.core % cores > 5 else "performance") for each in made.cpus]
    nodes = [replace(each, initiators=frozenset({0}), read_bandwidth_mb_s=900_000 if each.id == 2 else 200_000,
                     read_latency_ns=100) for each in made.nodes]  # fmt: skip
    cards = [Accelerator(address=f"0000:1{at}:00.0", vendor="intel", device="0x0bd5", node=at) for at in (0, 1)]
    return replace(made, cpus=tuple(kinds), nodes=tuple(nodes), accelerators=tuple(cards))


MACHINE = _machine(8)

OTHER = replace(MACHINE, nodes=(*MACHINE.nodes, Node(id=3, memory_bytes=1 << 30)))

ACROSS = ("host_rank", "host_count", "job_id", "rendezvous_ports", "join_timeout")
"""What says which of several hosts this is."""

NEEDS = {
    "warmup_calls": ["--count-calls"], "metrics_address": ["--metrics-port", "7"], "log_max_mb": ["--log-dir", "logs"],
    "log_file_prefix": ["--log-dir", "logs"], "port": ["--env", "P={port}"], "accelerators": ["--device", "xpu"],
    "any_machine": ["--plan", "other.yaml"], "topology": ["--dry-run"], "disable_taskset": ["--disable-numactl"],
    "disable_ipex_graph_mode": ["--auto-ipex"], "auto_ipex_verbose": ["--auto-ipex"], "rebuild": ["--resume"],
    "delimiter": ["--format", "csv"], "quote": ["--format", "csv"], "errors_file": ["--format", "openai"],
    "target_latency_ms": ["--scenario", "Server"], "batch_sizes": [], "workload": ["--goal", "throughput"],
    "min_cosine": ["--task", "embed"], "across_hosts": ["--run-dir", "o/run"], "rendezvous": ["--across-hosts"],
    **{name: ["--across-hosts", "--run-dir", "o/run"] for name in ACROSS},
}  # fmt: skip
"""What an option needs to mean anything."""

NEEDS_OF = {
    ("run", "dtype"): ["--auto-ipex"], ("run", "force_dtype"): ["--auto-ipex", "--dtype", "bf16"],
    ("tune", "dtype"): ["--auto-ipex"],
    ("bench", "force_dtype"): ["--dtype", "bf16"], ("batch", "force_dtype"): ["--dtype", "bf16"],
    ("loadgen", "force_dtype"): ["--dtype", "bf16"], ("dtypes", "new_tokens"): ["--task", "generate"],
    ("dtypes", "min_cosine"): [], ("run", "share_start_strict"): ["--share-start", "imports"],
    ("tune", "force_dtype"): ["--auto-ipex", "--dtype", "bf16"],
}  # fmt: skip
"""The same of one command."""

NOT_HERE = {
    "profile": "it needs one that a search has left: tests/tune",
    "replay": "it needs a kept run, which decides nearly everything: tests/report/kept_runs, tests/batch",
    "multi_instance": "a word of ipexrun that changes nothing: several instances are what ipexlaunch starts",
}
"""Options without a probe in this file, and where they have one."""

FED = "--input items.jsonl --output out.jsonl"

BASES = {
    "run": [("", "script.py word")],
    "batch": [(FED, "script.py"), (f"{FED} --model random:llama-160m", "")],
    "loadgen": [("--qps 1 --input items.jsonl", "script.py"), ("--qps 1 --input items.jsonl --model random:gpt2", "")],
    "bench": [("--model random:bert-large", ""), ("--model random:llama-160m", "")],
    "tune": [("", "script.py {batch_size}"), ("--model random:llama-160m", "")],
    "dtypes": [("", "")],
    "serve start": [("--endpoint 127.0.0.1:7999", "script.py {port}"), ("", "script.py {port}")],
}
"""Words that stand before the options, and the program behind them, of every command that starts workers."""


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the files are that the words name."""
    path = tmp_path_factory.mktemp("files")
    (path / "script.py").write_text("pass")
    for name in ("items.jsonl", "more.jsonl", "text.txt", "weights"):
        (path / name).write_text('"a"\n')
    (path / "o").mkdir()
    (path / "made.yaml").write_text(topology_to_yaml(MACHINE))
    (path / "two.yaml").write_text(topology_to_yaml(_machine(10)))
    write_sysfs(MACHINE, path / "tree")
    (path / "plan.yaml").write_text(write_plan(make_plan(MACHINE, Request(ninstances=3))))
    (path / "other.yaml").write_text(write_plan(make_plan(OTHER, Request(ninstances=4))))
    patch = pytest.MonkeyPatch()
    patch.chdir(path)
    yield path
    patch.undo()


def with_needs(command: str, option: click.Option) -> tuple[str, ...]:
    name = option.name or ""
    return (*words_for(option), *NEEDS_OF.get((command, name), NEEDS.get(name, [])))


BLENDED = (
    "workers", "plan", "plan_file", "logs", "logs' names", "jobs", "preloaded", "preloaded by name", "kernels",
    "model task", "batches largest_padded", "input format", "input_format", "loadgen min_queries", "limits timeout_s",
    "ready", "endpoint health_path", "words", "variables of a preset", "proxy's cpus",
    "endpoint slots", "endpoint probe_interval_s",
    "endpoint probe_timeout_s", "endpoint probe_failures", "endpoint drain_s",
)  # fmt: skip
"""What several options make together: beside another one it need not be as with one alone."""

MEANT_ANYWAY = {"disable_taskset": "taskset is not used in any case; beside --disable-numactl nothing is bound"}
"""Options that ask alone for what is so anyhow."""

SAME = {
    ("benchmark", "enable_jemalloc"): "that is what --benchmark preloads",
    ("memory_allocator", "use_default_allocator"): "one is the other's word in run_cpu",
}
"""Pairs of which one says what the other does already."""

Effects = frozenset[tuple[str, str]]


class Trial:
    """A command with a base of words, and what each option and each few of them change there."""

    def __init__(self, command: str, base: tuple[str, str]) -> None:
        self.base = parsed(command, [*base[0].split(), *base[1].split()])
        self.plain = state_of(self.base, MACHINE)
        self.typed: dict[str, dict[str, Any]] = {}
        self.alone: dict[str, Effects] = {}
        self.ignored: list[str] = []
        """Those that are taken without what they need."""
        for name, option in options_of(command).items():
            if name in NOT_HERE or (name == "model" and base[1]):  # a model stands where a program does
                continue
            words = with_needs(command, option)
            context = parsed(command, [*base[0].split(), *words, *base[1].split()])
            before = typed(self.base)
            self.typed[name] = {each: value for each, value in typed(context).items() if before.get(each) != value}
            needed = {each: value for each, value in self.typed[name].items() if each != name}
            if needed and self.effects_of([{name: self.typed[name][name]}]) == frozenset():
                self.ignored.append(name)
            if found := self.effects([name]):
                self.alone[name] = found - (self.effects_of([needed]) or frozenset())

    def effects(self, names: Iterable[str]) -> Effects | None:
        """What they change together; None where they are refused."""
        return self.effects_of([self.typed[name] for name in names])

    def effects_of(self, given: Iterable[Mapping[str, Any]]) -> Effects | None:
        try:
            found = state_of(with_more(self.base, given), MACHINE)
        except (click.UsageError, IpexLaunchError) as error:
            if "--" not in str(error):
                raise  # nobody is told which option it is about
            return None
        return frozenset(pair for pair in found.items() if self.plain.get(pair[0]) != pair[1])

    def missing(self, names: list[str]) -> list[tuple[str, str]] | None:
        """The effects that options have alone and not together; None where they are refused together."""
        found = self.effects(names)
        if found is None:
            return None
        lost = []
        for name in names:
            if any(name in self.typed[other] for other in names if other != name):
                continue  # the other one needs it
            own = self.own(name)
            lost += [(name, key) for key, _ in own - found]
            if not own and found == self.effects(set(names) - {name}) and tuple(sorted(names)) not in SAME:
                lost.append((name, "anything"))
        return lost

    def own(self, name: str) -> Effects:
        """The effects of an option that are the same whatever else is asked for."""
        return frozenset(pair for pair in self.alone[name] if pair[0] not in BLENDED)

    def key(self, pair: tuple[str, str]) -> frozenset[object]:
        """What tells this pair from one of the same options with other effects."""
        blended = (frozenset(key for key, _ in self.alone[name] if key in BLENDED) for name in pair)
        return frozenset(zip(pair, map(self.own, pair), blended, strict=True))


SEEN: set[frozenset[object]] = set()
"""Pairs whose effects were found together, in some command: what another one adds takes none of the same away."""


@pytest.mark.parametrize("command", BASES)
def test_every_option_shows_an_effect_and_every_pair_both_or_is_refused(command: str) -> None:
    shown: set[str] = set()
    for base in BASES[command]:
        tried = Trial(command, base)
        shown |= tried.alone.keys()
        assert [name for name in tried.ignored if name not in MEANT_ANYWAY] == []
        for pair in itertools.combinations(tried.alone, 2):
            if tried.key(pair) in SEEN:
                continue
            together = list(pair)
            lost = tried.missing(together)
            assert not lost, (command, base, together, lost)
            # As many others as go with these at once: all pairs of them show their effects, or are tried alone above.
            company = [name for name in tried.alone if tried.own(name)] if lost is not None else []
            for name in company if set(pair) <= set(company) else ():
                fresh = any(tried.key((name, other)) not in SEEN for other in together)
                if name not in together and fresh and tried.missing([*together, name]) == []:
                    together.append(name)
            SEEN.update(map(tried.key, itertools.combinations(together, 2)))
    assert (
        sorted(options_of(command).keys() - shown - REFUSED.get(command.split()[-1], {}).keys() - NOT_HERE.keys()) == []
    )


PRINTING = {
    "plan": ["--topology made.yaml"],
    "topology": ["--topology tree", ""],
    "doctor": ["--root tree", ""],
}
"""Words before the options of commands that start no worker, whose effects are what they print and write."""

PRINTED = {
    "device": "--device xpu", "env": "--export numactl --env A=b", "export": "--export numactl", "pids": "--pid 1",
    "port": "--export numactl --env P={port} --port 4000", "job_hosts": "--export slurm --hosts 3",
    "check_file": "--check plan.yaml",
    "format_": "--format json",
    "any_machine": "--any-machine --plan other.yaml", "export_dir": "--export numactl --export-dir o",
    "source": "--topology two.yaml", "form": "--format json", "save": "--save o/saved.tar.gz", "root": "--root tree",
    "goal": "--goal latency", "strategy": "--ninstances 1 --ncores-per-instance 1 --strategy close",
    "models": "--model weights", "fail_on": "--fail-on unknown", "scope": "--ninstances 3 --scope l3",
    "memory": "--memory dram", "ninstances": "--ninstances 3", "greedy": "--ninstances 3 --greedy",
    "cores_list": "--cores-list 0-3,8-9",
}  # fmt: skip
"""Words of options that change what is printed for this machine."""

TRIED_ELSEWHERE = {
    "top": "its three options are in the table, and tests/report/live has what it shows",
    "report": "it has one option",
    "completion": "it has no options",
    "shards": "it has commands of its own, whose options are those of batch (tests/batch/shards)",
}


@pytest.mark.parametrize("command", PRINTING)
def test_every_option_of_what_starts_nothing_shows_in_what_it_prints_and_every_pair_both(command: str) -> None:
    options = options_of(command)
    own = [name for name in options if command != "plan" or name not in REQUEST_OPTIONS]
    words = {name: tuple(PRINTED.get(name, "").split() or with_needs(command, each)) for name, each in options.items()}
    shown: set[str] = set()
    for base in PRINTING[command]:

        def printed(*names: str, base: str = base) -> State:
            return shown_by([command, *base.split(), *(word for name in names for word in words[name])], Path("o"))

        plain = printed()
        alone = {name: found for name in options if (found := printed(name)) and found != plain}
        shown |= alone.keys()
        for pair in itertools.combinations(alone, 2):
            needed = any(flag_of(options[one]) in words[other] for one, other in (pair, pair[::-1]))
            if set(pair) & set(own) and not needed:
                assert printed(*pair) not in (alone[pair[0]], alone[pair[1]]), (command, base, pair)
    assert set(own) - shown == set()  # tests/plan/test_request_pairs.py has the others


def test_every_command_is_tried_here_or_has_too_few_options() -> None:
    assert {*(name.split()[0] for name in BASES), *PRINTING, *TRIED_ELSEWHERE} == {*COMMANDS}
    assert [command for command in TRIED_ELSEWHERE if len(options_of(command)) > 3] == []
    assert {name for command in (*COMMANDS, "serve start") for name in options_of(command)} >= {
        *NOT_HERE,
        *VALUES,
        *NEEDS,
        *PRINTED,
    }
