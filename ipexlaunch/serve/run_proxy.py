"""Run HAProxy or nginx in front of the slots: its files, how it is started, and how it is told."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import ProxyError
from ipexlaunch.launch.supervise.server_interfaces import SideProgram
from ipexlaunch.machine.proc_files import descendants
from ipexlaunch.plan.plan import Instance
from ipexlaunch.report.live.serve_status import directories, made_directory
from ipexlaunch.serve.ask_proxy import HaproxySocket
from ipexlaunch.serve.check_ports import port_problem
from ipexlaunch.serve.endpoint import Endpoint, joined
from ipexlaunch.serve.find_proxy import Proxy, check_config
from ipexlaunch.serve.haproxy_config import WAIT_SCRIPT, haproxy_config
from ipexlaunch.serve.nginx_config import nginx_config
from ipexlaunch.serve.proxy_figures import EndpointFigures
from ipexlaunch.serve.slot_states import Traffic

QUIET = "-q"
"""HAProxy would print a warning of each change that it is told; whoever tells it says so already."""

SOCKET, CONFIG, SCRIPT, PID = "admin.sock", "proxy.cfg", "wait.lua", "nginx.pid"


def make_folder(environment: Mapping[str, str], user: int) -> str:
    """A directory of a proxy's own that nobody else can enter, where the runs of this user have their sockets.

    Args:
        environment: the launcher's.
        user: numeric id.

    Raises:
        ProxyError: none can be made.
    """
    problems = []
    for directory in directories(environment, user):
        try:
            if problem := made_directory(directory, user):
                problems.append(problem)
                continue
            return tempfile.mkdtemp(prefix="proxy-", dir=directory)
        except OSError as error:
            problems.append(f"{directory}: {error.strerror}")
    raise ProxyError("keep the files of the proxy", "; ".join(problems), "set XDG_RUNTIME_DIR to a directory of yours")


def remove_folder(folder: str) -> None:
    """Remove what `make_folder` has made, with everything in it.

    Args:
        folder: its path.
    """
    shutil.rmtree(folder, ignore_errors=True)


class HaproxyFrontend:
    """HAProxy, which is told over its admin socket and tells what is with each slot."""

    has_figures = True
    reload_signal: int = 0
    soft_stop_signal: int = 0

    def __init__(self, proxy: Proxy, endpoint: Endpoint, folder: str, instance: Instance) -> None:
        """Write its files, and have it read them.

        Args:
            proxy: the program.
            endpoint: what it is to do; its socket and script are made here.
            folder: of its own.
            instance: where it runs.

        Raises:
            IpexLaunchError: it refuses them.
        """
        path, script = os.path.join(folder, SOCKET), os.path.join(folder, SCRIPT)
        endpoint = replace(endpoint, admin_socket=path, wait_script=script if proxy.has_lua else None)
        config = os.path.join(folder, CONFIG)
        write_file(script, WAIT_SCRIPT)
        write_file(config, haproxy_config(endpoint))
        check_config(proxy, config, folder)
        self._socket = HaproxySocket(path)
        self._address, self._port = endpoint.address, endpoint.port
        self._indices = [slot.index for slot in endpoint.slots]
        self.where = joined(endpoint.address, endpoint.port)
        words = (*proxy.words(config, folder), QUIET)
        self.side = SideProgram(name="proxy", argv=words, environment={}, instance=instance)

    def tell(self, traffic: Sequence[Traffic]) -> None:
        """Have it treat the slots so."""
        for index, each in zip(self._indices, traffic, strict=True):
            self._socket.set_state(index, each)

    def has_settled(self) -> bool:
        """It has: what is with each slot stands in its figures."""
        return True

    def hindrance(self) -> str:
        """Why it cannot listen; "" where it can."""
        return port_problem(self._address, self._port)

    def stop_softly(self) -> None:
        """Have it take nothing new."""
        self._socket.stop_softly()

    def figures(self) -> EndpointFigures:
        """What it has counted."""
        return self._socket.figures()


class NginxFrontend:
    """nginx, which reads its configuration again at a signal, and has no figures."""

    has_figures = False
    reload_signal: int = signal.SIGHUP
    soft_stop_signal: int = signal.SIGQUIT

    def __init__(self, proxy: Proxy, endpoint: Endpoint, folder: str, instance: Instance, user: str | None) -> None:
        """Write its configuration, and have it read that.

        Args:
            proxy: the program.
            endpoint: what it is to do.
            folder: of its own.
            instance: where it runs.
            user: who its workers are; None where it is not started by root.

        Raises:
            IpexLaunchError: it refuses it.
        """
        self._endpoint, self._user, self._config = endpoint, user, os.path.join(folder, CONFIG)
        self._pid_file = os.path.join(folder, PID)
        self._away: frozenset[int] | None = None
        self._leaving: frozenset[int] = frozenset()
        """Those of its processes that have read an older configuration than the last."""
        self._write(["maint"] * len(endpoint.slots))
        check_config(proxy, self._config, folder)
        self.where = joined(endpoint.address, endpoint.port)
        words = tuple(proxy.words(self._config, folder))
        self.side = SideProgram(name="proxy", argv=words, environment={}, instance=instance)

    def tell(self, traffic: Sequence[Traffic]) -> None:
        """Write down which slots get requests; it reads that at its signal.

        Raises:
            ProxyError: it has only just been started, and the signal would end it.
        """
        workers = nginx_workers(self._pid_file)
        if not workers:
            raise ProxyError(f"tell nginx at {self.where} of its servers", "it does not work yet", "wait a moment")
        if self._write(traffic):
            self._leaving = workers

    def _write(self, traffic: Sequence[Traffic]) -> bool:
        """Whether it is another configuration than before."""
        slots = zip(self._endpoint.slots, traffic, strict=True)
        away = frozenset(slot.index for slot, each in slots if each != "ready")
        is_new = away != self._away
        write_file(self._config, nginx_config(self._endpoint, away, self._user))
        self._away = away
        return is_new

    def has_settled(self) -> bool:
        """Whether the last of those that read an older configuration has finished its requests and ended."""
        workers = nginx_workers(self._pid_file)
        return bool(workers) and not workers & self._leaving

    def hindrance(self) -> str:
        """Why it cannot listen; "" where it can."""
        return port_problem(self._endpoint.address, self._endpoint.port)

    def stop_softly(self) -> None:
        """Its signal does."""

    def figures(self) -> EndpointFigures:
        """It has none."""
        return EndpointFigures(slots=(), in_flight=0, requests=0, refused=0, retries=0, moved=0, failed=0)


def nginx_workers(pid_file: str) -> frozenset[int]:
    """The processes of nginx that do its work; none where it has not come so far that it takes signals.

    It holds signals back before it starts the first of them, and takes them one by one from then on; before, SIGHUP
    would end it.

    Args:
        pid_file: where it writes its process id.

    Source: ngx_master_process_cycle of nginx's src/os/unix/ngx_process_cycle.c.
    """
    try:
        with open(pid_file, encoding="ascii") as file:
            return frozenset(descendants(int(file.read())))
    except (FileNotFoundError, ValueError):  # it has not written it yet
        return frozenset()
