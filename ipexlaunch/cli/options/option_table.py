"""Which options need or exclude which, and which name files: one table each for every command.

A test goes through every option of every command that takes a text: each stands here among those that are read or are
written, or among those of the test that name no file, so that none that is added later can be forgotten.

What options say of the instances together is `Request.check`'s; that a kept run has decided something, `replay`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipexlaunch.cli.options import ModelOptions, names_of
from ipexlaunch.cli.options.plan_options import REQUEST_OPTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Options of which each would be ignored without, or beside, others.

    A term is the name of a keyword argument, for "it is given", or "name=value", for what holds, given or not;
    "env=NAME" is a variable of --env, and "+" joins terms that must all hold.
    """

    options: tuple[str, ...]
    """Names, for "it is given", or "name=value", for "it is given as that"."""
    needs: tuple[str, ...] = ()
    """One of these terms must hold."""
    excludes: tuple[str, ...] = ()
    """None of these may hold."""
    why: str
    commands: tuple[str, ...] = ()
    """Of which the rule is; () for all that have the options."""


MODEL = tuple(name for name in names_of(ModelOptions) if name != "model")
"""What says how a model is run."""

ASKED = tuple(name for name in REQUEST_OPTIONS if name != "instance_idx")
"""What says what the instances are; the other one chooses some of them."""

LIVE = ("live", "metrics_port", "metrics_address", "metrics_file")

KEPT = ("run_dir", "log_dir", "log_path", "log_file_prefix", "log_max_mb")

UNBOUND = ("multi_task_manager=none", "multi_task_manager=taskset", "disable_numactl=True")
"""Memory is not bound."""

LOOSE = ("multi_task_manager=none", "disable_numactl=True+disable_taskset=True")
"""Nothing is bound."""


def _rule(
    options: str | tuple[str, ...],
    why: str,
    needs: str | tuple[str, ...] = (),
    excludes: str | tuple[str, ...] = (),
    commands: str = "",
) -> Rule:
    """A rule whose terms stand in one text."""
    parts = [tuple(each.split()) if isinstance(each, str) else each for each in (options, needs, excludes, commands)]
    return Rule(options=parts[0], needs=parts[1], excludes=parts[2], why=why, commands=parts[3])


