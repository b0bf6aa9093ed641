"""Runs one command in one guest under QEMU and brings back its output and exit status."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ipexlaunch.machine.cpulist import parse_list
from tests.guest.initramfs import initramfs
from tests.guest.kernel import Kernel, ready_kernel
from tests.guest.scripts import start_script
from tests.guest.shape import Shape

CHECKOUT = Path(__file__).resolve().parents[2]
BOOT_SECONDS = 180.0
COMMAND_SECONDS = 900.0
"""Five to ten times what a quiet host of two cores needs; hosts of CI are not quiet."""
TIMED_OUT = 124
PASSED_ON = re.compile(r"PATH|HOME|LANG|LC_\w+|TZ|TERM|PYTHON\w+|VIRTUAL_ENV|IPEXLAUNCH_\w+")
WATCH_SECONDS = 0.1
QEMU = (
    *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"),
    *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
)
"""It ends with the process that started it."""
KERNEL_ARGUMENTS = "console=ttyS0 quiet panic=-1 mitigations=off tsc=unstable clocksource=hpet no_timer_check"
"""The clock is the HPET's, whose speed is given: on a busy host a kernel measured the TSC's wrongly, and its clock ran
eight times too fast."""


PANIC = "Kernel panic"
"""What the console shows where the guest's kernel has died."""


class GuestError(Exception):
    """A guest did not come up as its shape says, or died before its command ended."""


@dataclass(frozen=True)
class Outcome:
    """What came back from a guest."""

    status: int
    """Exit status of the command; 124 where it ran out of time."""
    stdout: str
    stderr: str
    accelerator: str
    boot_seconds: float
    seconds: float
    """From QEMU's start to its end."""
    console: str


def run_in_guest(
    shape: Shape,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path = CHECKOUT,
    writable: Sequence[Path] = (),
    seconds: float = COMMAND_SECONDS,
    interactive: bool = False,
    watch: Callable[[Path], None] | None = None,
) -> Outcome:
    """Boot a guest of this shape, run the command in it, and end it.

    The guest sees the host's files; what it writes is lost, except below the `writable` directories.

    Args:
        shape: the guest's machine.
        command: program and arguments, as on the host.
        environment: all of the command's variables; by default the host's PATH, language and Python ones.
        directory: where the command starts.
        writable: directories of the host that the guest may write to.
        seconds: time for boot and command together.
        interactive: give the command this process's terminal; without a time limit.
        watch: called with the mailbox several times a second while the guest runs.

    Raises:
        GuestError: the guest did not come up, or died.
        GuestMissingError: this host cannot run guests.
    """
    kernel = ready_kernel()
    if shape.refuse_memory_policy:
        command = [sys.executable, "-I", "-S", str(CHECKOUT / "tests/guest/refuse_memory_policy.py"), *command]
    if environment is None:
        environment = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    with tempfile.TemporaryDirectory(prefix="ipexlaunch-guest-") as scratch:
        mailbox, console, initrd = Path(scratch, "mailbox"), Path(scratch, "console"), Path(scratch, "initrd")
        mailbox.mkdir()
        size = shutil.get_terminal_size() if interactive else None
        (mailbox / "start").write_text(
            start_script(
                shape,
                command,
                environment=environment,
                directory=directory.resolve(),
                writable=[path.resolve() for path in writable],
                terminal_size=(size.columns, size.lines) if size else None,
            )
        )
        initrd.write_bytes(_initramfs(shape, kernel))
        accelerator, model = _accelerator()
        shares = {"host": Path("/"), "mailbox": mailbox}
        shares.update({f"shared{position}": path.resolve() for position, path in enumerate(writable)})
        arguments = [
            *QEMU,
            *("-machine", "q35,hmat=on" if shape.attributes else "q35"),
            *("-accel", accelerator, "-cpu", model),
            *("-kernel", str(kernel.image), "-initrd", str(initrd), "-append", KERNEL_ARGUMENTS),
            *("-serial", f"file:{console}"),
            *(("-chardev", "stdio,id=terminal,signal=off", "-serial", "chardev:terminal") if interactive else ()),
            *_share_arguments(shares),
            *shape_arguments(shape),
        ]
        watched = partial(_watch_to_end, shape, arguments, mailbox, console, accelerator, seconds, interactive, watch)
        try:
            return watched()
        except GuestError:
            # Rarely a kernel that is emulated dies while it boots, of nothing that a test has done.
            if (mailbox / "up").exists() or PANIC not in _text(console):
                raise
        return watched()


def _initramfs(shape: Shape, kernel: Kernel) -> bytes:
    busybox = shutil.which("busybox")
    assert busybox  # ready_kernel() looked for it
    return initramfs(shape, Path(busybox).read_bytes(), {path.name: path.read_bytes() for path in kernel.modules})


