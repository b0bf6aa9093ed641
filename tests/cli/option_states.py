"""What a command would do, flat, from its words alone: the values that it makes of them before anything is started."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ipexlaunch.cli.dtypes_command import DtypesOptions, _jobs
from ipexlaunch.cli.loadgen_command import _rules
from ipexlaunch.cli.main import ipexlaunch, main
from ipexlaunch.cli.options import JobOptions, LaunchOptions, ModelOptions, RunOptions
from ipexlaunch.cli.options.batch_input import batch_rules, find_input, output_rules
from ipexlaunch.cli.options.batch_options import BatchOptions, FedOptions, LoadgenOptions
from ipexlaunch.cli.options.check_files import written_files
from ipexlaunch.cli.options.checked_command import check_options
from ipexlaunch.cli.options.model_options import BenchOptions, TuneOptions
from ipexlaunch.cli.options.option_types import Number
from ipexlaunch.cli.options.plan_options import options_of as made_options
from ipexlaunch.cli.options.plan_options import plan_of
from ipexlaunch.cli.options.serve_options import ServeOptions
from ipexlaunch.cli.run.built_in_workers import asked_of_scripts, form_from_options, model_job, text_of
from ipexlaunch.cli.run.choose_preloads import asked_libraries
from ipexlaunch.cli.run.make_job import job_from_options, launch_from_options, variables_of
from ipexlaunch.cli.run.run_launch import limits_from_options
from ipexlaunch.cli.run.watch_run import log_directory
from ipexlaunch.cli.serve.start import endpoint_from_options, proxy_cpus, with_what_is_known
from ipexlaunch.cli.tune_command import _limits, rule_of
from ipexlaunch.launch.job import Job, shell_line
from ipexlaunch.machine.topology import Topology
from ipexlaunch.serve.probes import read_ready_rule

State = dict[str, str]

NOTHING_PRELOADED: dict[str, Any] = dict.fromkeys(
    ("enable_tcmalloc", "enable_jemalloc", "use_default_allocator", "disable_iomp", "benchmark"), False
) | {"memory_allocator": "default", "omp_runtime": "default"}


def command_of(name: str) -> click.Command:
    found: click.Command | None = ipexlaunch
    for word in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None
    return found


def options_of(name: str) -> dict[str, click.Option]:
    found = [each for each in command_of(name).params if isinstance(each, click.Option)]
    return {each.name or "": each for each in found if each.name != "help"}


VALUES = {
    "ncores_per_instance": "2", "cores_list": "0-3", "nodes_list": "0", "groups": "1x4@node0", "instance_idx": "0",
    "on_failure": "restart:2", "env": "A=b", "throughput_regex": r"(\d+)", "python": "/bin/sh", "device": "xpu",
    "accelerators": "0", "local_pages": "0.5", "lost_time": "0.5", "port": "4000", "grace": "3", "proof_interval": "2",
    "ninstances": "2", "node_id": "1", "reserve_cores": "1", "memory_per_instance_bytes": "1GiB", "warmup_calls": "4",
    "delimiter": ";", "quote": "'", "batch_sizes": "1,2", "group_size": "64", "input_format": "csv", "engine": "ipex",
    "dtype": "bf16", "quantization": "dynamic", "look_ahead": "64", "scenario": "Server", "log_file_prefix": "my",
    "memory": "all", "lowp_mode": "BF16", "qps": "9", "batch_size_option": "--batch", "pythons": "/bin/sh",
    "plan_file": "plan.yaml", "model": "random:bert-base", "input_file": "more.jsonl", "checkpoint": "weights",
    "memory_allocator": "default", "text": "text.txt", "task": "classify", "seconds_option": "--seconds",
    "log_dir": "logs", "cache_limit": "1GiB", "min_cosine": "0.5", "rendezvous": "h1:4000",
    "rendezvous_ports": "4000-4010", "ready_when": "http://127.0.0.1:{port}/well", "endpoint": "127.0.0.1:7998",
    "affinity_header": "X-Session", "proxy_cores": "2", "preset": "llama-server",
}  # fmt: skip
"""Where an example of the type is none of the option."""


def words_for(option: click.Option, value: str = "") -> tuple[str, ...]:
    """The option with an example of a value that is not its default."""
    value = value or VALUES.get(option.name or "", "")
    if option.is_flag:
        return (flag_of(option),)
    if not value and isinstance(option.type, click.Choice):
        value = next(str(each) for each in reversed(option.type.choices) if each != option.default)
    return (flag_of(option), value or ("7" if isinstance(option.type, Number) else "x"))


def flag_of(option: click.Option) -> str:
    return next((each for each in option.opts if each.startswith("--")), option.opts[0])


def parsed(name: str, words: Sequence[str]) -> click.Context:
    return command_of(name).make_context(name, list(words), resilient_parsing=False)


def typed(context: click.Context) -> dict[str, Any]:
    """What was given on the command line."""
    names = (each for each in context.params if context.get_parameter_source(each) is ParameterSource.COMMANDLINE)
    return {name: context.params[name] for name in names}


def with_more(base: click.Context, more: Iterable[Mapping[str, Any]]) -> click.Context:
    """The context of the words of several together; what may be given several times is given so often."""
    merged = click.Context(base.command, info_name=base.info_name)
    merged.params = dict(base.params)
    for name, value in (pair for each in more for pair in each.items()):
        several = name in ("env", "groups", "pythons") and name in typed(merged)
        merged.params[name] = (*merged.params[name], *value) if several else value
        merged.set_parameter_source(name, ParameterSource.COMMANDLINE)
    for name in typed(base):
        merged.set_parameter_source(name, ParameterSource.COMMANDLINE)
    return merged


KINDS = {
    "run": RunOptions, "batch": BatchOptions, "loadgen": LoadgenOptions, "bench": BenchOptions, "tune": TuneOptions,
    "dtypes": DtypesOptions, "start": ServeOptions,
}  # fmt: skip


def state_of(context: click.Context, topology: Topology) -> State:
    """Everything that follows from the words of a command; raises where they are refused."""
    values = context.params
    with context:
        check_options(context)
        options: Any = made_options(KINDS[context.command.name or ""], context, values)
        found: dict[str, Any] = {key: values[key] for key in HANDED_ON if key in values}
        found |= _each("request", options.request)
        found |= {f"writes {written.what} {written.path}": written for written in written_files(values)}
        if isinstance(options, DtypesOptions):
            plan = plan_of(topology, options.request, options.plan_file)
            found |= {"plan": plan.chosen, "jobs": _jobs(options), "model": options.model}
            found |= {f"variable {key}": value for key, value in variables_of(options.env).items()}
        else:
            found |= _started(values.get("program"), values.get("arguments", ()), options, topology)
        if isinstance(options, FedOptions):
            found |= _fed(options)
        if isinstance(options, ServeOptions):
            found |= _served(values["program"], values["arguments"], options, topology)
        if isinstance(options, LoadgenOptions):
            found |= _loadgen(options)
        if isinstance(options, TuneOptions):
            found["dtype"] = options.dtype
            found |= _each("race", rule_of(options)) | _each("limits", _limits(options))
        if isinstance(options, ModelOptions) and options.model is not None:
            found |= _model(options.model, options)
    return {key: repr(value) for key, value in found.items()}


def _each(what: str, value: Any) -> dict[str, Any]:
    names = value._fields if hasattr(value, "_fields") else [each.name for each in fields(value)]
    return {f"{what} {name}": getattr(value, name) for name in names}


def _started(
    program: str | None, arguments: tuple[str, ...], options: LaunchOptions, topology: Topology
) -> dict[str, Any]:
    by_name, wanted = asked_libraries(options, {})
    job = _job(program, arguments, options, {each: f"/lib/lib{each}.so" for each in wanted})
    plan = plan_of(topology, options.request, options.plan_file, options.any_machine)
    launch = launch_from_options(plan, replace(job, benchmark=options.benchmark), options)
    memory = {worker.instance.memory for worker in launch.workers} - {"none"}
    logs = log_directory(options)
    found = {
        "preloaded by name": by_name,
        "preloaded": wanted,
        "workers": tuple(map(shell_line, launch.workers)),
        "started": [each.instance.index for each in launch.workers] if options.request.instance_idx else None,
        "cpus are bound": any(worker.instance.cpus for worker in launch.workers),
        "memory": memory,
        "memory must be bound": memory and options.strict,
        "memory that is local": memory and options.local_pages,
        "kind": job.kind,
        "interpreter": job.python if job.kind != "executable" else None,
        "jemalloc": launch.workers[0].environment.get("MALLOC_CONF"),
        "onnxruntime is limited": "/fix_pinning" in launch.workers[0].environment["PYTHONPATH"],
        "machine": options.topology if options.dry_run else "live",
        "logs": logs,
        "logs' names": logs and options.log_file_prefix,
        "logs' size": logs and options.log_max_mb,
        "metrics": options.metrics_port,
        "metrics' address": options.metrics_port is not None and options.metrics_address,
    }
    found |= {f"variable {key}": value for key, value in job.environment.items()}
    found |= _each("limits", limits_from_options(options))
    if isinstance(options, RunOptions | TuneOptions):
        dtype = options.dtype if options.dtype != "auto" else None
        words = asked_of_scripts(options, dtype).words() if job.kind != "executable" else ()
        pairs = zip_longest(words, words[1:], fillvalue="")
        found |= {f"script {one}": "" if two.startswith("--") else two for one, two in pairs if one.startswith("--")}
        found["script is forced"] = "--auto-ipex" in words and dtype is not None and options.force_dtype
    return found


def _job(program: str | None, arguments: tuple[str, ...], options: JobOptions, libraries: Mapping[str, str]) -> Job:
    """The program's; that of a worker of ours where there is a model."""
    if program is None:
        program, options = "json.tool", replace(options, module=True)
    elif options.no_python:
        program = "/bin/sh"
    elif options.module:
        program = "json.tool"
    return replace(job_from_options(program, arguments, replace(options, **NOTHING_PRELOADED)), libraries=libraries)


