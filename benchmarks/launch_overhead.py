"""What starting N workers costs: ipexlaunch against a numactl loop, torch.backends.xeon.run_cpu and ipexrun.

    python benchmarks/launch_overhead.py                                            # ipexlaunch against numactl
    python benchmarks/launch_overhead.py --ipex-python .venv-ipex/bin/python        # and against the other two

In one run, in turn, every launcher starts the same trivial script N times. Measured: the time from the command to the
first line of the last worker (as it arrives on the launcher's output), the time to exit, and in separate runs the peak
memory of the launcher's process alone (VmHWM in /proc/PID/status, read every millisecond; children are not in it). Then
`ipexlaunch --help` against `python -c "import click"`, and the launcher's own cpu time (the kernel's clock of that
process) while two workers run for 20 seconds. Medians; every single value is in the JSON file.
"""

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
MARK = "first line of a worker"
TRIVIAL = f'import os\nos.write(1, b"{MARK}\\n")\n'
"""One write, so that the lines of workers that share a pipe do not mix."""
LINGERING = TRIVIAL + "import time\ntime.sleep(0.5)\n"
RUN_LIMIT_S = 120.0
POLL_S = 0.001

TIMES_NUMACTL, PLUS_MS, TIMES_QUICKER_THAN_IPEXRUN = 2.0, 150.0, 40.0
HELP_TIMES_CLICK, PEAK_MB, CPU_PERCENT = 4.0, 60.0, 0.5
"""What is asked of ipexlaunch."""


@dataclass(frozen=True)
class Start:
    """One start of N workers: seconds from the command to the last worker's first line, and to the launcher's exit."""

    first_lines_s: float
    exit_s: float


