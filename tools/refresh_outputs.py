#!/usr/bin/env python3
"""Run the commands that the pages show again, and put their real output in place of the old one.

    make outputs        # on a quiet machine, after `make bench`

In README.md and examples/README.md, every block that begins with ```console and "$ COMMAND" is run by bash in the root
of the repository, with `.venv-ipex/bin` first on PATH; its output (stdout and stderr as they come, and the exit code
where it is not 0) replaces what follows the command. Left out is IPEX's warning that it found a CUDA compiler but no
GPU, which is about the machine that the output was made on. A block with a line of three dots is an excerpt of a long
run: it is left alone, and named. The part of README.md between the `measured` comments is written from the files of
the benchmarks in runs/. Nothing else is touched.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "examples/README.md")
BLOCK = re.compile(r"^```console\n\$ (?P<command>.*)\n(?:.*\n)*?```$", re.MULTILINE)
MEASURED = re.compile(r"(?<=<!-- measured -->\n).*?(?=<!-- end of measured -->)", re.DOTALL)
WIDTH = 118
NOT_SHOWN = "No CUDA runtime is found, using CUDA_HOME"
NAMES = {
    "numactl loop": "shell loop of `numactl`",
    "ipexlaunch": "**ipexlaunch**",
    "run_cpu": "`torch.backends.xeon.run_cpu`",
    "ipexrun": "`ipexrun`",
}


def main() -> int:
    """Refresh the pages that are named, or all."""
    for name in sys.argv[1:] or PAGES:
        page = ROOT / name
        text = MEASURED.sub(lambda match: measured(match.group()), page.read_text(encoding="utf-8"))
        page.write_text(BLOCK.sub(refreshed, text), encoding="utf-8")
    return 0


def refreshed(block: re.Match[str]) -> str:
    """A block with its command's output of now; one that is an excerpt as it is."""
    if "\n...\n" in block.group():
        print(f"outputs: an excerpt, left alone: {block['command']}", file=sys.stderr, flush=True)
        return block.group()
    return console(block["command"])


def console(command: str) -> str:
    """The block with this command's output of now."""
    print(f"outputs: {command}", file=sys.stderr, flush=True)
    path = [str(ROOT / ".venv-ipex/bin"), *os.get_exec_path()]
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env={**environment, "PATH": ":".join(path), "COLUMNS": str(WIDTH)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if NOT_SHOWN not in line]
    output = "\n".join(lines).replace(f"{ROOT}/", "")
    code = f"\n$ echo $?\n{done.returncode}" if done.returncode else ""
    return f"```console\n$ {command}\n{output}{code}\n```"


def measured(old: str) -> str:
    """The comparison from the benchmarks' files; the old text where one is missing."""
    files = [ROOT / "runs" / name for name in ("launch_overhead.json", "embed_throughput.json")]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        print(f"outputs: no runs/{missing[0]}, the comparison stays; `make bench` makes it", file=sys.stderr)
        return old
    launch, embed = (json.loads(file.read_text()) for file in files)
    return f"{_conditions(launch)}\n\n{_table(launch)}\n\n{_figures(launch, embed)}\n"


def _conditions(launch: dict[str, Any]) -> str:
    machine, rounds = launch["machine"], len(launch["starts"]["ipexlaunch"])
    return (
        f"`make bench` on {machine['allowed_cpus']} cores of an {machine['cpu']} virtual machine (Python "
        f"{machine['python']}, {machine['when'][:10]}, load {machine['load_1min']:.1f} at the end):\n"
        f"{launch['options']['ninstances']} workers of a trivial script, medians of {rounds} alternating runs; "
        "`run_cpu` is that of torch 2.8, `ipexrun` that of IPEX 2.8."
    )


def _table(launch: dict[str, Any]) -> str:
    lines = ["| | to the last worker's first line | to exit | peak memory of the launcher |", "|---|---|---|---|"]
    for name, starts in launch["starts"].items():
        first, end = (median(start[key] for start in starts) for key in ("first_lines_s", "exit_s"))
        lines.append(f"| {NAMES[name]} | {first:.3f} s | {end:.3f} s | {median(launch['peak_mb'][name]):.0f} MB |")
    return "\n".join(lines)


def _figures(launch: dict[str, Any], embed: dict[str, Any]) -> str:
    cpu, seconds = launch["cpu"], launch["help_s"]
    ratios = [pair["ipexlaunch"] / pair["numactl"] for pair in embed["sentences_per_second"]]
    return (
        f"- `ipexlaunch --help` takes {median(seconds['help']) / median(seconds['click']):.2f} times as long as "
        '`python -c "import click"`.\n'
        f"- While two workers run for {cpu['window_s']:.0f} s, the launcher itself uses "
        f"{100 * cpu['window_cpu_s'] / cpu['window_s']:.2f} % of a core.\n"
        f"- Throughput of examples/embed.py under ipexlaunch, over that under bare numactl: {embed['ratio']:.3f} "
        f"(median of {len(ratios)} pairs, {min(ratios):.3f} to {max(ratios):.3f})."
    )


if __name__ == "__main__":
    sys.exit(main())
