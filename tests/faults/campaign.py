"""One fault after the other, at random moments of real runs; `python -m tests.faults --count 50` prints the table."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ipexlaunch.cli import EXIT_UNSHOWN
from ipexlaunch.measure.report import read_report
from tests.batch.hanging_disk import HangingDisk, hanging_disk, has_ended
from tests.faults.programs import DAEMONS, HIDDEN, LOADING, MANY, SPLIT, STUBBORN, WORKER

ROOT = Path(__file__).parents[2]
HANG_S = 120.0
"""A run that takes longer hangs; the machine may be busy, so the limit is far away."""

RUN_S = 1.0
"""How long an undisturbed run works."""


@dataclass(kw_only=True)
class Running:
    """A run under way."""

    tag: str
    process: subprocess.Popen[bytes]
    folder: Path
    terminal: tuple[int, int] | None = None
    """Our end and the launcher's, where it runs on a terminal."""
    taking: threading.Event = field(default_factory=threading.Event)
    """Set while somebody reads the terminal."""
    disk: HangingDisk | None = None
    """Where logs, report and run directory are, if that can hang."""

    def processes(self) -> list[int]:
        """Every living process of the run, the launcher too, by the tag in its environment or its command line."""
        wanted = f"\0FAULT_TAG={self.tag}\0".encode()
        found = []
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            with contextlib.suppress(OSError):
                environment = b"\0" + Path(f"/proc/{name}/environ").read_bytes()
                if wanted in environment or self.tag.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                    found.append(int(name))
        return found

    def guardians(self) -> list[int]:
        """The launcher's guardian; it has no tag."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError):
            return [pid for pid in map(int, children.read_text().split()) if "run-guardian" in command_line(pid)]
        return []

    def workers(self) -> list[int]:
        """The workers: children of the launcher that carry an index."""
        return [pid for pid, parent in self._members() if parent == self.process.pid]

    def templates(self) -> list[int]:
        """The processes that workers are forked from: children of the launcher."""
        return [pid for pid in self.workers() if b"\0IPEXLAUNCH_TEMPLATE=" in environment_of(pid)]

    def grandchildren(self) -> list[int]:
        """What the workers have started. (A worker that is just being started has no index yet, and is in no list.)"""
        return [pid for pid, parent in self._members() if parent != self.process.pid]

    def _members(self) -> list[tuple[int, int]]:
        """(process, its parent) of all that carry an index."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
                if b"IPEXLAUNCH_INDEX=" in Path(f"/proc/{pid}/environ").read_bytes():
                    found.append((pid, parent))
        return found


def command_line(pid: int) -> str:
    """A process's words, with blanks between them; empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    return ""


def environment_of(pid: int) -> bytes:
    """A process's variables; empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault: how the run is started, what is done to it, how it must end."""

    program: str = WORKER
    options: tuple[str, ...] = ()
    strike: Callable[[Running], bool] = lambda run: False  # noqa: ARG005 (some faults are in the program itself)
    """Does it; whether it hit."""
    hit_codes: tuple[int, ...] = (0,)
    """Exit codes of the launcher when it hit; otherwise the run ends with 0."""
    report: bool = True
    """Whether a report must be there."""
    notes: str = ""
    """What the report must mention."""
    needs_log_disk: bool = False
    hanging: bool = False
    """Whether logs, report and run directory are on a disk that can hang."""
    when_started: bool = False
    """Whether the moment counts from the first worker, so that there is something to hit."""
    direct: bool = False
    """Whether the program is its own launcher."""
    output: str = "pipe"
    """Where stdout and stderr go: "pipe" (only stdout), "both" (in one pipe), "closed", "full" (disk) or "terminal"."""


def kill_one(pids: list[int], number: signal.Signals) -> bool:
    """Signal one of them, if there is one."""
    if not pids:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(random.choice(pids), number)
        return True
    return False


def to_launcher(number: signal.Signals) -> Callable[[Running], bool]:
    """Signal the launcher, if it still runs."""

    def strike(run: Running) -> bool:
        if run.process.poll() is not None:
            return False
        run.process.send_signal(number)
        return True

    return strike


def kill_group(run: Running) -> bool:
    """Kill the launcher's process group."""
    if run.process.poll() is not None:
        return False
    os.killpg(run.process.pid, signal.SIGKILL)
    return True


def kill_guardian(run: Running) -> bool:
    """Kill the guardian, and wait for the one that takes its place or for the end of the run."""
    before = run.guardians()
    if not kill_one(before, signal.SIGKILL):
        return False
    while run.process.poll() is None and (not (now := run.guardians()) or now == before):
        time.sleep(0.005)
    return True


