"""Serving: endpoints that are none, ports that are taken, servers that cannot be probed, proxies that do not answer."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipexlaunch.cli.serve.control import find_service
from ipexlaunch.cli.serve.start import proxy_cpus
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan.plan import Instance, Request
from ipexlaunch.plan.planner import make_plan
from ipexlaunch.report.live.status import write_status
from ipexlaunch.serve.ask_proxy import HaproxySocket
from ipexlaunch.serve.control import ask_service, control_path
from ipexlaunch.serve.endpoint import Endpoint, Slot
from ipexlaunch.serve.find_proxy import Proxy, check_config, find_proxy
from ipexlaunch.serve.haproxy_config import BACKEND, FRONTEND, SERVER
from ipexlaunch.serve.proxy_figures import read_show_stat
from ipexlaunch.serve.run_proxy import NginxFrontend, make_folder
from tests.errors.provoke import Row
from tests.report.live.snapshots import IDENTITY, eventful

PLACES = ("serve/", "cli/serve", "cli/options/serve")

A = {"a.py": ""}
SERVE = "serve --dry-run --ninstances 1"
NOBODY = 2**31 - 7
"""A user that there is not."""
SLOTS = (Slot(index=0, port=29500),)


def _endpoint(**changes: Any) -> Endpoint:
    given: dict[str, Any] = {
        "address": "127.0.0.1", "port": 8000, "slots": SLOTS, "balance": "leastconn", "health_path": None,
        "affinity_header": None, "threads": 1, "drain_s": 1.0, "probe_interval_s": 1.0, "probe_timeout_s": 1.0,
        "probe_failures": 1, "admin_socket": None, "wait_script": None, "wait_s": 1.0,
    }  # fmt: skip
    return Endpoint(**{**given, **changes})


def endpoint(name: str, **changes: Any) -> Row:
    """An endpoint with something that no proxy could be told."""
    return Row(_endpoint(**changes).check, name=f"Endpoint.check({name})")


@contextmanager
def answering(path: str, answer: bytes | None, *, asked_first: bool = True) -> Iterator[None]:
    """Somebody who answers one question so; None: not at all. Some say it to whoever comes."""
    done = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()

        def answer_once() -> None:
            with listener.accept()[0] as line:
                if asked_first:
                    line.recv(4096)
                if answer is None:
                    done.wait(30)
                else:
                    line.sendall(answer)

        thread = threading.Thread(target=answer_once)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def asked(answer: bytes | None, name: str) -> Row:
    """A launcher that answers so."""

    def act() -> None:
        with answering(control_path("s.sock"), answer):
            ask_service("s.sock", {"do": "stand"})

    return Row(act, name=f"ask_service({name})")


def told(answer: bytes | None, name: str) -> Row:
    """A proxy that answers so."""

    def act() -> None:
        with answering("p.sock", answer):
            HaproxySocket("p.sock", 0.2).set_state(0, "ready")

    return Row(act, name=f"HaproxySocket.set_state({name})")


def program(script: str, act: Callable[[], object], name: str) -> Row:
    """A program in place of the proxy."""
    return Row(act, {"bin/haproxy": f"#!/bin/sh\n{script}\n"}, before=lambda: os.chmod("bin/haproxy", 0o755), name=name)


def _found() -> None:
    find_proxy("haproxy", ["bin"])


def _nginx_that_has_just_begun() -> None:
    proxy = Proxy(name="nginx", path="bin/haproxy", version="1.22.1", has_lua=False)
    instance = Instance(index=0, cpus=frozenset({0}), nodes=frozenset(), memory="none", threads=1)
    NginxFrontend(proxy, _endpoint(), ".", instance, None).tell(["ready"])


def _checked() -> None:
    check_config(Proxy(name="haproxy", path="bin/haproxy", version="2.6.12", has_lua=True), "proxy.cfg")


def _stat(*rows: str) -> Row:
    text = "\n".join(["# pxname,svname,scur,req_tot", *rows])
    return Row(lambda: read_show_stat(text), name=f"read_show_stat({len(rows)} rows)")


def _steer(run: str | None) -> None:
    """Two services, as far as their sockets tell."""
    os.makedirs("r/ipexlaunch", 0o700)
    os.environ["XDG_RUNTIME_DIR"] = os.path.abspath("r")
    with ExitStack() as services:
        for pid in (4711, 4712):
            path = f"r/ipexlaunch/{pid}-abcdef.sock"
            status = write_status(replace(IDENTITY, pid=pid), eventful()[0]).encode()
            services.enter_context(answering(path, status, asked_first=False))
            Path(control_path(path)).touch()
        find_service(run)


def _no_folder() -> None:
    """Another user's."""
    try:
        make_folder({"XDG_RUNTIME_DIR": "f"}, NOBODY)
    finally:
        with suppress(OSError):
            os.rmdir(f"/tmp/ipexlaunch-{NOBODY}")


