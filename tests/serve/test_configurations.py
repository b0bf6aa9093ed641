"""What is written for a proxy is what the proxy reads, and where it does not, its complaint comes as one line."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.errors import LaunchError, ProxyError
from ipexlaunch.serve.endpoint import Balance, Endpoint, Slot
from ipexlaunch.serve.find_proxy import ProxyName, check_config, find_proxy
from ipexlaunch.serve.haproxy_config import WAIT_SCRIPT, haproxy_config
from ipexlaunch.serve.nginx_config import nginx_config
from tests.serve.stand import endpoint_of, free_ports, need

ODD = "a 'b\"c#d$e\\f{g}"
"""A name of a folder."""


def endpoints(folder: Path) -> list[Endpoint]:
    """One of each kind."""
    script = folder / "wait.lua"
    script.write_text(WAIT_SCRIPT, encoding="utf-8")
    made = []
    balances: tuple[Balance, ...] = ("leastconn", "roundrobin", "random")
    kinds = itertools.product(balances, (None, "/v1/health?deep=1"), (None, "X-Session"), (True, False), (2, 16))
    for balance, path, header, is_managed, count in kinds:
        slots = tuple(Slot(index=n, port=9000 + n, host="::1" if n % 2 else "127.0.0.1") for n in range(count))
        endpoint = replace(
            endpoint_of(free_ports(1)[0], slots, "::1" if path else "127.0.0.1"),
            balance=balance,
            health_path=path,
            affinity_header=header,
            threads=2,
            admin_socket=str(folder / "admin.sock") if is_managed else None,
            wait_script=str(script) if is_managed else None,
        )
        made.append(endpoint)
    return made


@pytest.mark.proxy
@pytest.mark.parametrize("name", ["haproxy", "nginx"])
def test_the_proxy_reads_what_is_written_for_it(request: pytest.FixtureRequest, name: ProxyName) -> None:
    need(name)
    # Not in tmp_path: a socket's path has 90 bytes at most.
    folder = Path(tempfile.mkdtemp(dir="/tmp")) / ("f" if name == "nginx" else ODD)
    request.addfinalizer(lambda: shutil.rmtree(folder.parent))
    folder.mkdir()
    proxy = find_proxy(name)
    path = folder / "proxy.cfg"
    for endpoint in endpoints(folder):
        text = haproxy_config(endpoint) if name == "haproxy" else nginx_config(endpoint, frozenset({1}))
        path.write_text(text, encoding="utf-8")
        check_config(proxy, str(path), str(folder))


@pytest.mark.proxy
@pytest.mark.parametrize(("name", "complaint"), [("haproxy", "unknown keyword 'nonsense;'"), ("nginx", '"nonsense"')])
def test_what_it_does_not_read_is_said_in_one_line(tmp_path: Path, name: ProxyName, complaint: str) -> None:
    need(name)
    path = tmp_path / "proxy.cfg"
    path.write_text("nonsense;\n", encoding="utf-8")
    with pytest.raises(ProxyError) as caught:
        check_config(find_proxy(name), str(path), str(tmp_path))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_slots_that_are_drained_are_down_for_nginx() -> None:
    slots = (Slot(index=0, port=9000), Slot(index=1, port=9001))
    endpoint = endpoint_of(8000, slots)
    down = [line for line in nginx_config(endpoint, frozenset({1})).splitlines() if line.endswith(" down;")]
    assert [line.split()[1] for line in down] == ["127.0.0.1:9001"]
    assert " down;" not in nginx_config(endpoint)


def test_nothing_is_said_of_a_launcher_where_there_is_none() -> None:
    endpoint = endpoint_of(8000, (Slot(index=0, port=9000),))
    text = haproxy_config(endpoint)
    assert "stats socket" not in text
    assert "disabled" not in text
    assert "lua" not in text


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("HAProxy version 2.2.9-2 2021/02/06", "is 2.2.9; 2.4 or later"),
        ("I am no proxy", "does not say its version"),
        (None, "there is no program haproxy"),
    ],
)
def test_a_proxy_that_will_not_do_is_refused_with_what_would(tmp_path: Path, says: str | None, problem: str) -> None:
    if says is not None:
        program = tmp_path / "haproxy"
        program.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
        program.chmod(0o755)
    with pytest.raises(LaunchError) as caught:
        find_proxy("haproxy", [str(tmp_path)])
    assert problem in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("says", "version", "has_lua"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nFeature list : +LUA", "2.6.12", True),
        ("HA-Proxy version 2.4.22-0ubuntu0.22.04.3 2023/12/04", "2.4.22", False),
        ("HAProxy version 3.0-dev5-1 2024/01/01\nFeature list : -LUA", "3.0", False),
    ],
)
def test_its_version_is_read(tmp_path: Path, says: str, version: str, has_lua: bool) -> None:
    program = tmp_path / "haproxy"
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{says}\nE\n", encoding="utf-8")
    program.chmod(0o755)
    found = find_proxy("haproxy", [str(tmp_path)])
    assert (found.version, found.has_lua, found.path) == (version, has_lua, str(program))