RULES = (
    # run and its kind
    _rule("metrics_address", needs="metrics_port", why="it says where that port listens"),
    _rule("log_max_mb log_file_prefix", needs="log_dir log_path run_dir", why="it is about log files"),
    _rule("log_dir", excludes="log_path", why="both name the directory of the logs"),
    _rule("any_machine", needs="plan_file replay check_file", why="it is about a plan from a file"),
    _rule("no_python", excludes="python module", why="no interpreter is put before the program"),
    _rule("topology", needs="dry_run", why="it describes a machine that is not this one"),
    _rule("memory_policy memory strict local_pages", excludes=UNBOUND, why="memory is not bound then"),
    _rule("strategy bind_numa_node skip_cross_node_cores", excludes=LOOSE, why="nothing is bound then"),
    _rule("confine=auto confine=yes", excludes=LOOSE, why="nothing is bound then"),
    _rule("share_start=imports share_start=model",
          excludes="no_python confine=auto confine=yes omp_runtime=intel device=xpu device=cuda",
          why="workers are forked from one Python process then"),
    _rule("share_start_strict", excludes="share_start=no", why="nothing is to be shared then"),
    _rule("share_start_strict", needs="share_start", why="it says that this must be possible", commands="run"),
    _rule("share_start_strict", needs="share_start model", why="it says that this must be possible",
          commands="batch tune"),
    _rule("disable_numactl disable_taskset", excludes="multi_task_manager", why="both say what is bound"),
    _rule("disable_iomp", excludes="omp_runtime", why="both say which OpenMP runtime is preloaded"),
    _rule("workload", needs="goal=throughput ncores_per_instance=auto", why="it says whose published size they take"),
    _rule("benchmark",
          excludes="memory_allocator=default memory_allocator=tcmalloc enable_tcmalloc use_default_allocator",
          why="it is about jemalloc"),
    _rule("memory_allocator=tcmalloc memory_allocator=jemalloc enable_tcmalloc enable_jemalloc omp_runtime=intel "
          "benchmark", excludes="env=LD_PRELOAD", why="both say what is preloaded"),
    _rule("benchmark", excludes="env=MALLOC_CONF", why="both say jemalloc's settings"),
    _rule("device=xpu", excludes="env=ZE_AFFINITY_MASK", why="both say what a worker sees"),
    _rule("device=cuda", excludes="env=CUDA_VISIBLE_DEVICES", why="both say what a worker sees"),
    _rule("plan_file replay", excludes=ASKED, why="the plan says what the instances are"),
    _rule("strict local_pages", excludes="memory_policy=none", why="memory is not bound then"),
    _rule("profile", excludes=("plan_file", "replay", *ASKED), why="both say what the instances are"),
    _rule("profile", excludes="topology", why="a profile is of this machine"),
    # several hosts
    _rule("host_rank host_count rendezvous job_id rendezvous_ports join_timeout", needs="across_hosts",
          why="it is about the other hosts"),
    _rule("across_hosts", needs="run_dir rendezvous", why="hosts find each other there"),
    _rule("across_hosts", excludes="report_file log_dir log_path", why="every host would write it; --run-dir has all"),
    _rule("across_hosts", excludes="baseline replay dry_run", why="those are of one host"),
    _rule("rendezvous", excludes="rendezvous_ports", why="both say where the first host listens"),
    # scripts that know nothing of us
    _rule("warmup_calls", needs="count_calls", why="it says how that works"),
    _rule("dtype force_dtype", needs="auto_ipex", why="it says how that works", commands="run"),
    _rule("disable_ipex_graph_mode auto_ipex_verbose", needs="auto_ipex", why="it says how that works"),
    _rule("count_calls auto_ipex", excludes="no_python",
          why="it watches Python programs; for other programs there is --throughput-regex"),
    _rule("count_calls", excludes="throughput_regex", why="both would count"),
    # models
    _rule(MODEL, needs="model replay", why="it says how a model is run", commands="batch loadgen"),
    _rule((*(name for name in MODEL if name not in ("dtype", "force_dtype")), "text", "warmup"), needs="model",
          why="it says how a model is run", commands="tune"),
    _rule("dtype force_dtype", needs="model auto_ipex", why="it says what a model runs in", commands="tune"),
    _rule("module no_python fix_pinning count_calls auto_ipex batch_size_option seconds_option", excludes="model",
          why="it is about programs, and a model has its own worker"),
    _rule("cache_dir cache_limit", excludes="no_cache", why="nothing is kept then"),
    _rule("lowp_mode checkpoint", excludes="engine=torch engine=eager", why="only the engine ipex has it"),
    _rule("new_tokens", excludes="task=embed task=classify task=forward", why="only --task generate makes tokens"),
    _rule("quantization group_size lowp_mode", excludes="dtype=fp32 dtype=bf16 dtype=fp16",
          why="it is about int8 and int4"),
    _rule("min_cosine", excludes="task=generate task=classify",
          why="their answers are compared by logits, which have bounds of their own"),
    _rule("checkpoint", excludes="dtype=fp32 dtype=bf16 dtype=fp16 dtype=int8 quantization=dynamic",
          why="its weights are int4"),
    _rule("group_size lowp_mode", excludes="quantization=dynamic", why="it is about weight-only integers"),
    _rule("group_size", excludes="checkpoint", why="the checkpoint has groups of its own"),
    _rule("quantization group_size lowp_mode checkpoint force_dtype", excludes="device=xpu device=cuda",
          why="nothing is quantised, nor measured beforehand, on accelerators"),
    _rule("force_dtype", needs="dtype profile", why="it overrules what is said of that dtype",
          commands="bench batch loadgen"),
    _rule("force_dtype", needs="dtype", why="it overrules what is said of that dtype", commands="run tune"),
    # items
    _rule("rebuild", needs="resume", why="it goes with --resume"),
    _rule("resume", excludes="overwrite retry_dead", why="each says what becomes of a former job"),
    _rule("take_over", excludes="output_file=-", why="nobody else writes to a pipe of this job"),
    _rule("retry_dead", excludes="overwrite", why="each says what becomes of a former job"),
    _rule("id_field text_field tokens_field", excludes="input_format=text", why="a line of text has no fields"),
    _rule("id_field text_field tokens_field", excludes="input_format=openai",
          why="a request says by itself what it is"),
    _rule("delimiter quote", excludes=tuple(f"input_format={form}" for form in ("jsonl", "text", "parquet", "openai")),
          why="only csv and tsv have it"),
    _rule("errors_file", needs="input_format=openai", why="only requests have error rows"),
    _rule("max_line_mb", excludes="input_format=parquet", why="it has no lines"),
    _rule("input_format=openai", needs="model", why="a model answers the requests"),
    _rule("target_latency_ms", needs="scenario=Server", why="only that scenario has a bound"),
    # plan
    _rule("job_hosts", needs="export=slurm", why="it says how many hosts that job has", commands="plan"),
    _rule("export_dir env port", needs="export", why="give --export too", commands="plan"),
    _rule("export", excludes="form", why="both say what to print"),
    _rule("check_file", excludes=("plan_file", "export", "form", "explain", "compare", *REQUEST_OPTIONS),
          why="it reads a file and makes no plan"),
    # servers
    _rule("balance proxy proxy_cores affinity_header write_proxy", needs="endpoint", why="it is about the endpoint"),
    _rule("write_proxy", excludes=("proxy_cores", "duration", "dry_run", *KEPT[:3], *LIVE, "report_file"),
          why="nothing is started then"),
    _rule("balance", excludes="affinity_header+proxy=nginx", why="nginx goes by the header alone"),
    # others
    _rule("models", excludes="root", why="files are in the page cache of this host"),
    _rule("pids", excludes="root", why="a saved machine has no running processes"),
    _rule("save", excludes="form explain", why="one prints and the other writes a file"),
    _rule("is_list", excludes="source form explain save", why="the list is of all machines that come with ipexlaunch"),
    _rule("explain", excludes="form", why="the explanation has a form of its own", commands="topology"),
    _rule("interval", excludes="once form=json", why="it prints once then"),
    _rule("new_tokens", needs="task=generate", why="only that task makes tokens", commands="dtypes"),
)  # fmt: skip
"""Every other pair of a command's options shows both effects (a test tries them)."""

