"""Runs and searches to look at: from run directories, from reports alone, from what `tune --report` wrote."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ipexlaunch.documents.read_text import read_text
from ipexlaunch.documents.secret_values import mask_words, masked
from ipexlaunch.documents.visible_text import visible_values
from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.placement.verify import LOCAL_SHARE_REQUIRED
from ipexlaunch.measure.disturbance import LOST_TIME_ALLOWED
from ipexlaunch.measure.report import Report, aggregate
from ipexlaunch.measure.report_file import read_report
from ipexlaunch.measure.solo_baseline import baseline_of
from ipexlaunch.report.kept_runs.read_run_directory import KeptRun, read_run_directory
from ipexlaunch.report.kept_runs.run_files import RUN
from ipexlaunch.tune.outcome import Outcome
from ipexlaunch.tune.tuning_file import SCHEMA, read_tuning


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A run, of which at least a part is known."""

    name: str
    """Short, and unlike those of the others."""
    report: Report
    kept: KeptRun | None
    """None where only the report is there."""


@dataclass(frozen=True, kw_only=True)
class OpenedSearch:
    """What came of `ipexlaunch tune`."""

    name: str
    """Short, and unlike those of the others."""
    outcome: Outcome


Opened = OpenedRun | OpenedSearch


def open_runs(paths: Sequence[str]) -> tuple[Opened, ...]:
    """The runs in run directories and report files, and the searches.

    Args:
        paths: directories that --run-dir made, or files that --report wrote.

    Raises:
        DocumentError: one is neither, does not follow its format, or did not come to its end.
    """
    return tuple(_open(path, name) for path, name in zip(paths, _names(paths), strict=True))


def _open(path: str, name: str) -> Opened:
    if os.path.isdir(path):
        kept = read_run_directory(path)
        report = _masked(kept.report or _report_so_far(kept))
        return OpenedRun(name=name, report=report, kept=kept)
    text = read_text(path, "give a run directory or the file of --report")
    if f'"{SCHEMA.rpartition("/")[0]}/' in text[:LONGEST_HEAD]:
        return OpenedSearch(name=name, outcome=visible_values(read_tuning(text, path)))
    return OpenedRun(name=name, report=_masked(read_report(text, path)), kept=None)


def _masked(report: Report) -> Report:
    """A report without the secrets that older ones have kept, and without control characters: it will be shown."""
    provenance = {key: masked(value) for key, value in report.provenance.items()}
    return visible_values(replace(report, provenance=provenance))


def _report_so_far(kept: KeptRun) -> Report:
    """Of a run that did not come to its end, as far as it is known."""
    if kept.run is None:
        raise DocumentError(kept.path, "", "the run in it did not come to its end", "repeat it: run --replay")
    job = kept.recorded.job
    return aggregate(
        kept.run,
        local_share_required=_share(kept, "local_pages", LOCAL_SHARE_REQUIRED),
        lost_time_allowed=_share(kept, "lost_time", LOST_TIME_ALLOWED),
        provenance={
            "ipexlaunch": kept.recorded.ipexlaunch,
            "topology": kept.topology.fingerprint,
            "program": list(mask_words([job.program, *job.arguments])),
            "python": job.python if job.kind != "executable" else None,
        },
        baseline=None if kept.solo is None else baseline_of(kept.solo),
    )


def _share(kept: KeptRun, name: str, default: float) -> float:
    """An option of the kept run that is a share."""
    value = kept.recorded.options.get(name, default)
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        source = os.path.join(kept.path, RUN)
        raise DocumentError(source, f"options.{name}", f"it should be a number from 0 to 1, not {value!r:.60}")
    return float(value)


LONGEST_HEAD = 200
"""Characters among which the schema is looked for: it is the first key."""


def _names(paths: Sequence[str]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    parts = [os.path.abspath(path).split(os.sep) for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = [os.sep.join(part[-length:]) for part in parts]
        if len(set(names)) == len(set(map(tuple, parts))):
            break
    return names
