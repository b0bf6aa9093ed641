"""The shell scripts that run as a guest's first process: from the initramfs, then from the mailbox.

The mailbox is a directory of the host that the guest can write to: `up` (the online cpus, once it is up), `stdout`,
`stderr`, `status` (of the command), `refused` (why the set-up failed).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ipexlaunch.machine.cpulist import format_list
from tests.guest.shape import Shape

MAILBOX = "/run/mailbox"
BUSYBOX = "/run/busybox"
TERMINAL = "/dev/ttyS1"
"""The serial line that is the developer's terminal; ttyS0 is the console's log."""
P9 = "trans=virtio,version=9p2000.L,msize=512000"

INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
mkdir /sys /host /changes /new
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do insmod $module || echo "cannot load $module"; done
mount -t 9p -o ro,{P9},cache=loose host /host || poweroff -f
mount -t tmpfs tmpfs /changes
mkdir /changes/upper /changes/work
mount -t overlay -o lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work overlay /new || poweroff -f
for kept in proc sys dev; do mount -o move /$kept /new/$kept; done
mkdir -p /new/dev/shm /new/dev/pts
mount -t tmpfs tmpfs /new/dev/shm
mount -t devpts devpts /new/dev/pts
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
mount -t tmpfs tmpfs /new/run
mkdir /new{MAILBOX}
mount -t 9p -o {P9},cache=none mailbox /new{MAILBOX} || poweroff -f
cp /bin/busybox /new{BUSYBOX}
ifconfig lo 127.0.0.1 up
hostname guest
exec switch_root /new {BUSYBOX} sh {MAILBOX}/start
"""
"""Host's root below, a tmpfs for changes above; then the mailbox's `start` takes over."""


def start_script(
    shape: Shape,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    writable: Sequence[Path] = (),
    terminal_size: tuple[int, int] | None = None,
) -> str:
    """The script that shapes the running guest, runs the command, tells its status and ends the guest.

    Args:
        shape: the guest's machine.
        command: the program and its arguments.
        environment: all variables of the command.
        directory: where the command starts.
        writable: directories shared for writing, in the order of the tags shared0, shared1, ...
        terminal_size: columns and lines of the developer's terminal; None where output goes to the mailbox.
    """
    lines = [
        f'box() {{ {BUSYBOX} "$@"; }}',
        f'refuse() {{ echo "$*" > {MAILBOX}/refused; box poweroff -f; }}',
        f"box cat /sys/devices/system/cpu/online > {MAILBOX}/up",
    ]
    for position, shared in enumerate(writable):
        place = shlex.quote(str(shared))
        lines.append(f"box mount -t 9p -o {P9},cache=none shared{position} {place} || refuse cannot mount {place}")
    for cpu in sorted(shape.offline):
        lines.append(f"echo 0 > /sys/devices/system/cpu/cpu{cpu}/online || refuse cpu {cpu} stays online")
    if shape.offline:
        remaining = format_list(shape.online)
        lines.append(
            f'[ "$(box cat /sys/devices/system/cpu/online)" = {remaining} ] || refuse online is not {remaining}'
        )
    if shape.cpuset_cpus:
        lines += _enter_cpuset(shape)
    lines.append(f"cd {shlex.quote(str(directory))} || refuse cannot enter {shlex.quote(str(directory))}")
    variables = [f"{name}={value}" for name, value in environment.items()]
    words = " ".join(shlex.quote(word) for word in ("/usr/bin/env", "-i", *variables, *command))
    if terminal_size is None:
        lines.append(f"{words} < /dev/null > {MAILBOX}/stdout 2> {MAILBOX}/stderr")
    else:
        columns, rows = terminal_size
        size = f"box stty sane cols {columns} rows {rows}"  # kept as long as the braces hold the line open
        lines.append(f"{{ {size}; box setsid -c {words}; }} < {TERMINAL} > {TERMINAL} 2>&1")
    lines += [f"echo $? > {MAILBOX}/status", "box poweroff -f"]
    return "\n".join(lines) + "\n"


def _enter_cpuset(shape: Shape) -> list[str]:
    group = "/sys/fs/cgroup/guest"
    return [
        "echo +cpuset > /sys/fs/cgroup/cgroup.subtree_control || refuse no cpuset controller",
        f"box mkdir {group}",
        f"echo {shape.cpuset_cpus} > {group}/cpuset.cpus || refuse cpuset.cpus",
        f"echo {shape.cpuset_mems} > {group}/cpuset.mems || refuse cpuset.mems",
        f"echo $$ > {group}/cgroup.procs || refuse the cpuset cannot be entered",
    ]
