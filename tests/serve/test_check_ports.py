"""Ports that are taken are told before anything is started, with who holds them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ipexlaunch.errors import RequestError
from ipexlaunch.serve.check_ports import port_problem, refuse_taken_ports
from tests.serve.stand import free_ports


def test_free_ports_are_free_and_stay_so() -> None:
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):
        (port,) = free_ports(1)
        for _ in range(2):
            refuse_taken_ports({(host, port): "instance 0"})
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_somebody_listens_on_is_refused_with_who_does(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RequestError) as caught:
            refuse_taken_ports({(host, port): "instance 3"})
    text, name = str(caught.value), Path("/proc/self/comm").read_text().strip()
    assert f"have instance 3 listen on {host}" in text
    assert f"port {port} is taken by process {os.getpid()} ({name})" in text
    assert "--port" in text


def test_the_first_that_is_taken_is_named_and_the_endpoints_option_is_its_own() -> None:
    (free,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        places = {("127.0.0.1", free): "instance 0", ("127.0.0.1", taken.getsockname()[1]): "the endpoint"}
        with pytest.raises(RequestError, match="have the endpoint listen") as caught:
            refuse_taken_ports(places)
    assert "--endpoint" in str(caught.value)


def test_why_a_port_is_not_free_is_said_in_a_few_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert port_problem("127.0.0.1", port).startswith(f"port {port} is taken by process {os.getpid()} (")
    assert port_problem("127.0.0.1", port) == ""


def test_a_port_of_ip_version_6_is_looked_at_too() -> None:
    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this host has no IPv6")
    with taken, pytest.raises(RequestError, match=f"is taken by process {os.getpid()} "):
        refuse_taken_ports({("::1", taken.getsockname()[1]): "instance 0"})


def test_a_port_that_was_left_a_moment_ago_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # this side is first: its port waits (TIME_WAIT)
            assert client.recv(1) == b""
    refuse_taken_ports({("127.0.0.1", port): "instance 0"})


@pytest.mark.parametrize(
    ("host", "told"), [("192.0.2.1", "an address of this host"), ("no such host", "give a numeric address")]
)
def test_an_address_that_is_not_this_hosts_is_refused(host: str, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        refuse_taken_ports({(host, 65000): "the endpoint"})
