"""Cards of facts: where a run took place, what was typed, what a batch job came to."""

from __future__ import annotations

from ipexlaunch.batch.items import BatchSummary
from ipexlaunch.documents.secret_values import mask_variables
from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.machine.wording import machine_facts
from ipexlaunch.report.kept_runs.open_runs import KeptRun, OpenedRun
from ipexlaunch.report.page.cards import escaped, tiles

UNSAID: tuple[object, ...] = (None, "", [], (), {}, False)
"""What says nothing: an option that was not given, a list without entries."""

HOST_FACTS = ("cpu_model", "microcode", "smt", "transparent_huge_pages", "governors", "cpu_quota")
PACKAGES = ("torch", "intel-extension-for-pytorch", "transformers", "torchao", "openvino", "numpy")


def provenance(run: OpenedRun) -> str:
    """The host, the program, the command with its options, and what the workers told of themselves.

    Args:
        run: as it was opened.
    """
    facts: dict[str, object] = dict(run.report.provenance)
    if (here := run.report.host) is not None:
        facts["host"] = here.words or here.name
    if isinstance(program := facts.get("program"), list):
        facts["program"] = " ".join(map(str, program))
    if run.kept is not None:
        facts |= _kept(run.kept)
    facts |= run.report.facts
    shown = ((name, value) for name, value in facts.items() if value not in UNSAID)
    rows = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(_words(value))}</dd>" for name, value in shown)
    return f"<dl>{rows}</dl>"


def _kept(kept: KeptRun) -> dict[str, object]:
    """What a run directory says beyond the report."""
    recorded, seen = kept.recorded, kept.environment
    installed = (seen.get("python") or {}).get("packages", {})
    facts: dict[str, object] = {
        "command": f"ipexlaunch {recorded.command}, typed in {recorded.directory}",
        "options": {name.replace("_", "-"): value for name, value in recorded.options.items() if value not in UNSAID},
        "variables": dict(mask_variables(recorded.job.environment)),
        **{name: seen[name] for name in HOST_FACTS if name in seen},
        **{name: installed[name] for name in PACKAGES if name in installed},
    }
    if known := machine_facts(kept.topology):
        facts["machine"] = ", ".join(known)
    return facts


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def batch_figures(batch: BatchSummary) -> str:
    """Figures of a batch job beside its rate.

    Args:
        batch: what the report has of it.
    """
    counts = {
        "results in the output": batch.items_done,
        "dead letters": batch.items_dead or None,
        "items of this run": batch.items_now,
        "batches": batch.batches,
        "items requeued": batch.requeued or None,
        "items left": batch.items_left,
    }
    figures = [(None if count is None else f"{count:,}", what) for what, count in counts.items()]
    padding = None if batch.padding_waste is None else f"{batch.padding_waste:.1%}"
    return tiles([*figures, (padding, "padding"), (format_number(batch.tail_idle_s), "worker-seconds idle at the end")])
