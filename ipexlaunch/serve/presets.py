"""What known servers are given where the user typed nothing: port, address, threads, and how they say they are ready.

A table: whoever adds a server adds a row, with its source and the date when that was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.plan.plan import Plan

LOOPBACK = "127.0.0.1"

_EVERY_ADDRESS = {"0.0.0.0": LOOPBACK, "::": "[::1]", "": LOOPBACK}
"""Where a server answers here that listens on every address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenOption:
    """An option that is appended to a server's arguments, unless it was typed, or something that excludes it."""

    names: tuple[str, ...]
    """Its spellings; the first is the one that is appended."""
    value: str
    """May hold `{port}`, `{threads}` and their kind."""
    variable: str = ""
    """The variable that the server reads where the option is missing; "" for none."""
    excluded_by: tuple[str, ...] = ()
    """Options with which the server refuses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedValue:
    """A value of an option with which the server leaves its slice."""

    names: tuple[str, ...]
    variable: str
    values: tuple[str, ...]
    why: str
    instead: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What one kind of server is given."""

    program: str
    """As its documentation calls it."""
    port: GivenOption
    host: GivenOption
    options: tuple[GivenOption, ...] = ()
    """All others."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """NAME to what it is, with `{nodes}` and its kind."""
    ready_path: str
    """Answers 2xx once the model is loaded, and not before."""
    least_threads: int = 1
    """The server does not start on an instance with fewer."""
    refused: tuple[RefusedValue, ...] = ()
    run_here: str
    """Which release the project has run in slots; "" for none."""
    source: str
    date: str
    """When the source was read: YYYY-MM-DD."""


PRESETS: Mapping[str, Preset] = {
    "vllm": Preset(
        program="vllm serve MODEL",
        port=GivenOption(names=("--port",), value="{port}"),
        host=GivenOption(names=("--host",), value=LOOPBACK),
        variables={
            # It finds the instance's cores by the affinity mask, takes one cpu of each, and leaves two cores of them to
            # its own front end, as its documentation advises and Intel's submission to MLPerf Inference 6.1 did on each
            # node. A list of cpus would leave none: then the number of reserved ones has no effect, and the front end,
            # which is bound to the instance as well, competes with the threads that compute.
            "VLLM_CPU_OMP_THREADS_BIND": "auto",
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "2",
            # It takes the first node that cpuset allows, which for all instances is the same one.
            "CPU_VISIBLE_MEMORY_NODES": "{nodes}",
        },
        ready_path="/health",
        least_threads=3,
        run_here="",
        source="vllm docs/getting_started/installation/cpu.md, vllm/utils/ompmultiprocessing.py, cpu_resource_utils.py",
        date="2026-11-30",
    ),
    "llama-server": Preset(
        program="llama-server -m MODEL.gguf",
        port=GivenOption(names=("--port",), value="{port}", variable="LLAMA_ARG_PORT"),
        host=GivenOption(names=("--host",), value=LOOPBACK, variable="LLAMA_ARG_HOST"),
        # Without it there is a thread for each core of the host; those for prompts are as many unless typed.
        options=(GivenOption(names=("--threads", "-t"), value="{threads}", variable="LLAMA_ARG_THREADS"),),
        ready_path="/health",
        refused=(
            RefusedValue(
                names=("--numa",),
                variable="LLAMA_ARG_NUMA",
                values=("distribute", "isolate"),
                why="it gives the server's threads the cpus of whole nodes, outside its slice",
                instead="leave --numa out, the slice is bound to its node anyway",
            ),
        ),
        run_here="0c1e570, vendored by llama-cpp-python 0.3.36",
        source="llama.cpp tools/server/README.md, ggml/src/ggml-cpu/ggml-cpu.c; docs/binding.md for --numa",
        date="2026-11-30",
    ),
    "ovms": Preset(
        program="ovms --model_name NAME --model_path DIR",
        port=GivenOption(names=("--rest_port",), value="{port}"),
        host=GivenOption(names=("--rest_bind_address",), value=LOOPBACK),
        # It would take a GPU where there is one. Its inference threads are those of its affinity mask, pinned in it.
        options=(GivenOption(names=("--target_device",), value="CPU", excluded_by=("--config_path",)),),
        ready_path="/v2/health/ready",
        run_here="",
        source="model_server docs/parameters.md, docs/performance_tuning.md, src/cli_parser.cpp, src/ov_utils.cpp",
        date="2026-11-30",
    ),
    "tei": Preset(
        program="text-embeddings-router --model-id MODEL",
        port=GivenOption(names=("--port", "-p"), value="{port}", variable="PORT"),
        host=GivenOption(names=("--hostname",), value=LOOPBACK, variable="HOSTNAME"),
        options=(
            # Otherwise both are one for the whole host, and the second server does not start. Port 0: a free one.
            GivenOption(names=("--prometheus-port",), value="0", variable="PROMETHEUS_PORT"),
            GivenOption(names=("--uds-path",), value="/tmp/text-embeddings-{port}", variable="UDS_PATH"),
        ),
        # Its images set 8. MKL takes OMP_NUM_THREADS, which every instance has.
        variables={"RAYON_NUM_THREADS": "{threads}"},
        ready_path="/health",
        run_here="",
        source="text-embeddings-inference docs/source/en/cli_arguments.md, Dockerfile, backends/ort/src/lib.rs",
        date="2026-11-30",
    ),
}
"""By the name that --preset takes. None needs an interpreter of Python (--no-python), each has one instance per node
unless something else is asked for, and every instance has OMP_NUM_THREADS already.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetUse:
    """A server's command line with what its preset gives."""

    arguments: tuple[str, ...]
    """The program's own words, with the preset's behind them."""
    variables: Mapping[str, str]
    """Of the preset, without those that were typed."""
    ready_when: str
    """For --ready-when: the URL of each server, with `{port}` where the port was not typed."""
    note: str
    """What the user should know of the preset; "" where it has been run."""