def kill_guardian_then_launcher(run: Running) -> bool:
    """Kill the guardian, and the launcher when it has another."""
    kill_guardian(run)
    return to_launcher(signal.SIGKILL)(run)


def kill_by_name(run: Running) -> bool:
    """What `pkill -9 -f ipexlaunch` kills of this run."""
    if run.process.poll() is not None:
        return False
    for pid in {*run.processes(), *run.guardians()}:
        if "ipexlaunch" in command_line(pid):
            kill_one([pid], signal.SIGKILL)
    return run.process.wait() == -signal.SIGKILL


def close_stdout(run: Running) -> bool:
    """Close the reading end of the launcher's stdout."""
    if run.process.stdout is not None:
        run.process.stdout.close()
    return True


def close_both(run: Running) -> bool:
    """The terminal program is gone, or `| head` has seen enough: nobody is at the other end any more."""
    if run.terminal is None:
        return close_stdout(run)
    running = run.process.poll() is None
    run.taking.clear()
    os.close(run.terminal[1])
    os.close(run.terminal[0])
    run.terminal = None
    return running


def stop_terminal(run: Running) -> bool:
    """Ctrl-S."""
    assert run.terminal is not None
    termios.tcflow(run.terminal[1], termios.TCOOFF)
    return True


def hang_and_end(number: signal.Signals) -> Callable[[Running], bool]:
    """Have the disk hang, and then ask the launcher to end; the disk answers again when it has ended, or hangs."""

    def strike(run: Running) -> bool:
        if run.disk is None:
            return False
        run.disk.hang()
        struck = to_launcher(number)(run)
        deadline = time.monotonic() + HANG_S
        while not has_ended(run.process):
            time.sleep(0.01)
            if time.monotonic() > deadline:
                return struck  # and still the disk does not answer: it hung
        run.disk.answer()
        return struck

    return strike


def interrupt_twice(run: Running) -> bool:
    """Ctrl-C, and again."""
    struck = to_launcher(signal.SIGINT)(run)
    time.sleep(0.1)
    return to_launcher(signal.SIGINT)(run) or struck


IMPORT = "from ipexlaunch import worker\n"

UNSHOWN = "could not be shown"

