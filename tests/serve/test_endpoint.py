"""What an endpoint may be: addresses that people type, and values that no proxy could be told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.errors import RequestError
from ipexlaunch.serve.endpoint import Endpoint, Slot, joined, parse_endpoint, reached_at
from tests.serve.stand import endpoint_of

ENDPOINT = endpoint_of(8000, (Slot(index=0, port=9000), Slot(index=1, port=9001)))


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        ("localhost:80", "127.0.0.1", 80),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
        ("[::1]:8000", "::1", 8000),
        ("[0:0::0:1]:1", "::1", 1),
    ],
)
def test_an_endpoint_is_an_address_and_a_port(text: str, address: str, port: int) -> None:
    assert parse_endpoint(text) == (address, port)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("8000", "an address and a port"),
        ("127.0.0.1", "an address and a port"),
        (":8000", "an address and a port"),
        ("::1:8000", "an address and a port"),
        ("[::1]", "an address and a port"),
        ("[::1:8000", "an address and a port"),
        ("", "an address and a port"),
        ("127.0.0.1:", "'' is no port"),
        ("127.0.0.1:0", "'0' is no port"),
        ("127.0.0.1:65536", "'65536' is no port"),
        ("127.0.0.1:+80", "'+80' is no port"),
        ("127.0.0.1:٨٠", "is no port"),
        ("example.org:80", "'example.org' is no numeric address"),
        ("*:80", "'*' is no numeric address"),
        ("[127.0.0.1]:80", "brackets"),
        ("127.0.0.1\n:80", "no numeric address"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_one_that_is(text: str, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_endpoint(text)
    assert problem in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        (replace(ENDPOINT, slots=()), "there is no slot"),
        (replace(ENDPOINT, port=0), "port 0 is none"),
        (replace(ENDPOINT, slots=(Slot(index=0, port=65536),)), "port 65536 is none"),
        (replace(ENDPOINT, port=9001), "127.0.0.1:9001 is asked for twice"),
        (replace(ENDPOINT, slots=(Slot(index=0, port=9000), Slot(index=1, port=9000))), "9000 is asked for twice"),
        (replace(ENDPOINT, address="0.0.0.0", port=9001), "127.0.0.1:9001 is asked for twice"),
        (replace(ENDPOINT, affinity_header="X Session"), "'X Session' is no name of a header"),
        (replace(ENDPOINT, affinity_header="X),sha1\n stick"), "is no name of a header"),
        (replace(ENDPOINT, affinity_header=""), "'' is no name of a header"),
        (replace(ENDPOINT, health_path="health"), "'health' is no path"),
        (replace(ENDPOINT, health_path="/a b"), "'/a b' is no path"),
        (replace(ENDPOINT, health_path="/a\n"), "is no path"),
        (replace(ENDPOINT, admin_socket="/run/a\nb"), "has a line break"),
        (replace(ENDPOINT, admin_socket=f"/run/{'ä' * 50}"), "has 105 bytes"),
    ],
)
def test_values_that_no_proxy_could_be_told_are_refused(endpoint: Endpoint, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        endpoint.check()
    assert problem in str(caught.value)
    assert caught.value.hint


def test_addresses_are_written_as_urls_have_them() -> None:
    assert joined("127.0.0.1", 80) == "127.0.0.1:80"
    assert joined("::1", 80) == "[::1]:80"


@pytest.mark.parametrize(
    ("probed", "address"),
    [("::1", "::1"), ("10.0.0.5", "10.0.0.5"), ("localhost", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")],
)
def test_a_server_is_reached_where_it_is_probed(probed: str, address: str) -> None:
    assert reached_at(probed) == address
