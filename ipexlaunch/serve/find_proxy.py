"""Finds the proxy on this machine, and has it check what was written for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ipexlaunch.errors import LaunchError, ProxyError

ProxyName = Literal["haproxy", "nginx"]

ALSO_IN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian puts both; the PATH of an ordinary user leaves these out."""

ANSWER_S = 10.0
"""For a proxy to say its version or to check a file, on a machine whose cpus are all busy."""

OLDEST: dict[ProxyName, tuple[int, int]] = {"haproxy": (2, 4), "nginx": (1, 20)}
"""With every directive that is written: HAProxy's `lua-load-per-thread` came with 2.4, nginx's `-e` with 1.19.5."""

OTHER: dict[ProxyName, str] = {"haproxy": "nginx", "nginx": "haproxy"}


_COMPLAINT = re.compile(r"\[(?:ALERT|emerg|alert)\] *(?:\(\d+\) *|\d+#\d+)?: *(.*)")
"""Of HAProxy and of nginx, with a process id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One proxy that is installed here."""

    name: ProxyName
    path: str
    version: str
    """Such as "2.6.12"."""
    has_lua: bool
    """Whether requests can wait for a slot in it (`WAIT_SCRIPT`)."""

    def words(self, config: str, folder: str) -> list[str]:
        """The command that runs it in the foreground, which ends it on SIGTERM and softly on its own signal.

        HAProxy stops softly on SIGUSR1, nginx on SIGQUIT (and reads its configuration again on SIGHUP).

        Args:
            config: the file with its configuration.
            folder: where nginx puts the files that it writes.
        """
        if self.name == "nginx":
            return [self.path, "-p", folder, "-c", os.path.abspath(config), "-e", "stderr"]
        return [self.path, "-db", "-f", config]


def find_proxy(name: ProxyName, places: Sequence[str] | None = None) -> Proxy:
    """The proxy of this name that is on PATH, or where systems put it for root.

    Args:
        name: which.
        places: directories to look in; None for those of PATH and of systems.

    Raises:
        LaunchError: there is none, it does not run, or it is too old.
    """
    wanted = f"serve at one endpoint through {name}"
    if places is None:
        places = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *ALSO_IN]
    path = shutil.which(name, path=os.pathsep.join(places))
    package = "nginx-light" if name == "nginx" else name
    hint = f"apt-get install {package}, dnf install {name}, or --proxy {OTHER[name]}"
    if path is None:
        raise LaunchError(wanted, f"there is no program {name} on PATH, or in {' or '.join(ALSO_IN)}", hint)
    code, said = _said([path, "-vv"] if name == "haproxy" else [path, "-v"], wanted, path)
    found = re.search(r"(?:HA-?Proxy version |nginx/)(\d+)\.(\d+)[\d.]*", said)
    if code or found is None:
        raise LaunchError(wanted, f"{path} does not say its version, but {_first(said)!r}", hint)
    version = found[0].rpartition("/")[2].rpartition(" ")[2].rstrip(".")
    if (int(found[1]), int(found[2])) < OLDEST[name]:
        raise LaunchError(wanted, f"{path} is {version}", f"{'.'.join(map(str, OLDEST[name]))} or later would do")
    return Proxy(name=name, path=path, version=version, has_lua="+LUA" in said)


def check_config(proxy: Proxy, config: str, folder: str = ".") -> None:
    """Have the proxy read the file, as its start would; no port is opened.

    Args:
        proxy: whose configuration it is.
        config: the file.
        folder: see `Proxy.words`.

    Raises:
        ProxyError: what it says is wrong, in one line.
    """
    wanted = f"serve at one endpoint through {proxy.name}"
    words = proxy.words(config, folder)
    code, said = _said([words[0], "-t" if proxy.name == "nginx" else "-c", *words[1:]], wanted, proxy.path)
    if code:
        raise ProxyError(wanted, f"it refuses {config}: {_first(said)}", f"{proxy.name} {proxy.version} reads it")


def _said(words: list[str], wanted: str, path: str) -> tuple[int, str]:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=ANSWER_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LaunchError(wanted, f"{path} says nothing for {ANSWER_S:g} seconds", "the machine may be busy") from None
    except OSError as error:
        raise LaunchError(wanted, f"{path}: {error.strerror}", "it must be a program that may be run") from error
    return done.returncode, done.stdout.decode("utf-8", "replace")


def _first(said: str) -> str:
    """The complaint that names the mistake: HAProxy says more about it below, nginx before."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    grave = [found[1] for line in lines if (found := _COMPLAINT.search(line))]
    return (grave or lines or ["without a word"])[0]
