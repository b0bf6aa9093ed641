"""What says that a server is ready, in words and over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ipexlaunch.errors import RequestError
from ipexlaunch.plan.plan import Instance
from ipexlaunch.serve.probe_servers import ask
from ipexlaunch.serve.probes import Probe, is_well, read_ready_rule, read_url

INSTANCE = Instance(index=2, cpus=frozenset({4}), nodes=frozenset({0}), threads=1)


def test_the_port_of_the_program_is_probed_where_nothing_is_said() -> None:
    rule = read_ready_rule(None, ("server.py", "--port={port}"))
    assert rule.probe_of(INSTANCE, 4, 8000) == Probe(kind="tcp", host="127.0.0.1", port=8002)


def test_templates_stand_for_the_instances_own() -> None:
    rule = read_ready_rule("http://127.0.0.1:{port}/health?slot={index}", ("server.py",))
    probe = rule.probe_of(INSTANCE, 4, 8000)
    assert (probe.port, probe.target, probe.text) == (8002, "/health?slot=2", "http://127.0.0.1:8002/health?slot=2")


def test_a_line_of_the_output_may_say_it() -> None:
    rule = read_ready_rule("output:listening on .*:[0-9]+$", ("server",))
    assert rule.line is not None
    assert rule.line.search("INFO listening on [::]:80")
    assert not rule.url


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://127.0.0.1:{port}/", "it is neither http:// nor tcp://, nor output:"),
        ("127.0.0.1:{port}", "it is neither http:// nor tcp://, nor output:"),
        ("http://:{port}/", "it names no host"),
        ("tcp://127.0.0.1", "tcp:// has a host and a port, and nothing else"),
        ("tcp://127.0.0.1:{port}/health", "tcp:// has a host and a port, and nothing else"),
        ("http://127.0.0.1:99999/", "Port out of range"),
        ("http://user@127.0.0.1:80/", "a probe has no user and no fragment"),
        ("http://127.0.0.1:80/a b", "its path has characters that stand in no URL"),
        ("output:(", "it is no regular expression"),
    ],
)
def test_what_cannot_be_probed_is_refused_with_what_would_work(text: str, told: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_ready_rule(text, ())
    assert told in str(caught.value)
    assert caught.value.hint


def test_without_a_port_and_without_a_word_nobody_could_know() -> None:
    with pytest.raises(RequestError, match=r"cannot know when a server is ready: the program is not given {port}"):
        read_ready_rule(None, ("server.py",))


def test_only_2xx_is_well() -> None:
    assert [is_well(status) for status in (199, 200, 204, 299, 302, 404, 503)] == [
        False, True, True, True, False, False, False,
    ]  # fmt: skip


class Answers(BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_server_is_asked_over_http(port: int) -> None:
    assert ask(read_url(f"http://127.0.0.1:{port}/204"), 2.0) == ""
    assert ask(read_url(f"http://127.0.0.1:{port}/503"), 2.0) == f"http://127.0.0.1:{port}/503 answered 503"
    assert ask(read_url(f"tcp://127.0.0.1:{port}"), 2.0) == ""


def test_what_is_no_answer_is_said() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        number = bound.getsockname()[1]
        assert ask(read_url(f"tcp://127.0.0.1:{number}"), 2.0) == f"tcp://127.0.0.1:{number}: Connection refused"
        bound.listen()
        url = f"http://127.0.0.1:{number}/"
        assert ask(read_url(url), 0.2) == f"no answer from {url} within 0.2 s"


def test_what_does_not_speak_http_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-x\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert ask(read_url(url), 2.0) == f"{url} does not speak HTTP: BadStatusLine"
        thread.join()


@pytest.mark.parametrize(
    ("begin", "drops", "told"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", "no answer from http://127.0.0.1:%d/ within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"data: x\n\n", ""),
        (b"HTTP/1.1 503 No\r\n\r\n", b"data: x\n\n", "http://127.0.0.1:%d/ answered 503"),
    ],
    ids=["headers that trickle", "a body without end", "a body without end of one that is not well"],
)
def test_an_answer_that_trickles_holds_no_probe_for_long(begin: bytes, drops: bytes, told: str) -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # whoever asks has gone
                connection.recv(1 << 16)
                connection.sendall(begin)
                while not over.wait(0.05):
                    connection.sendall(drops)

        thread = threading.Thread(target=trickle)
        thread.start()
        port = listener.getsockname()[1]
        said = ask(Probe(kind="http", host="127.0.0.1", port=port, target="/"), 0.3)
        over.set()
        thread.join()
    assert said == (told % port if told else "")