def main() -> int:
    options = parse_options()
    script = write_script("trivial.py", TRIVIAL)
    launchers = find_launchers(options)
    starts: dict[str, list[Start]] = {name: [] for name in launchers}
    for round_ in range(options.rounds):
        # Each round turns the order by one, so that no launcher always runs after the same other one.
        names = list(launchers)
        for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
            starts[name].append(start_once(launchers[name](script), options.ninstances))
        say(
            f"round {round_ + 1} of {options.rounds}: "
            + "  ".join(f"{n} {starts[n][-1].first_lines_s:.3f} s" for n in names)
        )
    say("peak memory of each launcher")
    lingering = write_script("lingering.py", LINGERING)
    peaks = {name: [peak_mb(command(lingering)) for _ in range(3)] for name, command in launchers.items()}
    say("ipexlaunch --help against python -c 'import click'")
    helps = measure_help(options.python, options.help_rounds)
    cpu = measure_cpu(options)
    record = {
        "schema": "ipexlaunch/benchmark-launch-overhead/1",
        "machine": machine(),
        "options": {**vars(options), "output": str(options.output)},
        "starts": {name: [asdict(start) for start in values] for name, values in starts.items()},
        "peak_mb": peaks,
        "help_s": helps,
        "cpu": cpu,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print(table(starts, peaks))
    print()
    kept = print_bars(starts, peaks, helps, cpu, options.ninstances)
    say(f"every value is in {options.output}")
    return 0 if kept else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ninstances", type=int, default=2, help="workers to start (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="starts of each launcher (default: %(default)s)")
    parser.add_argument("--help-rounds", type=int, default=21, help="runs of --help (default: %(default)s)")
    parser.add_argument("--cpu-seconds", type=float, default=20.0, help="length of the run whose launcher's cpu time "
                        "is read; 0 leaves it out (default: %(default)s)")  # fmt: skip
    parser.add_argument("--python", default=sys.executable, help="interpreter with ipexlaunch (default: this one)")
    parser.add_argument("--ipex-python", default="", help="interpreter with torch and IPEX, for run_cpu and ipexrun")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/launch_overhead.json", help="the JSON file")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"launch_overhead: {text}", file=sys.stderr, flush=True)


def write_script(name: str, text: str) -> str:
    path = ROOT / "runs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


# --- the launchers: each a function from a script to the words of a command

Command = Callable[[str], Sequence[str]]


def find_launchers(options: argparse.Namespace) -> Mapping[str, Command]:
    """The four ways to start N workers, less those that this machine cannot run (each said with its reason)."""
    python, count = options.python, str(options.ninstances)
    # Workers run in the same interpreter everywhere, so that only the launchers differ.
    worker_python = options.ipex_python or python
    plan = json.loads(check_output([python, "-m", "ipexlaunch", "plan", "--ninstances", count, "--format", "json"]))
    slices = plan["instances"]
    cores = str(slices[0]["threads"])
    found: dict[str, Command] = {}
    if shutil.which("numactl"):
        lines = [f'{numactl(part)} {shlex.quote(worker_python)} "$0" &' for part in slices]
        found["numactl loop"] = lambda script: ["bash", "-c", "\n".join([*lines, "wait"]), script]
    else:
        say("no numactl here: the loop is left out (apt-get install numactl)")
    found["ipexlaunch"] = lambda script: [
        str(Path(python).with_name("ipexlaunch")), "--python", worker_python, "--ninstances", count, script
    ]  # fmt: skip
    if not options.ipex_python:
        say("no --ipex-python: run_cpu and ipexrun are left out (make env-ipex makes .venv-ipex/bin/python)")
        return found
    if works([options.ipex_python, "-c", "import torch.backends.xeon.run_cpu"]):
        found["run_cpu"] = lambda script: [
            options.ipex_python, "-m", "torch.backends.xeon.run_cpu",
            "--ninstances", count, "--ncores-per-instance", cores, script,
        ]  # fmt: skip
    else:
        say(f"{options.ipex_python} has no torch.backends.xeon.run_cpu: left out")
    ipexrun = Path(options.ipex_python).with_name("ipexrun")
    if ipexrun.exists():
        found["ipexrun"] = lambda script: [str(ipexrun), "cpu", "--ninstances", count, script]
    else:
        say(f"no {ipexrun}: left out")
    return found


def numactl(instance: Mapping[str, str]) -> str:
    """The numactl words for an instance of a plan document."""
    return f"numactl -C {instance['cpus']}" + (f" -m {instance['nodes']}" if instance["nodes"] else "")


def check_output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def works(command: Sequence[str]) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def environment() -> dict[str, str]:
    """This process's environment with the first words of PATH as in an activated environment (run_cpu looks there)."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


# --- the measurements


def start_once(command: Sequence[str], count: int) -> Start:
    """Start one launcher and time the arrival of its workers' first lines and its exit."""
    begin = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), cwd=ROOT
    )
    alarm = threading.Timer(RUN_LIMIT_S, process.kill)
    alarm.start()
    assert process.stdout is not None
    arrivals: list[float] = []
    output: list[bytes] = []
    for line in process.stdout:
        if MARK.encode() in line:
            arrivals.append(time.monotonic() - begin)
        output.append(line)
    code = process.wait()
    end = time.monotonic() - begin
    alarm.cancel()
    if len(arrivals) != count or code != 0:
        sys.stderr.write(b"".join(output).decode(errors="replace"))
        raise SystemExit(f"launch_overhead: {len(arrivals)} of {count} workers wrote a line, exit {code}: {command}")
    return Start(arrivals[-1], end)


def start_silent(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start one launcher whose output nobody needs."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd=ROOT,
    )


def peak_mb(command: Sequence[str]) -> float:
    """Peak resident memory of the launcher's own process, in MB (10^6 bytes)."""
    process = start_silent(command)
    peak = 0
    while process.poll() is None:
        try:
            for line in Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines():
                if line.startswith("VmHWM:"):
                    peak = max(peak, int(line.split()[1]))
        except (FileNotFoundError, ProcessLookupError):
            break
        time.sleep(POLL_S)
    process.wait()
    return peak * 1024 / 1e6


