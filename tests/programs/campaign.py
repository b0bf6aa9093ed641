"""Run every program of the table under `ipexlaunch run` and write what was seen into docs/developing.md.

    make campaign-programs                    # all of them, about 15 minutes
    make campaign-programs ARGS='DuckDB Ray'  # those with these names, in their rows

Of each: it starts and ends as it does alone, no thread of it leaves its slice, threads that crowd the slice are named
with their owner and its option, its own rate is ours within 3 %, and Ctrl-C leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.programs.environments import driver_path, prepare
from tests.programs.table import PROGRAMS, Program
from tests.usual_signals import take_usual_signals

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "developing.md"
CACHE = ROOT / ".programs"
MARK = "IPEXLAUNCH_CAMPAIGN"

RATE_MAY_DIFFER = 0.03
LIMIT_S = 400.0
CTRL_C_AFTER_S = 6.0
INSTANCES = 2

RULE = "|---|---|---|---|---|"

BEGIN, END = "<!-- table -->\n", "<!-- /table -->\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one program did."""

    program: Program
    problems: tuple[str, ...]
    rate: str
    crowd: str

    @property
    def row(self) -> str:
        """Its line in the page."""
        what = "; ".join(self.problems) or "all"
        return f"| {self.program.name} | {self.program.ecosystem} | {self.crowd} | {self.rate} | {what} |"


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(description="run public programs under ipexlaunch")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the table; all of them where none is named")
    parser.add_argument("--torch-index", default="", metavar="URL", help="take torch from this package index")
    options = parser.parse_args()
    take_usual_signals()
    words = prepare(CACHE, options.torch_index)
    unknown = sorted({*options.names} - {program.name for program in PROGRAMS})
    if unknown:
        parser.error(f"no program is called {', '.join(unknown)}; there are {', '.join(p.name for p in PROGRAMS)}")
    seen = []
    for program in PROGRAMS:
        if not options.names or program.name in options.names:
            seen.append(look_at(program, words))
            print(seen[-1].row, flush=True)
            write_page(seen)
    failed = [each.program.name for each in seen if each.problems]
    print(f"campaign: {len(seen)} programs, {len(failed)} with problems{': ' * bool(failed)}{', '.join(failed)}")
    raise SystemExit(bool(failed))


