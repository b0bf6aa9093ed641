"""`ipexlaunch shards make`: cut the input of a batch job, and write down what every host needs to know of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import click

from ipexlaunch import __version__
from ipexlaunch.batch.input.open_items import ItemSource, look_at_items
from ipexlaunch.batch.output.parquet_file import require_pyarrow
from ipexlaunch.batch.output.result_rows import STDOUT, OutputRules
from ipexlaunch.batch.shards.cut_input import CutFile, cut_files, shards_of, thinned
from ipexlaunch.batch.shards.how_many import DEFAULT_HOSTS, SHARDS_PER_HOST, count_shards, divided
from ipexlaunch.batch.shards.shard_directory import now_utc, refuse_job, write_new_job
from ipexlaunch.batch.shards.sharded_job import ShardedJob
from ipexlaunch.cli.batch_command import batch_command
from ipexlaunch.cli.options.batch_input import find_input, output_rules
from ipexlaunch.cli.options.batch_options import BatchOptions
from ipexlaunch.cli.options.check_files import check_overlaps
from ipexlaunch.cli.options.help_pages import HelpfulCommand
from ipexlaunch.cli.options.option_types import AMOUNT, COUNT, SECONDS_FROM_0, workers_python
from ipexlaunch.cli.options.plan_options import options_of
from ipexlaunch.cli.run.built_in_workers import model_job
from ipexlaunch.cli.run.know_model import knowing_the_model
from ipexlaunch.cli.run.make_job import job_from_options
from ipexlaunch.cli.shards.batch_words import batch_context, program_digest, words_of
from ipexlaunch.cli.terminal import tell
from ipexlaunch.documents.write_file import check_writable, is_stream
from ipexlaunch.errors import LaunchError, RequestError
from ipexlaunch.machine.wording import counted, grouped

NOT_OF_SHARDS = frozenset(
    {
        "resume", "overwrite", "rebuild", "retry_dead", "take_over", "replay", "dry_run", "topology", "live",
        "on_failure", "throughput_regex", "report_file", "run_dir", "log_dir", "log_path", "log_file_prefix",
        "log_max_mb", "metrics_port", "metrics_address", "metrics_file", "drain_on_term", "no_progress",
    }
)  # fmt: skip
"""Options of `batch` that each attempt decides, or that `shards run` has."""

FORM = ("output_format", "keep_order", "errors_file")
"""Options that are about the results of all shards together."""

ELSEWHERE = frozenset({"input_file", "output_file", "shards", "hosts", "load_time", "rate", "directory", *FORM})
"""Those that stand in the job under other names."""

OWN = (
    click.Option(["--job-directory", "directory"], hidden=True, required=True),
    click.Option(["--shards"], type=COUNT, help=f"How many  [default: {SHARDS_PER_HOST} for each host]."),
    click.Option(["--hosts"], type=COUNT, help=f"For how many hosts  [default: {DEFAULT_HOSTS}]."),
    click.Option(["--load-time"], type=SECONDS_FROM_0, metavar="SECONDS", help="Until workers are ready, where known."),
    click.Option(["--rate"], type=AMOUNT, metavar="ITEMS", help="Items per second of one host, where known."),
    click.Option(["--output", "output_file"], metavar="FILE", help="The results  [default: DIR/out.jsonl]."),
)


class MakeCommand(HelpfulCommand):
    """Takes DIR, then the options and the program of a batch job."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the options as they were typed; DIR stands before them, as PROGRAM ends them."""
        if args and not args[0].startswith("-"):
            args = ["--job-directory", args[0], *args[1:]]
        elif not {"--help", "-h"} & set(args):
            raise click.UsageError("DIR comes first, such as ipexlaunch shards make DIR --input FILE ... PROGRAM", ctx)
        try:
            ctx.meta["typed"] = self.make_parser(ctx).parse_args(list(args))[0]
        except click.NoSuchOption as error:
            name = error.option_name.lstrip("-").replace("-", "_")
            if name in {part for each in NOT_OF_SHARDS for part in (each, each.removesuffix("_file"))}:
                why = "each attempt goes on where the furthest before it was, and has its own place for what it writes"
                raise click.UsageError(f"{error.option_name} is not for shards: {why}; leave it out", ctx) from None
            raise
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """DIR, options, program."""
        return ["DIR", "[OPTIONS]", "[PROGRAM]", "[ARGUMENTS]..."]