FAULTS: dict[str, Fault] = {
    "kill -9 of a worker": Fault(
        strike=lambda run: kill_one(run.workers(), signal.SIGKILL), hit_codes=(137,), when_started=True
    ),
    "kill -9 of a grandchild": Fault(
        strike=lambda run: kill_one(run.grandchildren(), signal.SIGKILL), hit_codes=(7,), when_started=True
    ),
    "kill -9 of the launcher": Fault(
        strike=to_launcher(signal.SIGKILL), hit_codes=(-9,), report=False, when_started=True
    ),
    "kill -9 of the launcher of daemons": Fault(
        program=HIDDEN, strike=to_launcher(signal.SIGKILL), hit_codes=(-9,), report=False, when_started=True
    ),
    "kill -9 of the launcher's process group": Fault(
        program=HIDDEN, strike=kill_group, hit_codes=(-9,), report=False, when_started=True
    ),
    "pkill -9 -f ipexlaunch": Fault(
        program=HIDDEN, strike=kill_by_name, hit_codes=(-9,), report=False, when_started=True
    ),
    "kill -9 of the guardian": Fault(program=HIDDEN, strike=kill_guardian, when_started=True),
    "kill -9 of the guardian, then of the launcher": Fault(
        program=HIDDEN, strike=kill_guardian_then_launcher, hit_codes=(-9,), report=False, when_started=True
    ),
    "SIGTERM to the launcher": Fault(strike=to_launcher(signal.SIGTERM), hit_codes=(143, -15), report=False),
    # 1 is the interpreter's own when it is interrupted before it has imported its site module.
    "SIGINT to the launcher": Fault(strike=to_launcher(signal.SIGINT), hit_codes=(130, -2, 1), report=False),
    # A scheduler's warning: -10 before the launcher has said what it does with it.
    "SIGUSR1 to the launcher": Fault(strike=to_launcher(signal.SIGUSR1), hit_codes=(75, -10), report=False),
    "SIGSTOP of a worker": Fault(
        # One that is stopped on its way out has not stalled: it had finished.
        options=("--stall-timeout", "1", "--ready-timeout", "30", "--timeout", "40"),
        strike=lambda run: kill_one(run.workers(), signal.SIGSTOP),
        hit_codes=(124,),
        when_started=True,
    ),
    "a worker that ignores SIGTERM": Fault(
        program=STUBBORN,
        options=("--grace", "0.3"),
        strike=to_launcher(signal.SIGINT),
        hit_codes=(130, -2, 1),
        report=False,
    ),
    "a full disk for logs": Fault(needs_log_disk=True, notes="is no longer written"),
    # 2: the report could not be kept. It may have been, before the disk hung.
    "a hanging disk under logs, report and run directory, then SIGTERM": Fault(
        hanging=True, strike=hang_and_end(signal.SIGTERM), hit_codes=(2, 143), report=False, when_started=True
    ),
    "a hanging disk under logs, report and run directory, then SIGINT": Fault(
        hanging=True, strike=hang_and_end(signal.SIGINT), hit_codes=(2, 130), report=False, when_started=True
    ),
    "closed stdout": Fault(strike=close_stdout, hit_codes=(1,), notes=UNSHOWN),
    "descriptors 0 to 2 closed at the start": Fault(output="closed"),
    "full stdout and stderr": Fault(output="full", strike=lambda _: True, hit_codes=(1,), notes=UNSHOWN),
    "a stopped terminal (Ctrl-S)": Fault(output="terminal", strike=stop_terminal, hit_codes=(1,), notes=UNSHOWN),
    "a terminal that vanishes": Fault(
        output="terminal",
        strike=close_both,
        hit_codes=(129, 1),  # 1: the run was over, and its report could not be shown
        notes=UNSHOWN,
        when_started=True,
    ),
    "a reader of stdout and stderr that vanishes": Fault(
        output="both", strike=close_stdout, hit_codes=(1,), notes=UNSHOWN
    ),
    "a script that forks daemons": Fault(program=DAEMONS, notes="left behind"),
    "a program that cannot be started": Fault(
        program="#!/does/not/exist\n", options=("--no-python",), hit_codes=(127,)
    ),
    "kill -9 of a template": Fault(
        program=SPLIT,
        options=("--share-start", "model"),
        strike=lambda run: kill_one(run.templates(), signal.SIGKILL),
        hit_codes=(137,),
        when_started=True,
    ),
    "SIGSTOP of a template": Fault(
        program=SPLIT,
        options=("--share-start", "model", "--ready-timeout", "2", "--grace", "0.5"),
        strike=lambda run: kill_one(run.templates(), signal.SIGSTOP),
        hit_codes=(124,),
        when_started=True,
    ),
    "SIGTERM while a template loads": Fault(
        program=LOADING,
        options=("--share-start", "model"),
        strike=to_launcher(signal.SIGTERM),
        hit_codes=(143,),
        when_started=True,
    ),
    "SIGINT twice while a template loads that ignores it": Fault(
        program=LOADING,
        options=("--share-start", "model", "--grace", "0.3"),
        strike=interrupt_twice,
        hit_codes=(130,),
        when_started=True,
    ),
    "kill -9 of the launcher while a template loads": Fault(
        program=LOADING,
        options=("--share-start", "model"),
        strike=to_launcher(signal.SIGKILL),
        hit_codes=(-9,),
        report=False,
        when_started=True,
    ),
    "kill -9 of one of 256 workers": Fault(
        program=MANY,
        direct=True,
        strike=lambda run: kill_one(run.workers(), signal.SIGKILL),
        hit_codes=(137,),
        when_started=True,
    ),
}


@dataclass
class Outcome:
    """How one run ended, and what was wrong with that."""

    hit: bool
    code: int
    seconds: float
    problems: list[str] = field(default_factory=list)


def suffer(fault: Fault, moment_s: float, share_start: str = "no") -> Outcome:
    """One run under one fault.

    Args:
        fault: what happens to it.
        moment_s: when it happens, in seconds after the start of the launcher or of its first worker.
        share_start: what its workers share; the process that they are forked from may be struck as well as they.
    """
    if share_start != "no" and "--share-start" not in fault.options:
        program = fault.program.replace(IMPORT, IMPORT + "worker.split()\n")
        fault = replace(fault, program=program, options=(*fault.options, "--share-start", share_start))
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        stack.enter_context(log_disk(Path(name), fault.needs_log_disk))
        disk = stack.enter_context(hanging_disk(Path(name) / "disk")) if fault.hanging else None
        run = start(fault, Path(name), disk)
        began = time.monotonic()
        if fault.when_started:
            wait_for_workers(run)
        time.sleep(moment_s)  # the moment is the experiment
        hit = fault.strike(run)
        hung = False
        try:
            run.process.communicate(timeout=HANG_S) if run.process.stdout and not run.process.stdout.closed else (
                run.process.wait(HANG_S)
            )
        except subprocess.TimeoutExpired:
            hung = True
        seconds = time.monotonic() - began
        run.taking.clear()
        for descriptor in run.terminal or ():
            os.close(descriptor)
        problems = ["it hung"] if hung else check(fault, run, hit)
        problems += sweep(run)
        return Outcome(hit, run.process.returncode or 0, seconds, problems)