def look_at(program: Program, words: dict[str, str]) -> Seen:
    """Run a program to its end, and once more to interrupt it."""
    report = CACHE / "report.json"
    report.unlink(missing_ok=True)
    mark = uuid.uuid4().hex
    done = subprocess.run(
        [*launcher(program, mark), "--report", str(report), *command(program, words)],
        cwd=CACHE, env=environment(words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", timeout=LIMIT_S, check=False,
    )  # fmt: skip
    (CACHE / "last.log").write_text(done.stdout + done.stderr)
    problems: list[str] = []
    if not report.exists():
        return Seen(program=program, problems=(f"no report (exit code {done.returncode})",), rate="-", crowd="-")
    found = json.loads(report.read_text())
    problems += [reason for reason in found["reasons"] if not of_others(reason)]
    problems += [f"processes are left: {left}" for left in [alive(mark)] if left]
    crowds = [note for note in found["warnings"] if "busy threads shared" in note]
    problems += ["whose threads crowd the cpus is not named" for note in crowds if "they are those" not in note]
    problems += [note for note in found["warnings"] if "OpenMP runtimes" in note or "left behind" in note]
    rate, difference = rates_of(program, found, done.stdout)
    problems += [f"our rate differs from its own by {difference:.1%}"] if difference > RATE_MAY_DIFFER else []
    problems += interrupted(program, words)
    owners = sorted({owner for note in crowds for owner in re.findall(r"(?:of|and of) ([^:;]+?)(?::|;|$)", note)[:1]})
    return Seen(program=program, problems=tuple(problems), rate=rate, crowd=", ".join(owners) or "none")


def of_others(reason: str) -> bool:
    """Whether a reason for INVALID is the machine's, which has other work to do."""
    return "other programs" in reason or "waited for a cpu" in reason or "hypervisor" in reason or "quota" in reason


def rates_of(program: Program, report: dict[str, object], printed: str) -> tuple[str, float]:
    """(what to show, how far ours is from what the program says of itself), over all instances."""
    if not program.own_rate:
        return "-", 0.0
    own = {int(i): float(rate) for i, rate in re.findall(rf"^\[(\d+)\] .*?{program.own_rate}", printed, re.MULTILINE)}
    if len(own) != INSTANCES:
        return "its own is not found", 1.0
    instances = report["instances"]
    assert isinstance(instances, list)
    ours = {each["index"]: each["rate"] or (each.get("facts") or {}).get("claimed_rate") for each in instances}
    worst = max(abs((ours[index] or 0.0) / rate - 1) for index, rate in own.items())
    return f"{worst:.1%}", worst


def interrupted(program: Program, words: dict[str, str]) -> list[str]:
    """What is wrong where Ctrl-C ends it while it works, again and again until then."""
    mark = uuid.uuid4().hex
    again = ["sh", "-c", 'while :; do "$@" || sleep 0.2; done', "again"]
    python = [words["python"]] if program.driver else []
    inner = [*python, *driven(program)] if program.driver else list(filled(program.words, words))
    started = subprocess.Popen(
        [*launcher(program, mark, counted=False), "--no-python", *again, *inner],
        cwd=CACHE, env=environment(words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(CTRL_C_AFTER_S)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does
    try:
        code = started.wait(60)
    except subprocess.TimeoutExpired:
        started.kill()
        return ["it does not end after Ctrl-C"]
    left = alive(mark)
    return [f"Ctrl-C: exit code {code}"] * (code != 130) + [f"Ctrl-C leaves {left}"] * bool(left)


def launcher(program: Program, mark: str, *, counted: bool = True) -> list[str]:
    """The words of ipexlaunch before the program."""
    words = [sys.executable, "-m", "ipexlaunch", "--ninstances", str(INSTANCES), "--lost-time", "1"]
    for variable in (f"{MARK}={mark}", *program.environment):
        words += [
            "--env",
            variable.replace("{cache}", str(CACHE)).replace("{go}", str(CACHE / "debian/usr/lib/go-1.19")),
        ]
    return words + (list(program.options) if counted else [])


def command(program: Program, words: dict[str, str]) -> list[str]:
    """The program as `ipexlaunch run` takes it."""
    if program.driver:
        return ["--python", words["python"], *driven(program)]
    return ["--no-python", *filled(program.words, words)]


def driven(program: Program) -> list[str]:
    """A driver's script, and its one argument."""
    return [str(driver_path(CACHE, program.name)), "{index}"]


def filled(words: tuple[str, ...], values: dict[str, str]) -> list[str]:
    """The words with the campaign's places in them; {index} is left to ipexlaunch."""
    return [re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), word) for word in words]


def environment(words: dict[str, str]) -> dict[str, str]:
    """As a user has it, with Debian's unpacked libraries."""
    libraries = f"{words['debian']}/usr/lib/x86_64-linux-gnu"
    return {**os.environ, "PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": libraries, "RAY_USAGE_STATS_ENABLED": "0"}


def alive(mark: str) -> str:
    """Names of the processes that carry the mark."""
    names = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                names.append((folder / "comm").read_text().strip())
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return ", ".join(names)


def write_page(seen: list[Seen]) -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    before, _, tail = rest.partition(END)
    rows = {line.split(" | ")[0]: line for line in before.splitlines()}
    rows |= {each.row.split(" | ")[0]: each.row for each in seen}
    heading = ["| program | from | threads that crowded its cpu | its own rate and ours differ by | holds |", RULE]
    known = [row for program in PROGRAMS if (row := rows.get(f"| {program.name}"))]
    PAGE.write_text(head + BEGIN + "\n".join([*heading, *known]) + "\n" + END + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
