"""`ipexlaunch serve status|drain|reload|stop` on services that run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.launched import Launched, launched, ours
from tests.serve.load.service import ask
from tests.serve.stand import SERVER, need
from tests.several_hosts.lab import wait_for

pytestmark = [pytest.mark.process, pytest.mark.proxy]

REQUEST_ERROR, INCOMPLETE = 2, 4

UNWILLING = f"""
import os, runpy, sys
if os.path.exists(sys.argv.pop()):
    sys.exit("it finds no model any more")
sys.argv[0] = {SERVER!r}
runpy.run_path({SERVER!r}, run_name="__main__")
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Launched]:
    need("haproxy")
    with launched(tmp_path) as made:
        yield made


def steered(*words: str, code: int = 0) -> str:
    """What one of the commands has printed."""
    done = ours("serve", *words)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def states(*words: str) -> list[str]:
    """Of the slots, by `serve status --json`."""
    return [each["state"] for each in document(*words)["slots"]]


def document(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(steered("status", "--json", *words))
    return found


def test_status_is_for_people_and_for_programs(service: Launched) -> None:
    text = steered("status")
    assert f"launcher {service.launcher.pid}: " in text
    assert f"endpoint 127.0.0.1:{service.endpoint}" in text
    assert [line for line in text.splitlines() if re.fullmatch(r"\[[01]\] up, 0 in flight, 0 restarts", line)]
    found = document()
    assert (found["schema"], found["pid"]) == ("ipexlaunch/service/1", service.launcher.pid)
    assert (found["endpoint"], found["stopping"], found["reloading"], found["reloads"]) == (
        f"127.0.0.1:{service.endpoint}", False, False, 0,
    )  # fmt: skip
    assert [(each["index"], each["state"], each["restarts"]) for each in found["slots"]] == [
        (0, "up", 0),
        (1, "up", 0),
    ]


def test_a_drained_slot_gets_nothing_until_it_is_reloaded_by_whatever_name_the_service_is_called(
    service: Launched,
) -> None:
    before = service.pids()
    assert "[0] drained" in steered("drain", "0", str(service.run_dir))
    assert service.pids() == [None, before[1]]
    assert {ask(service.endpoint, "/who") for _ in range(4)} == {"slot1"}
    assert states(str(service.launcher.pid)) == ["drained", "up"]
    text = steered("reload", "--slot", "0", str(service.launcher.pid))
    assert "[0] up" in text
    after = service.pids()
    assert (after[1], None not in after) == (before[1], True)
    assert {ask(service.endpoint, "/who") for _ in range(8)} == {"slot0", "slot1"}
    assert "reload" in steered("reload", str(service.run_dir))
    assert not set(service.pids()) & set(after)
    found = document(str(service.run_dir))
    assert [each["restarts"] for each in found["slots"]] == [0, 0]
    assert "the service has ended" in steered("stop")
    assert service.launcher.wait(60) == 0, service.said()
    assert service.report()["valid"]


def test_what_is_asked_for_begins_without_being_waited_for(service: Launched) -> None:
    before = service.pids()
    assert "has begun" in steered("reload", "--no-wait")
    wait_for("new servers", lambda: not {None, *before} & set(service.pids()))
    assert "has begun" in steered("drain", "--no-wait", "1")
    wait_for("the drain", lambda: states() == ["up", "drained"])
    assert "draining" in steered("stop", "--no-wait")
    assert service.launcher.wait(60) == 0, service.said()


def test_which_of_two_services_is_meant_must_be_said(service: Launched, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with launched(tmp_path / "other", count=1) as other:
        text = steered("status", code=REQUEST_ERROR)
        assert "2 services run" in text
        for each in (service, other):
            assert str(each.launcher.pid) in text
        steered("stop", str(other.run_dir))
        assert other.launcher.wait(60) == 0, other.said()
    assert states() == ["up", "up"]


def test_what_is_not_there_is_said_with_what_is(service: Launched, tmp_path: Path) -> None:
    pid = str(service.launcher.pid)
    for run in (str(tmp_path), "no such run", "1"):
        text = steered("status", run, code=REQUEST_ERROR)
        assert f"steer the service {run}" in text
        assert pid in text
    text = steered("drain", "7", code=REQUEST_ERROR)
    assert "there is no instance 7, but 0, 1" in text
    assert "there is no instance 7, but 0, 1" in steered("reload", "--slot", "7", code=REQUEST_ERROR)
    assert states() == ["up", "up"]


@pytest.mark.parametrize("words", [("status",), ("reload",), ("drain", "0"), ("stop",), ("status", "4711")])
def test_without_a_service_every_command_says_how_to_start_one(words: tuple[str, ...]) -> None:
    text = steered(*words, code=REQUEST_ERROR)
    assert "none of yours runs on this host" in text
    assert "ipexlaunch serve" in text


def test_a_reload_stops_where_a_new_server_does_not_get_ready(tmp_path: Path) -> None:
    need("haproxy")
    script, flag = tmp_path / "unwilling.py", tmp_path / "flag"
    script.write_text(UNWILLING)
    with launched(tmp_path, server=[str(script), "{port}", "slot{index}", str(flag)]) as service:
        before = service.pids()
        flag.touch()
        text = steered("reload", code=INCOMPLETE)
        assert "not reloaded: instance 0, 1" in text
        assert "the reload stops: instance 0 ended before it was ready" in service.said()
        assert "it finds no model any more" in service.said()
        assert service.pids() == [None, before[1]]
        assert ask(service.endpoint, "/who") == "slot1"
        flag.unlink()
        wait_for("the slot's return", lambda: states() == ["up", "up"])
        assert service.pid(1) == before[1]
        assert service.end() == 0, service.said()