def _fed(options: FedOptions) -> dict[str, Any]:
    source = find_input(options)
    rules = source.files[0].rules
    attempts = {"attempts": options.attempts} if isinstance(options, BatchOptions) else {}
    found: dict[str, Any] = {"inputs": [file.path for file in source.files]}
    found |= _each("input", rules) | _each("batches", batch_rules(2, options, **attempts))
    means_nothing = {
        "delimiter": rules.format not in ("csv", "tsv"), "quote": rules.format not in ("csv", "tsv"),
        "longest_line_bytes": rules.format == "parquet", "text_field": rules.format in ("text", "openai"),
        "id_field": rules.format in ("text", "openai"), "tokens_field": rules.format in ("text", "openai"),
    }  # fmt: skip
    for name in (name for name, is_so in means_nothing.items() if is_so):
        del found[f"input {name}"]
    if isinstance(options, BatchOptions):
        found |= _each("output", output_rules(options))
        found["ledger is made anew"] = options.resume and options.rebuild
    return found


def _served(program: str, arguments: tuple[str, ...], options: ServeOptions, topology: Topology) -> dict[str, Any]:
    """What is probed, and what the proxy is told."""
    words, options = with_what_is_known((program, *arguments), options)
    plan = plan_of(topology, options.request, options.plan_file, options.any_machine)
    rule = read_ready_rule(options.ready_when, (*words, *options.env))
    job = Job(program=words[0], arguments=words[1:], environment=variables_of(options.env), first_port=options.port)
    found: dict[str, Any] = {"words": words[1:], "ready": rule, "duration": options.duration}
    found |= {"drains for": options.drain_timeout, "variables of a preset": options.env}
    found |= {"probed every": options.probe_interval, "probed for": options.probe_timeout}
    found["probes that may fail"] = options.probe_failures
    if options.endpoint is not None:
        cpus, _ = proxy_cpus(plan, topology, options.proxy_cores)
        found |= _each("endpoint", endpoint_from_options(options.endpoint, plan, job, rule, options))
        found |= {"proxy": options.proxy, "proxy's cpus": cpus}
    return found


