"""The first process of a host of the lab: makes the host its own, says so, and ends what runs there by ending itself.

    python3 host_init.py NAME FOLDER      where NAME's files lie: FOLDER/hosts, FOLDER/NAME.boot_id
    python3 host_init.py                  the network between them, which needs no files

It is number 1 of a PID namespace: the kernel kills everything in there with it. It lives as long as somebody holds the
other end of its standard input, so that no host survives whoever made it, however that ends.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys


def main(name: str = "", folder: str = "") -> None:
    """Run until standard input ends, and be the parent of whoever has lost his own."""
    if name:
        socket.sethostname(name)
        for words in (
            ["--types", "tmpfs", "--options", "mode=1777", "tmpfs", "/dev/shm"],
            ["--types", "tmpfs", "--options", "mode=755", "tmpfs", "/run"],
            ["--bind", os.path.join(folder, "hosts"), "/etc/hosts"],
            ["--bind", os.path.join(folder, f"{name}.boot_id"), "/proc/sys/kernel/random/boot_id"],
        ):
            subprocess.run(["mount", *words], check=True)
        for inside in ("/run/tmp", "/run/sshd"):
            os.mkdir(inside)
        os.chmod("/run/tmp", 0o1777)
    os.write(1, b"up\n")
    while not select.select([0], [], [], 0.2)[0] or os.read(0, 4096):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
