"""Measures candidates by workers on the planned instances, and outlives the candidates that kill their worker."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.measurement import Measurement, from_row, merged, middle_of
from ipexlaunch.models.engines.model_job import SECONDS, MeasuringJob, ModelJob, measuring_order
from ipexlaunch.tune.dtypes.context import MeasureContext
from ipexlaunch.tune.dtypes.quiet_run import last_words

WORKER = "ipexlaunch.models.measure_dtypes"

BAD_REQUEST = 2
"""The worker's exit code where the model itself cannot be loaded: no other candidate would do better."""


def measure(
    context: MeasureContext,
    job: ModelJob,
    candidates: Sequence[Candidate],
    *,
    seconds: float = SECONDS,
    layers: int | None = None,
    one_stretch: bool = False,
) -> list[Measurement]:
    """Measure the candidates on all chosen instances at once.

    Args:
        context: where.
        job: the model and the sizes of a call.
        candidates: what; a candidate that ends its worker (a signal, no memory) is a row that says so, and the others
            are measured without it.
        seconds: to time each, its preparation aside.
        layers: measure so many of the first layers; None for all of a model that is not too large.
        one_stretch: time each candidate's calls one after the other.

    Raises:
        LaunchError: the workers cannot load the model.
        EndedBySignal: interrupted.
    """
    rows: list[Measurement] = []
    left = measuring_order(candidates)
    with tempfile.TemporaryDirectory(prefix="ipexlaunch-") as directory:
        # Without a cache of its own the workers still share what one of them has compiled.
        cached = replace(job, cache=job.cache or os.path.join(directory, "compiled"))
        while left:
            wanted = MeasuringJob(
                job=cached,
                candidates=left,
                seconds=seconds,
                layers=layers,
                one_stretch=one_stretch,
                barrier=tempfile.mkdtemp(dir=directory),
                workers=len(context.plan.chosen),
            )
            run = context.run(_launch(context, wanted), context.inherited, context.tell, directory)
            for line in dict.fromkeys(_surprises(run, context)):
                context.tell(line)
            done = _rows(run, left)
            rows += done
            left = left[len(done) :]
            if left:
                rows.append(_crashed(run, left[0], directory))
                left = left[1:]
    return rows


FEWEST_TURNS, MOST_TURNS = 3, 7
"""Of each finalist in a run-off: one after the other, the other way round, and so on; the one in the middle counts, so
that a moment in which the host was busy does not. There are more than three where they do not tell."""

SURE = 0.02
"""As a share of a figure: two that are known as well as that are told apart as far as anybody would notice."""


def measure_finals(
    context: MeasureContext, job: ModelJob, finalists: Sequence[Candidate], *, seconds: float = SECONDS
) -> list[Measurement]:
    """Measure candidates that are nearly equally fast once more, as jobs run them: each in processes of its own.

    Args:
        context: where.
        job: the model and the sizes of a call.
        finalists: what.
        seconds: to time each in each of its turns.

    Raises:
        LaunchError: the workers cannot load the model.
        EndedBySignal: interrupted.
    """
    rows: dict[Candidate, list[Measurement]] = {candidate: [] for candidate in finalists}
    with tempfile.TemporaryDirectory(prefix="ipexlaunch-") as directory:
        cached = replace(job, cache=job.cache or directory)
        for turn in range(MOST_TURNS):
            if turn >= FEWEST_TURNS and turn % 2 and _is_clear([middle_of(taken) for taken in rows.values()]):
                break
            for candidate in list(finalists)[:: -1 if turn % 2 else 1]:
                rows[candidate] += measure(context, cached, [candidate], seconds=seconds, one_stretch=True)
    return [replace(middle_of(taken), run_off=True) for taken in rows.values()]


def _is_clear(found: Sequence[Measurement]) -> bool:
    """Whether the fastest is faster than all others by more than their figures may be off, or all are known well."""
    ran = sorted((each for each in found if each.speed), key=lambda each: -(each.speed or 0.0))
    if len(ran) < 2 or all((each.spread or 0.0) <= SURE for each in ran):
        return True
    least = (ran[0].speed or 0.0) * (1 - (ran[0].spread or 0.0))
    return all((each.speed or 0.0) * (1 + (each.spread or 0.0)) < least for each in ran[1:])


def _launch(context: MeasureContext, wanted: MeasuringJob) -> Launch:
    # Doubled braces would be templates; JSON on one line has none that name one.
    job = replace(context.job, program=WORKER, arguments=(wanted.to_json(),), kind="module")
    return make_launch(context.plan, job, context.inherited)


def _surprises(run: Run, context: MeasureContext) -> Iterator[str]:
    """Where torch in a worker dispatches otherwise than the processor's flags promise."""
    for record in run.records:
        facts = record.told.facts if record.told else {}
        if "amx_tile" in context.dispatch.onednn and facts.get("amx") is False:
            yield "the processor has AMX, but the kernel refused it to a worker: expect none of what AMX makes fast"
        if "avx512f" in context.dispatch.aten and facts.get("aten") in ("AVX2", "DEFAULT"):
            yield f"the processor has AVX-512, but torch in a worker dispatches to {facts['aten']}"


def _rows(run: Run, candidates: Sequence[Candidate]) -> list[Measurement]:
    """One row for each candidate that every worker has got through."""
    by_worker = [_told(record) for record in run.records]
    through = min((len(rows) for rows in by_worker), default=0)
    return [merged([rows[place] for rows in by_worker]) for place in range(min(through, len(candidates)))]


def _told(record: WorkerRecord) -> list[Measurement]:
    found = record.told.facts.get("measurements") if record.told else None
    return [from_row(row) for row in found] if isinstance(found, list) else []


def _crashed(run: Run, candidate: Candidate, directory: str) -> Measurement:
    """The row of the candidate that the run ended with.

    Raises:
        LaunchError: it was not the candidate's fault.
    """
    failure = run.failures[0] if run.failures else None
    index = failure.index if failure else 0
    words = last_words(directory, index)
    told = next((each.told for each in run.records if each.instance.index == index), None)
    begun = told is not None and any(span.name.startswith(("preparing", "measuring")) for span in told.phases)
    if failure is None or failure.code == BAD_REQUEST or not begun:
        said = words or (failure.message if failure else "the workers ended without a word")
        hint = "all that its worker says is shown by `ipexlaunch bench` with the same model"
        raise LaunchError("measure dtypes", said.removeprefix("measure_dtypes: "), hint)
    return Measurement(candidate=candidate, problem=f"its worker {failure.message}{': ' if words else ''}{words}")