def with_preset(
    preset: Preset, arguments: Sequence[str], typed: Mapping[str, str], inherited: Mapping[str, str]
) -> PresetUse:
    """Add what the preset gives to what was typed; what was typed wins, as an option and as a variable.

    Args:
        preset: a value of PRESETS.
        arguments: the program and its arguments, as typed.
        typed: variables of --env.
        inherited: those that the servers have anyway. They do not win: a container sets HOSTNAME, and an image of TEI
            sets PORT and a number of threads.

    Raises:
        RequestError: the server would leave its slice by a value that was typed or inherited.
    """
    for refused in preset.refused:
        value = _typed_value(refused.names, refused.variable, arguments, {**inherited, **typed})
        if value in refused.values:
            raise RequestError(f"serve with {refused.names[0]} {value}", refused.why, refused.instead)
    added: list[str] = []
    for option in (preset.port, preset.host, *preset.options):
        is_typed = _typed_value(option.names, option.variable, arguments, typed) is not None
        if not is_typed and not any(_values_in(arguments, option.excluded_by)):
            added += [option.names[0], option.value]
    return PresetUse(
        arguments=(*arguments, *added),
        variables={name: value for name, value in preset.variables.items() if name not in typed},
        ready_when=f"http://{_address(preset, arguments, typed)}{preset.ready_path}",
        note=""
        if preset.run_here
        else f"this preset is as the server's documentation was on {preset.date}; not run yet",
    )


def check_plan(name: str, preset: Preset, plan: Plan) -> None:
    """Refuse instances on which the server would not start.

    Args:
        name: of the preset.
        preset: its row.
        plan: the instances that are started count.

    Raises:
        PlanError: one is too small.
    """
    small = min(plan.chosen, key=lambda instance: instance.threads, default=None)
    if small is not None and small.threads < preset.least_threads:
        raise PlanError(
            f"serve with --preset {name}",
            f"instance {small.index} has {small.threads} of the {preset.least_threads} threads that it needs",
            "ask for fewer instances (--ninstances), or for more cores in each (--ncores-per-instance)",
        )


def _address(preset: Preset, arguments: Sequence[str], typed: Mapping[str, str]) -> str:
    """HOST:PORT where the server answers here, as a template."""
    host, port = (
        value if (value := _typed_value(each.names, each.variable, arguments, typed)) is not None else each.value
        for each in (preset.host, preset.port)
    )
    host = _EVERY_ADDRESS.get(host, host)
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def _typed_value(names: Sequence[str], variable: str, arguments: Sequence[str], typed: Mapping[str, str]) -> str | None:
    """What was typed for an option, last word first, or for its variable; None for nothing."""
    found = [*_values_in(arguments, names)]
    return found[-1] if found else typed.get(variable)


def _values_in(arguments: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """The values of an option in its spellings `--name 9`, `--name=9` and `-n9`; "" for one that is missing."""
    for place, word in enumerate(arguments):
        for name in names:
            rest = word[len(name) :] if word.startswith(name) else None
            if rest == "":
                yield arguments[place + 1] if place + 1 < len(arguments) else ""
            elif rest and rest.startswith("="):
                yield rest[1:]
            elif rest and rest.isdigit() and not name.startswith("--"):
                yield rest