def _taken_port() -> None:
    from ipexlaunch.serve.check_ports import refuse_taken_ports

    with socket.create_server(("127.0.0.1", 0)) as taken:
        refuse_taken_ports({("127.0.0.1", taken.getsockname()[1]): "the endpoint"})


def _address(host: str) -> Row:
    from ipexlaunch.serve.check_ports import refuse_taken_ports

    return Row(lambda: refuse_taken_ports({(host, 29500): "instance 0"}), name=f"refuse_taken_ports({host})")


def _proxy_without_cpus() -> None:
    machine = synthetic_machine("1s 2c")
    proxy_cpus(make_plan(machine, Request(ninstances=2)), machine, 1)


ROWS = [
    # what is served
    Row("serve"),
    Row(lambda: _steer("4713"), name="find_service(another's process id)"),
    Row(lambda: _steer(None), name="find_service(two services)"),
    Row(f"{SERVE} a.py", A),
    Row(f"{SERVE} --ready-when output:( a.py", A),
    Row(f"{SERVE} --ready-when http://h:x/ a.py", A),
    Row(f"{SERVE} --ready-when ftp://h a.py", A),
    Row(f"{SERVE} --ready-when tcp://:1 a.py", A),
    Row(f"{SERVE} --ready-when tcp://u@h:1 a.py", A),
    Row(f"{SERVE} --ready-when tcp://h a.py", A),
    Row(f"{SERVE} --ready-when 'http://h/ä' a.py", A),
    Row(f"{SERVE} --preset llama-server ./a.py --numa isolate", A, before=lambda: os.chmod("a.py", 0o755)),
    Row(f"{SERVE} --preset vllm --ncores-per-instance 1 ./a.py", A, before=lambda: os.chmod("a.py", 0o755)),
    # endpoints
    *(
        Row(f"{SERVE} --endpoint {text} --ready-when tcp://h:1 a.py {{port}}", A)
        for text in ("8000", "127.0.0.1:0", "myhost:8000", "[127.0.0.1]:8000")
    ),
    Row(f"{SERVE} --endpoint 127.0.0.1:8000 --ready-when output:up a.py", A),
    endpoint("no slot", slots=()),
    endpoint("port 0", port=0),
    endpoint("a port twice", port=29500),
    endpoint("no header", affinity_header="a b"),
    endpoint("no path", health_path="x"),
    endpoint("a line break", wait_script="a\nb"),
    endpoint("a long path", admin_socket="x" * 200),
    Row(_taken_port, name="refuse_taken_ports(one that is taken)"),
    _address("no.such.host.invalid"),
    _address("192.0.2.1"),
    Row(_proxy_without_cpus, name="proxy_cpus(none is idle)"),
    # the proxy
    Row(lambda: find_proxy("haproxy", ["nowhere"]), name="find_proxy(none)"),
    program("echo odd", _found, "find_proxy(no version)"),
    program("echo HAProxy version 1.8.0", _found, "find_proxy(an old one)"),
    program("echo broken >&2; exit 1", _checked, "check_config(refused)"),
    program("exit 0", _nginx_that_has_just_begun, "NginxFrontend.tell(before it takes signals)"),
    Row(_checked, {"bin/haproxy": ""}, name="check_config(not executable)"),
    told(b"No such server.\n", "no such server"),
    told(None, "no answer"),
    Row(lambda: HaproxySocket("p.sock", 0.2).set_state(0, "ready"), name="HaproxySocket.set_state(nobody)"),
    _stat(),
    _stat(f"{FRONTEND},FRONTEND,0,1", f"{BACKEND},BACKEND,0,1", f"{BACKEND},{SERVER}x,0,1"),
    _stat(f"{FRONTEND},FRONTEND,0,1", f"{BACKEND},BACKEND,0,1"),
    Row(_no_folder, {"f": ""}, name="make_folder(another's)"),
    # the launcher
    asked(None, "no answer"),
    asked(b"odd", "no JSON"),
    asked(b'{"problem": "there is no slot 7"}', "a refusal"),
    Row(lambda: ask_service("s.sock", {"do": "stand"}), name="ask_service(nobody)"),
]

ELSEWHERE = {
    "none of yours runs on this host":
        "tests/serve/test_steering.py::test_without_a_service_every_command_says_how_to_start_one",
}  # fmt: skip
UNSHOWN = {
    "says nothing for {ANSWER_S} seconds": "ten seconds of waiting",
    "be steered over {self.path}": "its directory has just taken the status socket",
}