def _loadgen(options: LoadgenOptions) -> dict[str, Any]:
    rules = _rules("", options)
    found = _each("loadgen", rules)
    if rules.scenario != "Server":
        del found["loadgen target_latency_ms"]
    return found


def _model(model: str, options: ModelOptions) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if isinstance(options, BenchOptions | TuneOptions):
        seconds = options.duration if isinstance(options, BenchOptions) else options.seconds
        more = {"text": text_of(options.text), "warmup_batches": options.warmup, "seconds": seconds}
    job = model_job(model, options, getattr(options, "batch_size", 8), **more)
    found = {**_each("model", job), "dtype": options.dtype}
    if job.task != "generate":
        del found["model new_tokens"]
    if isinstance(options, LaunchOptions) and options.request.device is None:
        found["forced"] = options.dtype != "auto" and options.force_dtype
        if options.dtype in ("auto", "int8", "int4"):
            form = form_from_options(options)
            weight_only, ipex = form.scheme != "dynamic", options.engine in ("auto", "ipex")
            found["form scheme"] = form.scheme
            found["form group"] = form.group_size if weight_only and not options.checkpoint else None
            found["form mode"] = form.lowp_mode if weight_only and ipex else None
        if options.dtype not in ("auto", "int4") or options.engine not in ("auto", "ipex"):
            del found["model checkpoint"]
    return found


HANDED_ON = (
    # of run: nothing else decides whether they take effect
    "baseline", "confine", "dry_run", "live", "lost_time", "on_failure", "proof_interval", "share_start",
    "share_start_strict", "stall_timeout",
    "throughput_regex", "timestamps", "across_hosts", "host_rank", "host_count", "rendezvous", "job_id",
    "rendezvous_ports", "join_timeout",
    # of batch and loadgen
    "drain_on_term", "no_progress", "on_bad_line", "overwrite", "resume", "retry_dead", "take_over",
    # of models, tune and dtypes
    "batch_size_option", "batch_sizes", "budget", "engine", "form", "fresh", "latency_limit_ms", "no_cache", "pythons",
    "seconds", "seconds_option",
)  # fmt: skip
"""Options of which nothing is made before the start."""


def shown_by(words: Sequence[str], directory: Path) -> State:
    """What a command that starts nothing prints, its exit code, and what it writes into a folder; {} where refused."""
    for path in directory.iterdir():
        path.unlink()
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    if code == 2:
        return {}
    written = {f"file {path.name}": path.read_bytes().hex()[:4000] for path in directory.iterdir()}
    texts = [stream.getvalue() for stream in (out, err)]
    stdout, stderr = map(still, texts) if words[0] == "doctor" else texts
    return {"code": str(code), "stdout": stdout, "stderr": stderr, **written}


def still(text: str) -> str:
    """A text without the figures of the moment: what the doctor reads of a host that is busy."""
    return "".join(re.sub(r"[0-9.]+", "0", line) for line in text.splitlines(keepends=True) if "load" not in line)
