"""How a batch job went: the output gets its form, the user a line, the report its reasons and figures."""

from __future__ import annotations

from collections.abc import Callable

from ipexlaunch.batch.counts import BatchSummary, summary_of
from ipexlaunch.batch.feed import QueueFeeder
from ipexlaunch.batch.output.output_rules import STDOUT
from ipexlaunch.cli.batch_output import BatchOutput, given_up
from ipexlaunch.errors import BadRowError, IpexLaunchError
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.machine.wording import counted


def conclude(
    feeder: QueueFeeder, output: BatchOutput, tell: Callable[[str], None], disk: DiskPatience, *, resumable: bool
) -> tuple[list[str], BatchSummary]:
    """Finish the output where all is done; (why the run is INVALID, the report's figures of the job).

    Args:
        feeder: after its run.
        output: where the results are.
        tell: says a line to the user.
        disk: how long the output's may hang.
        resumable: whether --resume can go on with the job: its input and its output are files.
    """
    standing = feeder.journal.standing
    summary = summary_of(feeder.queue.figures, feeder.last_done.values(), done=standing.done, dead=standing.dead)
    reasons = _reasons(feeder, output, resumable=resumable)

    def finish() -> None:
        try:
            if standing.complete:
                output.finish()
        finally:
            output.discard()

    try:
        hint = "every result is there; --resume finishes it once that answers" if resumable else ""
        disk.have(finish, f"finish {output.rules.path}", hint)
    except IpexLaunchError as error:
        reasons.append(str(error))
    tell(words_of(summary))
    return reasons, summary


def words_of(summary: BatchSummary) -> str:
    """The line that sums a job up."""
    waste = f", {summary.padding_waste:.1%} of the work padding" if summary.padding_waste else ""
    unread = f" ({summary.unreadable} of them unreadable now)" if summary.unreadable else ""
    return (
        f"{counted(summary.items_done, 'item')} done "
        f"({summary.items_now} now in {counted(summary.batches, 'batch', 'batches')}{waste}), "
        f"{summary.requeued} given again, {summary.items_dead} given up{unread}, "
        f"{summary.tail_idle_s:.2f} s of workers idle at the end"
    )


def _reasons(feeder: QueueFeeder, output: BatchOutput, *, resumable: bool) -> list[str]:
    standing = feeder.journal.standing
    reasons = [feeder.problem] if feeder.problem else []
    if feeder.input_error is not None:
        reasons.append(f"{feeder.input_error}{_way_on(feeder.input_error) if resumable else ''}")
    elif not feeder.problem and not standing.complete:
        further = "go on with --resume" if resumable else "they are gone with the pipe"
        reasons.append(f"items are left that were not done; {further}")
    if standing.dead:
        reasons.append(given_up(standing.dead, STDOUT if output.stream is not None else output.rules.path))
    return reasons


def _way_on(error: IpexLaunchError) -> str:
    """After an input that cannot be read to its end; nothing where dead letters would not help."""
    if not isinstance(error, BadRowError):
        return ""
    return "; what was read before is done; to go on and give bad lines up: --resume --on-bad-line dead-letter"
