"""Three hosts on this machine: network, host name, processes and mounts of their own, on a network of their own.

    with three_hosts(tmp_path) as lab:
        process = lab.on("h2", ["ipexlaunch", "script.py"])
        lab.power_off("h2")

What is as on real hosts: names and addresses (10.77.0.1 to .3), ports, process numbers, /run, /dev/shm, TMPDIR and the
boot id are each host's own; a link that is down loses packets without a word; power off ends every process at once and
sends nothing. What is not: there is one kernel. CLOCK_MONOTONIC is common to the hosts, so true skews can be measured;
all hosts have the same cpus, which they share; and the file system is one and coherent, locks included (sshfs, by
remote_shell.py, is not).

Nothing has a name on the machine: hosts are namespaces that end with their processes, and these end with whoever made
the lab, also where that is killed. Needs root, util-linux and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

NAMES = ("h1", "h2", "h3")
PROGRAMS = ("ip", "nsenter", "unshare", "mount")
ROOT = Path(__file__).parents[2]
IPEXLAUNCH = [sys.executable, "-m", "ipexlaunch"]
INIT = str(Path(__file__).with_name("host_init.py"))
WAIT_S = 60.0


class HostProcess(subprocess.Popen[str]):
    """A process in a host. Signals go to it, and not to the nsenter that started it and waits for it."""

    @property
    def inner_pid(self) -> int:
        """Its number outside its host; that of nsenter until it has started."""
        inner = children_of(self.pid)
        return inner[0] if inner else self.pid

    def send_signal(self, sig: int) -> None:
        """Signal the process in the host."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.inner_pid, sig)


@dataclass
class _Switch:
    """What stands between the hosts; everything of the lab is below its first process."""

    outer: subprocess.Popen[str]
    init: int