def measure_help(python: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of `ipexlaunch --help` and of `python -c "import click"`, in turn."""
    commands = {"help": [str(Path(python).with_name("ipexlaunch")), "--help"], "click": [python, "-c", "import click"]}
    values: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(rounds):
        for name in sorted(commands, reverse=bool(round_ % 2)):
            begin = time.monotonic()
            subprocess.run(commands[name], check=True, stdout=subprocess.DEVNULL)
            values[name].append(time.monotonic() - begin)
    return values


def measure_cpu(options: argparse.Namespace) -> dict[str, float]:
    """Cpu time of the launcher's process while its workers run, with and without its own start.

    The clock is that of clock_getcpuclockid(3), all threads of one process, its children not; its id is made from the
    process id as the kernel's posix-timers.h does it.
    """
    if not options.cpu_seconds:
        return {}
    example = "embed.py" if options.ipex_python else "plain.py"
    worker_python = options.ipex_python or options.python
    say(f"the launcher's cpu time while workers run examples/{example} for {options.cpu_seconds:g} s")
    command = [
        str(Path(options.python).with_name("ipexlaunch")), "--python", worker_python,
        "--ninstances", str(options.ninstances), f"examples/{example}", "--seconds", str(options.cpu_seconds),
    ]  # fmt: skip
    begin = time.monotonic()
    process = start_silent(command)
    clock = (~process.pid << 3) | 2
    samples: list[tuple[float, float]] = []
    while process.poll() is None:
        try:
            samples.append((time.monotonic() - begin, time.clock_gettime(clock)))
        except OSError:
            break
        time.sleep(0.05)
    if process.wait() != 0:
        raise SystemExit(f"launch_overhead: exit {process.returncode} from {shlex.join(command)}")
    # The last `cpu_seconds` before the end are the measured part: the workers' loading stands before them.
    last_time, last_cpu = samples[-1]
    window = [sample for sample in samples if sample[0] >= last_time - options.cpu_seconds]
    return {
        "run_s": last_time,
        "launcher_cpu_s": last_cpu,
        "window_s": last_time - window[0][0],
        "window_cpu_s": last_cpu - window[0][1],
    }


# --- what is printed


def table(starts: Mapping[str, Sequence[Start]], peaks: Mapping[str, Sequence[float]]) -> str:
    """A Markdown table of the medians."""
    lines = [
        "| launcher | to the last worker's first line | to exit | peak memory of the launcher |",
        "|---|---|---|---|",
    ]
    for name, values in starts.items():
        first, end = median(s.first_lines_s for s in values), median(s.exit_s for s in values)
        # bash, the loop's own process, is no launcher to compare the memory of.
        lines.append(f"| {name} | {first:.3f} s | {end:.3f} s | {median(peaks[name]):.0f} MB |")
    return "\n".join(lines)


def print_bars(
    starts: Mapping[str, Sequence[Start]],
    peaks: Mapping[str, Sequence[float]],
    helps: Mapping[str, Sequence[float]],
    cpu: Mapping[str, float],
    count: int,
) -> bool:
    """Print each figure beside what is asked of it; whether all hold."""
    first = {name: median(start.first_lines_s for start in values) for name, values in starts.items()}
    ours = first["ipexlaunch"]
    bars: list[tuple[str, str, str, bool]] = []
    if "numactl loop" in first:
        limit = TIMES_NUMACTL * first["numactl loop"] + PLUS_MS / 1000
        bars.append((f"first lines, N = {count}", f"{ours * 1000:.0f} ms", f"at most {limit * 1000:.0f} ms "
                     f"({TIMES_NUMACTL:g} x numactl + {PLUS_MS:g} ms)", ours <= limit))  # fmt: skip
    if "ipexrun" in first:
        times = first["ipexrun"] / ours
        wanted = f"at least {TIMES_QUICKER_THAN_IPEXRUN:g} x"
        bars.append(("quicker than ipexrun", f"{times:.1f} x", wanted, times >= TIMES_QUICKER_THAN_IPEXRUN))
    peak = median(peaks["ipexlaunch"])
    bars.append(("peak memory", f"{peak:.1f} MB", f"under {PEAK_MB:g} MB", peak < PEAK_MB))
    ratio = median(helps["help"]) / median(helps["click"])
    bars.append(("--help", f"{ratio:.2f} x import click", f"under {HELP_TIMES_CLICK:g} x", ratio < HELP_TIMES_CLICK))
    if cpu:
        share = 100 * cpu["window_cpu_s"] / cpu["window_s"]
        whole = 100 * cpu["launcher_cpu_s"] / cpu["run_s"]
        figure = f"{share:.2f} % of a core ({whole:.2f} % with its start and end, over {cpu['run_s']:.0f} s)"
        bars.append(("launcher's cpu time", figure, f"under {CPU_PERCENT:g} %", share < CPU_PERCENT))
    for name, figure, wanted, holds in bars:
        print(f"{'holds' if holds else 'FAILS':5}  {name}: {figure}; {wanted}")
    return all(holds for *_, holds in bars)


def machine() -> dict[str, str | int | float]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": cpu,
        "allowed_cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_1min": os.getloadavg()[0],
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    sys.exit(main())