def _make(context: click.Context, /, program: str | None, arguments: tuple[str, ...], **values: Any) -> int:
    """Cut the input of a batch job into shards and write DIR/job.yaml; nothing is copied.

    Takes the options of `ipexlaunch batch`. Ids are those of one batch job on the whole input. Without --output the
    results go to DIR/out.jsonl.
    """
    _check_words(context, values)
    directory = os.path.abspath(values["directory"])
    refuse_job(directory)
    output = values["output_file"] or os.path.join(directory, "out.jsonl")
    typed, parameters = context.meta["typed"], context.command.params
    options = tuple(words_of({name: each for name, each in typed.items() if name not in ELSEWHERE}, parameters))
    form = tuple(words_of({name: typed[name] for name in FORM if name in typed}, parameters))
    batch = batch_context([*options, *form], values["input_file"], output, program, arguments)
    check_overlaps(batch.params)
    with batch:
        made = knowing_the_model(options_of(BatchOptions, batch, batch.params))
        rules, source = output_rules(made), find_input(made)
        _check_files(source, rules)
        if made.model is not None:
            model_job(made.model, made, made.batch_size)
        elif program is not None:
            job_from_options(program, arguments, made)
        source.look()
        look_at_items(lambda bury: source.items(keep_bad=bury), keep_bad=made.on_bad_line == "dead-letter")
    cut, hosts = _cut(source, directory, values)
    python = () if made.python or made.no_python else ("--python", workers_python())
    job = ShardedJob(
        directory=os.getcwd(),
        program=program,
        arguments=arguments,
        program_sha256=program_digest(program, batch.params),
        options=(*options, *python),
        output=replace(rules, path=os.path.abspath(rules.path), errors=rules.errors and os.path.abspath(rules.errors)),
        several=source.several,
        files=tuple(each.file for each in cut),
        shards=shards_of(cut),
        written=now_utc(),
        ipexlaunch=__version__,
        hosts=hosts,
    )
    write_new_job(directory, job)
    for line in _next_lines(values["directory"], job):
        tell(line)
    return 0


def _check_words(context: click.Context, values: Mapping[str, Any]) -> None:
    for name, flag in (("hosts", "--hosts"), ("load_time", "--load-time"), ("rate", "--rate")):
        if values["shards"] is not None and values[name] is not None:
            raise click.UsageError(
                f"--shards and {flag} exclude each other: it says how many there are; leave out one of them", context
            )
    if not values["input_file"]:
        raise click.MissingParameter(ctx=context, param_hint="'--input'", param_type="option")
    if "" in (values["directory"], values["output_file"], *values["input_file"]):
        raise click.UsageError("a path is empty; give one, or leave it out", context)


def _check_files(source: ItemSource, rules: OutputRules) -> None:
    """Refuse what has no ranges, or no place for results.

    Raises:
        IpexLaunchError: there is a pipe, or something is there already.
    """
    if source.may_wait:
        raise RequestError(f"cut {source.name} into shards", "a pipe has no ranges", "put it into a file")
    if rules.path == STDOUT or is_stream(rules.path):
        raise RequestError("put results of several hosts together in a pipe", "they are merged once all are there",
                           "give --output FILE")  # fmt: skip
    if rules.parquet:
        require_pyarrow()
    check_writable(rules.path, "the results", regular=True)
    if os.path.lexists(rules.path):
        raise RequestError(f"write {rules.path}", "it is there already", "give another --output, or remove it")


def _cut(source: ItemSource, directory: str, values: Mapping[str, Any]) -> tuple[list[CutFile], int | None]:
    """The files of the input in as many ranges as are wanted; and the number of hosts, where it was chosen by that."""
    sizes, hosts = [file.size for file in source.files], values["hosts"] or DEFAULT_HOSTS
    wanted = values["shards"] or SHARDS_PER_HOST * hosts
    try:
        os.makedirs(directory, exist_ok=True)
        cut = cut_files(source.files, divided(sizes, wanted), directory)
    except OSError as error:
        raise LaunchError(f"make a job in {directory}", str(error.strerror), "give another DIR") from None
    if values["shards"] is not None:
        return cut, None
    count = count_shards(hosts, values["load_time"], values["rate"], sum(each.items for each in cut))
    for line in count.why:
        tell(line)
    if values["hosts"] is None:
        tell(f"--hosts was not given: {DEFAULT_HOSTS} are assumed")
    ranges = divided(sizes, count.shards)
    return [thinned(each, most) for each, most in zip(cut, ranges, strict=True)], hosts


def _next_lines(directory: str, job: ShardedJob) -> Iterator[str]:
    """What was made, and what to type next."""
    items = [shard.items for shard in job.shards]
    each = f"{min(items):,} to {max(items):,}" if min(items) != max(items) else f"{items[0]:,}"
    files = f" of {counted(len(job.files), 'file')}" if len(job.files) > 1 else ""
    yield f"{directory}: {grouped(job.items, 'item')}{files} in {grouped(len(items), 'shard')} of {each}"
    if any(file.is_compressed for file in job.files):
        yield "a compressed file is one shard, however long it is; uncompressed ones are cut"
    yield f"each: ipexlaunch shards run {shlex.quote(directory)} --index K, K from 0 to {len(items) - 1}"
    yield f"then: ipexlaunch shards merge {shlex.quote(directory)}"


make_command = MakeCommand(
    name="batch",  # so that what holds of its options holds of these
    callback=click.pass_context(_make),
    help=_make.__doc__,
    params=[
        *OWN,
        *(each for each in batch_command.params if each.name not in NOT_OF_SHARDS and each.name != "output_file"),
    ],
    context_settings=batch_command.context_settings,
)
"""Takes all options of `batch` but those that each attempt decides."""
