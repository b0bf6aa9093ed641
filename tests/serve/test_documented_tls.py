"""The configuration that docs/serve.md shows for TLS and keys: HAProxy takes it, and lets in who has the key."""

from __future__ import annotations

import contextlib
import http.server
import re
import shutil
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.examples.run_examples import ROOT
from tests.examples.test_servers import free_ports


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def status_of(url: str, context: ssl.SSLContext, key: str) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.process
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_who_has_the_key_is_let_in(tmp_path: Path) -> None:
    page = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
    found = re.search(r"```\n(frontend tls\n.*?)```", page, re.DOTALL)
    assert found
    (port,) = free_ports(1)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "both.pem").write_text((tmp_path / "cert.pem").read_text() + (tmp_path / "key.pem").read_text())
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as endpoint:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        text = found[1].replace("/etc/haproxy/both.pem", str(tmp_path / "both.pem"))
        text = text.replace("bind :443", f"bind 127.0.0.1:{port}")
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{endpoint.server_address[1]}")
        (tmp_path / "haproxy.cfg").write_text(text)
        checked = subprocess.run(
            ["haproxy", "-c", "-f", "haproxy.cfg"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
        assert "WARNING" not in checked.stderr
        with subprocess.Popen(["haproxy", "-db", "-f", "haproxy.cfg"], cwd=tmp_path) as proxy:
            try:
                url = f"https://localhost:{port}/"
                while True:
                    with contextlib.suppress(urllib.error.URLError):
                        assert status_of(url, context, "wrong") == 401
                        break
                    assert proxy.poll() is None
                    time.sleep(0.05)
                assert status_of(url, context, "MY-KEY") == 200
            finally:
                proxy.kill()
        endpoint.shutdown()