def shape_arguments(shape: Shape) -> list[str]:
    """QEMU's arguments for a shape's cpus, nodes, memory and distances."""
    sizes = shape.node_sizes_mib
    cores = shape.nodes_per_socket * shape.cores_per_node
    arguments = [
        *("-m", f"{sum(sizes)}M"),
        *("-smp", f"{len(shape.cpus)},sockets={shape.sockets},cores={cores},threads={shape.threads}"),
    ]
    for node, size in enumerate(sizes):
        memory = f",memdev=memory{node}" if size else ""
        if size:
            arguments += ["-object", f"memory-backend-ram,id=memory{node},size={size}M"]
        initiator = f",initiator={shape.initiator(node)}" if shape.attributes else ""
        arguments += ["-numa", f"node,nodeid={node}{memory}{initiator}"]
    for cpu in shape.cpus:
        place = f"socket-id={cpu.socket},core-id={cpu.core},thread-id={cpu.thread}"
        arguments += ["-numa", f"cpu,node-id={cpu.node},{place}"]
    for one in range(len(sizes)):
        for other in range(len(sizes)):
            arguments += ["-numa", f"dist,src={one},dst={other},val={shape.distance(one, other)}"]
    for one in shape.cpu_nodes if shape.attributes else ():
        for other, size in enumerate(sizes):
            pair = f"hmat-lb,initiator={one},target={other},hierarchy=memory,data-type="
            if size:
                arguments += ["-numa", f"{pair}access-latency,latency={shape.latency_ns(one, other)}"]
                arguments += ["-numa", f"{pair}access-bandwidth,bandwidth={shape.bandwidth_gib_s(one, other)}G"]
    return arguments


def _share_arguments(shares: Mapping[str, Path]) -> list[str]:
    arguments = []
    for tag, path in shares.items():
        place = str(path).replace(",", ",,")
        readonly = ",readonly=on" if tag == "host" else ""
        arguments += ["-fsdev", f"local,id={tag},path={place},security_model=none,multidevs=remap{readonly}"]
        arguments += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return arguments


def _accelerator() -> tuple[str, str]:
    """QEMU's accelerator and cpu model.

    /dev/kvm alone proves nothing: it may stand there with no hardware under it, so the cpu must have the flag as well.
    TCG with a thread for each guest cpu is no faster on few host cores and can hang a kernel that patches itself.
    Linux takes SMT from an emulated cpu only if it calls itself Intel; with `monitor`, offline cpus would spin; with
    `erms` it clears pages byte by byte, which is fast in hardware only.
    """
    flag = re.search(r"^flags\b.*\s(vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    if flag and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "kvm", "host" if flag[1] == "vmx" else "host,topoext=on"
    return "tcg,thread=single", "max,vendor=GenuineIntel,monitor=off,la57=off,erms=off"


def _watch_to_end(
    shape: Shape,
    arguments: list[str],
    mailbox: Path,
    console: Path,
    accelerator: str,
    seconds: float,
    interactive: bool,
    watch: Callable[[Path], None] | None,
) -> Outcome:
    began = time.monotonic()
    boot_seconds: float | None = None
    with (mailbox.parent / "qemu").open("wb") as talk:
        qemu = subprocess.Popen(
            arguments,
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=None if interactive else talk,
            stderr=talk,
        )
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    qemu.wait(WATCH_SECONDS)
                elapsed = time.monotonic() - began
                if boot_seconds is None and _text(mailbox / "up"):
                    boot_seconds = elapsed
                if watch:
                    watch(mailbox)
                limit = min(seconds, BOOT_SECONDS) if boot_seconds is None else seconds
                if qemu.returncode is not None or (elapsed > limit and not interactive):
                    break
        finally:
            if qemu.poll() is None:
                qemu.send_signal(signal.SIGKILL)
                qemu.wait()
    elapsed = time.monotonic() - began
    status, up, refused = (_text(mailbox / name).strip() for name in ("status", "up", "refused"))
    log = _text(console) + _text(mailbox.parent / "qemu")
    problem = ""
    if boot_seconds is None:
        problem = f"did not come up in {elapsed:.0f} s"
    elif parse_list(up) != {cpu.id for cpu in shape.cpus}:
        problem = f"came up with cpus {up} of {len(shape.cpus)}"
    elif refused:
        problem = f"could not be set up: {refused}"
    elif not status and qemu.returncode != -signal.SIGKILL:
        problem = "died before its command ended"
    if problem:
        raise GuestError(f"the guest ({shape.about}; {accelerator}) {problem}\n{log[-3000:]}")
    return Outcome(
        status=int(status or TIMED_OUT),
        stdout=_text(mailbox / "stdout"),
        stderr=_text(mailbox / "stderr"),
        accelerator=accelerator,
        boot_seconds=boot_seconds or 0.0,
        seconds=elapsed,
        console=log,
    )


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace") if path.exists() else ""