@dataclass
class Lab:
    """The hosts and what can befall them."""

    folder: Path
    """Of the lab's own files, seen by all hosts."""
    names: tuple[str, ...]
    _switch: _Switch
    _hosts: dict[str, _Switch] = field(default_factory=dict)

    def address(self, host: str) -> str:
        """In the network between the hosts."""
        return address_of(self.names, host)

    def is_on(self, host: str) -> bool:
        """Whether a host has power."""
        return host in self._hosts

    def on(
        self,
        host: str,
        words: Sequence[str | Path],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[str] | None = subprocess.DEVNULL,
        stdout: int | IO[str] | None = None,
        stderr: int | IO[str] | None = None,
    ) -> HostProcess:
        """Start a process in a host.

        Args:
            host: its name; its power is on.
            words: the program and its arguments.
            cwd: where it starts, as the host sees it; the lab's folder where none is given.
            env: variables beside those of this process; PYTHONPATH leads to a checkout's package, where there is one.
            stdin: as of Popen, but empty where not given.
            stdout: as of Popen.
            stderr: as of Popen.
        """
        into = _enter(self._hosts[host].init, "--net", "--uts", "--mount", "--pid", f"--wdns={cwd or self.folder}")
        return HostProcess(
            [*into, *map(str, words)],
            stdin=stdin, stdout=stdout, stderr=stderr, text=True,
            env={**os.environ, "TMPDIR": "/run/tmp", "PYTHONPATH": str(ROOT), **(env or {})},
        )  # fmt: skip

    def run(
        self,
        host: str,
        words: Sequence[str | Path],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = WAIT_S,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a process in a host to its end and give what it wrote.

        Args:
            host: see `on`.
            words: see `on`.
            cwd: see `on`.
            env: see `on`.
            timeout_s: after which it is killed and the test fails.
            check: whether an exit code that is not 0 fails the test.
        """
        process = self.on(host, words, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"{words} on {host} did not end in {timeout_s:g} s:\n{out}{err}")
        if check and process.returncode:
            pytest.fail(f"{words} on {host}: exit code {process.returncode}\n{out}{err}")
        return subprocess.CompletedProcess(list(map(str, words)), process.returncode, out, err)

    def processes(self, host: str) -> dict[int, str]:
        """What lives in a host, without its first process: numbers outside the host, and command lines."""
        if host not in self._hosts:
            return {}
        init = self._hosts[host].init
        space = os.readlink(f"/proc/{init}/ns/pid")
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state = (place / "stat").read_text().rpartition(")")[2].split()[0]
                if os.readlink(place / "ns/pid") == space and state not in "ZX" and int(place.name) != init:
                    found[int(place.name)] = (place / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
        return found

    def kill_all(self, host: str, pattern: str, number: int = signal.SIGKILL) -> int:
        """Signal those processes of a host whose command line holds a text; says how many."""
        matching = [pid for pid, line in self.processes(host).items() if pattern in line]
        for pid in matching:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(matching)

    def link_down(self, host: str) -> None:
        """Lose every packet from and to a host; its processes go on, and nobody is told."""
        self._in_network(f"link set {host} nomaster")

    def link_up(self, host: str) -> None:
        """Connect it again."""
        self._in_network(f"link set {host} master between")

    def power_off(self, host: str) -> None:
        """End every process of a host at once; nothing of it leaves the host."""
        self.link_down(host)
        gone = self._hosts.pop(host)
        os.kill(gone.init, signal.SIGKILL)
        _close(gone)
        with contextlib.suppress(subprocess.CalledProcessError):  # the kernel may have done it by now, or do it later
            self._in_network(f"link delete {host}")

    def restore(self, host: str) -> None:
        """A host as it was at first: its link up, and where its power was off a new boot without processes."""
        if host in self._hosts:
            self.link_up(host)
            return
        (self.folder / f"{host}.boot_id").write_text(f"{uuid.uuid4()}\n")
        into = _enter(self._switch.init, "--net", "--pid", "--mount")
        started = _start_init([*into, *_unshare("--uts")], host, str(self.folder), depth=2)
        self._hosts[host] = started
        self._in_network(
            f"link add {host} type veth peer name eth0 netns {started.init}", f"link set {host} master between up"
        )
        _ip(started.init, "link set lo up", f"addr add {self.address(host)}/24 dev eth0", "link set eth0 up")

    def _in_network(self, *commands: str) -> None:
        _ip(self._switch.init, *commands)


def address_of(names: Sequence[str], host: str) -> str:
    """Of one of the hosts."""
    return f"10.77.0.{names.index(host) + 1}"


def children_of(pid: int) -> list[int]:
    """The processes that one has started, oldest first; none where it has ended."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def missing() -> str:
    """Why there can be no lab here; "" where there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts are namespaces, which only root can make"
    if absent := not_installed(*PROGRAMS):
        return absent
    tried = subprocess.run([*_unshare("--uts"), "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


def not_installed(*programs: str) -> str:
    """Which program is not here, for a test's reason to be skipped; "" where all are."""
    return next((f"{name} is not installed" for name in programs if shutil.which(name) is None), "")


def skip_without(*programs: str) -> None:
    """Skip the test where one of these is not installed."""
    if absent := not_installed(*programs):
        pytest.skip(absent)


@contextlib.contextmanager
def three_hosts(folder: Path, names: Sequence[str] = NAMES) -> Iterator[Lab]:
    """Hosts that are connected and run nothing; at the end nothing of them is left.

    Skips the test where there can be none.

    Args:
        folder: an empty one for the lab's files.
        names: of the hosts.
    """
    why = missing()
    if why:
        pytest.skip(why)
    lines = ["127.0.0.1 localhost", *(f"{address_of(names, host)} {host}" for host in names)]
    (folder / "hosts").write_text("".join(f"{line}\n" for line in lines))
    switch = _start_init(_unshare(), depth=1)
    lab = Lab(folder, tuple(names), switch)
    try:
        _ip(switch.init, "link add between type bridge forward_delay 0", "link set between up")
        for host in names:
            lab.restore(host)
        yield lab
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(switch.init, signal.SIGKILL)
        for each in (*lab._hosts.values(), switch):
            _close(each)


def _unshare(*more: str) -> list[str]:
    return ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *more]


def _enter(init: int, *namespaces: str) -> list[str]:
    return ["nsenter", f"--target={init}", *namespaces]


def _start_init(words: Sequence[str], *arguments: str, depth: int) -> _Switch:
    """Start a first process and wait until it is up.

    Args:
        words: what makes its namespaces.
        arguments: its own.
        depth: how many processes of theirs stand between.
    """
    outer = subprocess.Popen(
        [*words, sys.executable, "-I", "-S", INIT, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert outer.stdout is not None
    said = outer.stdout.readline()
    if said != "up\n":
        _close(_Switch(outer, outer.pid))
        pytest.fail(f"{' '.join(arguments) or 'the network'} did not come up: {said}")
    init = outer.pid
    for _ in range(depth):
        (init,) = children_of(init)
    return _Switch(outer, init)


def _close(gone: _Switch) -> None:
    """Wait until the last process of a host has ended, and with it its namespaces."""
    for end in (gone.outer.stdin, gone.outer.stdout):
        assert end is not None
        end.close()
    try:
        gone.outer.wait(WAIT_S)
    except subprocess.TimeoutExpired:
        gone.outer.kill()
        gone.outer.wait()


def _ip(init: int, *commands: str) -> None:
    subprocess.run(
        [*_enter(init, "--net"), "ip", "-batch", "-"],
        input="".join(f"{command}\n" for command in commands), text=True, check=True, capture_output=True,
    )  # fmt: skip


def wait_for(what: str, is_so: object, seconds: float = WAIT_S) -> None:
    """Wait until a function says yes; a test whose wait is in vain fails with what it waited for.

    Args:
        what: for the failure's message.
        is_so: a function without arguments.
        seconds: how long at most.
    """
    assert callable(is_so)
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.05)