def wait_for_workers(run: Running) -> None:
    """Return when the first worker is there, or the launcher has ended."""
    while run.process.poll() is None and not run.workers():
        time.sleep(0.005)


def start(fault: Fault, folder: Path, disk: HangingDisk | None) -> Running:
    """Start a run of two workers."""
    program, tag = folder / "program", os.urandom(8).hex()
    program.write_text(fault.program)
    program.chmod(0o755)
    if fault.direct:
        command = [sys.executable, str(program), str(3 * RUN_S), str(folder / "report.json")]
    else:
        place = folder if disk is None else disk.path
        options = ["--log-dir", str(place / "logs"), "--report", str(place / "report.json"), *fault.options]
        if disk is not None:
            options += ["--run-dir", str(place / "run"), "--grace", "1"]
        count = str(min(2, len(os.sched_getaffinity(0))))
        command = [sys.executable, "-m", "ipexlaunch", "--ninstances", count, *options, str(program), str(RUN_S)]
    environment = {**os.environ, "FAULT_TAG": tag, "PYTHONPATH": str(ROOT), "ROOT": str(ROOT)}
    environment["IPEXLAUNCH_LOST_TIME"] = "1"  # who else uses this host must not decide how a run ends
    if fault.output == "terminal":
        return on_terminal(command, environment, tag, folder)
    if fault.output == "closed":
        command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    full = os.open("/dev/full", os.O_WRONLY)
    process = subprocess.Popen(
        command,
        stdout=full if fault.output == "full" else subprocess.PIPE,
        stderr={"full": full, "both": subprocess.STDOUT}.get(fault.output, subprocess.DEVNULL),
        stdin=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    os.close(full)
    return Running(tag=tag, process=process, folder=folder, disk=disk)


def on_terminal(command: list[str], environment: dict[str, str], tag: str, folder: Path) -> Running:
    """Start a launcher whose terminal is ours to stop and to close."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=folder,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    run = Running(tag=tag, process=process, folder=folder, terminal=(ours, theirs))
    run.taking.set()

    def take() -> None:
        while run.taking.is_set():
            with contextlib.suppress(OSError):
                if select.select([ours], [], [], 0.01)[0] and run.taking.is_set():
                    os.read(ours, 1 << 16)

    threading.Thread(target=take, daemon=True).start()
    return run


def check(fault: Fault, run: Running, hit: bool) -> list[str]:
    """What is wrong with how it ended."""
    problems = []
    in_program = fault.program == DAEMONS or fault.program.startswith("#!")
    expected = fault.hit_codes if hit or in_program else (0,)
    # A strike may come after the last count: then the run has ended well already.
    if run.process.returncode not in (*expected, *((0,) if hit and not in_program else ())):
        problems.append(f"exit code {run.process.returncode}, not {expected}")
    if fault.report:
        try:
            report = read_report((run.folder / "report.json").read_text(), "report.json")
        except (OSError, ValueError) as error:
            return [*problems, f"no report: {error}"]
        if report.exit_code != run.process.returncode:
            problems.append(f"the report says {report.exit_code}")
        shown = fault.notes == UNSHOWN and run.process.returncode == 0
        if fault.notes and not shown and not any(fault.notes in warning for warning in report.warnings):
            problems.append(f"the report does not mention {fault.notes!r}")
        if run.process.returncode not in (0, EXIT_UNSHOWN) and report.valid:
            problems.append("the report says VALID")
    return problems


def sweep(run: Running) -> list[str]:
    """What is left of the run after a moment's grace, which the guardian of a killed launcher needs; it is ended."""
    deadline = time.monotonic() + 10.0
    while (left := run.processes()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"{len(left)} processes left"] if left else []


@contextlib.contextmanager
def log_disk(folder: Path, wanted: bool) -> Iterator[None]:
    """A disk of 64 kB under the folder's logs, where one is wanted."""
    if not wanted:
        yield
        return
    (folder / "logs").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder / "logs")], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder / "logs")], check=True)


def may_mount() -> bool:
    """Whether this process may mount a small disk: root, in the first user namespace."""
    with tempfile.TemporaryDirectory() as name:
        result = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", name], capture_output=True, check=False)
        if result.returncode == 0:
            subprocess.run(["umount", name], check=True)
        return result.returncode == 0