_TUNE = {
    "plan_file": "a plan fixes what tune looks for",
    "instance_idx": "tune measures whole plans",
    "any_machine": "tune measures this machine",
    "topology": "tune measures this machine",
    "dry_run": "tune does nothing but run",
    **dict.fromkeys(KEPT, "its runs are kept as rows; --report writes them"),
    "timestamps": "what workers print is not shown",
    "strict": "what cannot be bound would be refused once for all settings",
    "lost_time": "its runs are repeated in turn, so what disturbs one of them shows",
    "proof_interval": "its runs are short",
    **dict.fromkeys(LIVE, "its runs are short"),
    "on_failure": "a failure is an answer",
    **dict.fromkeys(("multi_task_manager", "disable_numactl", "disable_taskset"), "tune measures bound workers"),
}
_FED = {
    "live": "it shows how far it is in any case; --no-progress hides that",
    "on_failure": "workers are always restarted while items are left",
    "throughput_regex": "the launcher counts the items itself",
}
_SERVE = {
    "timeout": "servers serve until they are asked to end; --duration ends them without a failure",
    "compile_timeout": "the time until a server is ready is one, with --ready-timeout",
    "stall_timeout": "a server may have nothing to do; its probes find one that hangs",
    "on_failure": "servers are always restarted",
    "throughput_regex": "the endpoint counts the requests",
    "share_start": "servers are restarted one by one, from their own beginning",
    "share_start_strict": "servers are restarted one by one, from their own beginning",
}
_BENCH = dict.fromkeys(("module", "no_python", "fix_pinning", "throughput_regex"), "bench has its own worker")

REFUSED = {"start": _SERVE, "tune": _TUNE, "batch": _FED, "loadgen": _FED, "bench": _BENCH}
"""Command to options of `run` that mean nothing to it, and why."""

READS: Mapping[str, str] = {
    "check_file": "the plan",
    "checkpoint": "the checkpoint",
    "input_file": "the input",
    "model": "a file of the model",
    "models": "a file of the model",
    "paths": "a run that is read",
    "plan_file": "the plan",
    "program": "the program",
    "python": "the interpreter",
    "pythons": "the interpreter",
    "replay": "a file of the run that is repeated",
    "root": "a file of the machine",
    "source": "a file of the machine",
    "text": "the text",
    "topology": "a file of the machine",
}
"""Keyword arguments of commands that name something to read, and what that is called in a message."""

WRITES: Mapping[str, str] = {
    "cache_dir": "compiled kernels and measurements",
    "errors_file": "the error rows",
    "export_dir": "the exported files",
    "loadgen_log_dir": "LoadGen's logs",
    "log_dir": "logs",
    "log_path": "logs",
    "metrics_file": "the metrics",
    "output_file": "the results",
    "page_file": "the page",
    "report_file": "the report",
    "run_dir": "the run",
    "save": "the machine",
    "write_plan": "the plan",
    "write_proxy": "the proxy's configuration",
}
"""The same for what is written."""

FOLDERS = frozenset({"cache_dir", "export_dir", "loadgen_log_dir", "log_dir", "log_path", "run_dir"})
"""Those of WRITES that name a directory."""

STREAMS = frozenset({"errors_file", "page_file", "report_file", "save", "write_plan", "write_proxy"})
"""Those of WRITES that may name a pipe or a device as well; output_file is looked at by itself."""

BESIDE_OUTPUT = (
    ".part", ".unfinished", ".ledger", ".ledger-wal", ".ledger-shm", ".ledger-journal", ".dead.jsonl",
    ".dead.jsonl.unfinished",
)  # fmt: skip
"""What the names of the files beside a batch job's output end with."""

LOADGEN_FILES = tuple(f"mlperf_log_{name}" for name in ("summary.txt", "detail.txt", "accuracy.json", "trace.json"))

MODEL_FILES = (
    "config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json",
    "*.py", "*.model", "*.pt", "*.jinja", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "quant*.json",
)  # fmt: skip
"""What transformers reads of a model's directory; other files may lie there, results too."""

MOST_FILES = 20_000
"""So many files of a directory that is read are looked at."""
