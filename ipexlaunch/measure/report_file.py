"""Report to JSON (schema ipexlaunch/report/1) and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ipexlaunch.batch.counts import BatchSummary
from ipexlaunch.documents.typed_text import ascii_escapes
from ipexlaunch.launch.lifecycle import Failure
from ipexlaunch.launch.placement.verify import Proof
from ipexlaunch.machine.cpulist import format_list, parse_list
from ipexlaunch.measure.disturbance import Disturbance
from ipexlaunch.measure.percentiles import Distribution
from ipexlaunch.measure.report import InstanceReport, Report, Throughput
from ipexlaunch.measure.solo_baseline import Baseline

SCHEMA = "ipexlaunch/report/1"


def write_report(report: Report) -> str:
    """The report as JSON text; `read_report` gives the same value back."""
    throughput = report.throughput
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "valid": report.valid,
        "reasons": list(report.reasons),
        "warnings": list(report.warnings),
        "throughput": {
            "makespan": throughput.makespan,
            "steady": throughput.steady,
            "naive_sum": throughput.naive_sum,
            "unit": throughput.unit,
            "items": throughput.items,
            "tokens": throughput.tokens,
            "tokens_per_second": throughput.tokens_per_second,
            "seconds": throughput.seconds,
            "steady_seconds": throughput.steady_seconds,
            "start": throughput.start,
        },
        "latency_ms": dict(report.latency_ms),
        "efficiency": report.efficiency,
        "baseline": None if report.baseline is None else _baseline(report.baseline),
        "disturbance": None if report.disturbance is None else asdict(report.disturbance),
        "instances": [_instance(instance) for instance in report.instances],
        "failures": [
            {"index": f.index, "stage": f.stage, "code": f.code, "message": f.message, "time_s": f.time}
            for f in report.failures
        ],
        "distributions_ms": _distributions(report.distributions_ms),
        "facts": dict(report.facts),
        "exit_code": report.exit_code,
        "provenance": dict(report.provenance),
        "batch": None if report.batch is None else asdict(report.batch),
    }
    return ascii_escapes(json.dumps(data, indent=1, ensure_ascii=False)) + "\n"


def _baseline(baseline: Baseline) -> dict[str, Any]:
    return {
        "index": baseline.index,
        "rate": baseline.rate,
        "items": baseline.items,
        "seconds": baseline.seconds,
        **({"measured": baseline.measured} if baseline.measured else {}),
    }


def _instance(instance: InstanceReport) -> dict[str, Any]:
    return {
        "index": instance.index,
        "cpus": format_list(instance.cpus),
        "nodes": format_list(instance.nodes),
        "memory": instance.memory,
        **({"accelerator": instance.accelerator} if instance.accelerator else {}),
        "items": instance.items,
        "tokens": instance.tokens,
        "rate": instance.rate,
        "interference": instance.interference,
        "latency_ms": dict(instance.latency_ms),
        "ready_s": instance.ready_s,
        "local_pages": instance.local_pages,
        "threads": instance.threads,
        "cpu_s": instance.cpu_s,
        "peak_memory_bytes": instance.peak_memory_bytes,
        "exit": instance.exit,
        "log": instance.log,
        "placement": None if instance.placement is None else _placement(instance.placement),
        "phases_s": dict(instance.phases_s),
        "distributions_ms": _distributions(instance.distributions_ms),
        "facts": dict(instance.facts),
    }


def _distributions(by_kind: Mapping[str, Distribution]) -> dict[str, dict[str, float]]:
    return {
        kind: {"count": found.count, "p50": found.p50, "p90": found.p90, "p99": found.p99}
        for kind, found in by_kind.items()
    }


def _placement(proof: Proof) -> dict[str, Any]:
    return {
        "looks": proof.looks,
        "page_looks": proof.page_looks,
        "cpus": format_list(proof.cpus),
        "last_cpus": format_list(proof.last_cpus),
        "main_thread_cpus": format_list(proof.main_thread_cpus),
        "processes": proof.processes,
        "daemons": proof.daemons,
        "threads": proof.threads,
        "pinned_threads": proof.pinned_threads,
        "anonymous_bytes": None if proof.anonymous_bytes is None else _by_node(proof.anonymous_bytes),
        "huge_bytes": _by_node(proof.huge_bytes),
        "transparent_huge_bytes": proof.transparent_huge_bytes,
        "shared_bytes": _by_node(proof.shared_bytes),
        "file_bytes": _by_node(proof.file_bytes),
        "openmp": list(proof.openmp),
        "migrations": proof.migrations,
        "crowded_looks": proof.crowded_looks,
    }


def _by_node(sizes: Mapping[int, int]) -> dict[str, int]:
    return {str(node): sizes[node] for node in sorted(sizes)}


def read_report(text: str, source: str) -> Report:
    """The report that the text holds.

    Args:
        text: JSON (or YAML).
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the place.
    """
    from ipexlaunch.documents.text import parse_document, validate
    from ipexlaunch.measure.report_schema import ReportModel

    model = validate(parse_document(text, source, {"report": [1]}), ReportModel)
    data = model.model_dump()
    instances = tuple(
        InstanceReport(
            **{
                **row,
                "cpus": parse_list(row["cpus"]),
                "nodes": parse_list(row["nodes"]),
                "placement": None if row["placement"] is None else _proof(row["placement"]),
                "distributions_ms": {
                    kind: Distribution(**figures) for kind, figures in row["distributions_ms"].items()
                },
            }
        )
        for row in data.pop("instances")
    )
    failures = tuple(Failure(time=row.pop("time_s"), **row) for row in data.pop("failures"))
    throughput = Throughput(**data.pop("throughput"))
    data["distributions_ms"] = {kind: Distribution(**figures) for kind, figures in data["distributions_ms"].items()}
    batch = data.pop("batch")
    if data["disturbance"] is not None:
        data["disturbance"] = Disturbance(**data["disturbance"])
    if data["baseline"] is not None:
        data["baseline"] = Baseline(**data["baseline"])
    reasons, warnings = tuple(data.pop("reasons")), tuple(data.pop("warnings"))
    return Report(
        instances=instances,
        failures=failures,
        throughput=throughput,
        reasons=reasons,
        warnings=warnings,
        batch=None if batch is None else BatchSummary(**batch),
        **data,
    )


def _proof(row: dict[str, Any]) -> Proof:
    lists = {name: parse_list(row[name]) for name in ("cpus", "last_cpus", "main_thread_cpus")}
    names = ("anonymous_bytes", "huge_bytes", "shared_bytes", "file_bytes")
    sizes = {name: {int(node): size for node, size in row[name].items()} for name in names if row[name] is not None}
    return Proof(**{**row, **lists, **sizes, "openmp": tuple(row["openmp"])})
