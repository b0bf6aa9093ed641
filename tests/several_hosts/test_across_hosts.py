"""`--across-hosts` by launchers of one machine, which share nothing but a directory: one start, one total, one end."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.several_hosts.group_runs import Ended, begin, end, group_in, script, true_rate, variables
from tests.several_hosts.lab import IPEXLAUNCH, wait_for

pytestmark = pytest.mark.process

Starts = dict[int, subprocess.Popen[str]]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return script(tmp_path)


def start_all(directory: Path, *more: str | Path, hosts: int = 3, options: tuple[str, ...] = ()) -> Starts:
    """All hosts of a group, the first one last: an engine starts them in any order."""
    ranks = [*range(1, hosts), 0]
    return {rank: begin(rank, hosts, directory, *more, cwd=directory.parent, options=options) for rank in ranks}


def end_all(started: Starts, within_s: float = 60.0) -> dict[int, Ended]:
    return {rank: end(started[rank], within_s) for rank in sorted(started)}


def begun(work: Path, hosts: int = 3) -> None:
    """Wait until all workers work."""
    wait_for("work on all hosts", lambda: len(list(work.parent.glob("began-*"))) == hosts)


def report(*paths: Path | str) -> str:
    """What `ipexlaunch report` says."""
    told = subprocess.run(
        [*IPEXLAUNCH, "report", *map(str, paths)], capture_output=True, text=True, env=variables(), check=True
    )
    return told.stdout


def no_worker_is_left(work: Path) -> bool:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return str(work) not in listed


def test_hosts_that_load_differently_begin_together_and_have_one_true_total(work: Path) -> None:
    directory = work.parent / "run"
    ended = end_all(start_all(directory, work))
    assert [each.code for each in ended.values()] == [0, 0, 0], ended
    group = group_in(directory)
    assert group["schema"] == "ipexlaunch/group/1"
    assert group["valid"]
    assert len([line for line in ended[0].err.splitlines() if line.startswith("total ")]) == 1
    assert not any(line.startswith("total") for each in (1, 2) for line in ended[each].err.splitlines())
    total = group["total"]
    assert total["rate"] * (1 - 1e-9) <= true_rate(directory) <= total["highest_rate"] * (1 + 1e-9)
    assert total["items"] == sum(host["items"] for host in group["hosts"])
    assert [host["rank"] for host in group["hosts"]] == [0, 1, 2]
    assert "VALID; the first host has the total" in ended[1].err
    assert stat.S_IMODE((directory / "rendezvous.json").stat().st_mode) == 0o600
    token = json.loads((directory / "rendezvous.json").read_text())["token"]
    others = [path for path in directory.rglob("*") if path.is_file() and path.name != "rendezvous.json"]
    assert not [path for path in others if token in path.read_text(errors="replace")]
    assert {path.name for path in directory.iterdir()} == {
        "rendezvous.json", "group.json", *(f"host-{rank}-{os.uname().nodename}" for rank in range(3)),
    }  # fmt: skip
    (own,) = directory.glob("host-1-*")
    host = yaml.safe_load((own / "run.yaml").read_text())["host"]
    assert (host["rank"], host["across_hosts"]) == (1, True)
    again = report(directory)
    assert again.splitlines()[0].split() == ended[0].err[ended[0].err.index("rank  host") :].splitlines()[0].split()
    assert len([line for line in again.splitlines() if line.startswith("total ")]) == 1
    page = work.parent / "page.html"
    report(directory, "--html", str(page))
    text = page.read_text()
    assert "Result of all hosts" in text
    assert all(f"run: host-{rank}-" in text for rank in range(3))
    together = report(*directory.glob("host-*"))
    assert "they began together, and their directory has the total" in together
    # One host alone, with the same program and as many instances.
    alone = work.parent / "alone"
    plain = [*IPEXLAUNCH, "--run-dir", str(alone), "--ninstances", "1", str(work)]
    subprocess.run(plain, env={**variables(), "IPEXLAUNCH_HOST_RANK": "0"}, cwd=work.parent, check=True)
    assert "of 3 x one host alone (" in report(directory, alone)
    (directory / "group.json").unlink()
    assert "INVALID: there is no group.json: the first host was killed" in report(directory)


def test_a_worker_that_fails_to_load_ends_all_and_is_named(work: Path) -> None:
    ended = end_all(start_all(work.parent / "run", work, "fails=1"))
    assert [each.code for each in ended.values()] == [4, 7, 4], ended
    group = group_in(work.parent / "run")
    assert not group["valid"]
    name = os.uname().nodename
    assert group["reasons"][0] == f"host {name} (rank 1): instance 0 ended with exit code 7"
    assert group["total"] is None
    assert f"INVALID: host {name} (rank 1)" in ended[2].err
    assert "total unknown" in ended[0].err
    assert no_worker_is_left(work)


@pytest.mark.parametrize("killed", [1, 0])
def test_a_launcher_that_is_killed_is_missed_at_once(work: Path, killed: int) -> None:
    started = start_all(work.parent / "run", work, "seconds=100")
    begun(work)
    started[killed].kill()
    ended = end_all(started)
    assert [ended[rank].code for rank in range(3) if rank != killed] == [4, 4], ended
    who = f"host {os.uname().nodename} (rank {killed})"
    for rank in range(3):
        if rank != killed:
            assert f"{who}, was lost" in ended[rank].err or f"{who} was lost" in ended[rank].err
    wait_for("the end of all workers", lambda: no_worker_is_left(work))


def test_a_host_that_says_nothing_any_more_is_given_up(work: Path) -> None:
    started = start_all(work.parent / "run", work, "seconds=100", hosts=2)
    begun(work, 2)
    started[1].send_signal(signal.SIGSTOP)
    first = end(started[0])
    assert first.code == 4
    assert f"host {os.uname().nodename} (rank 1) was not heard of for 8 s" in first.err
    started[1].send_signal(signal.SIGCONT)
    assert end(started[1]).code == 4
    wait_for("the end of all workers", lambda: no_worker_is_left(work))


@pytest.mark.parametrize("asked", [0, 1])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_one_host_ends_all_also_while_they_wait(work: Path, asked: int, number: int, code: int) -> None:
    started = start_all(work.parent / "run", work, "hangs=1", hosts=2)
    wait_for("the first worker", lambda: any(work.parent.glob("run/host-0-*/events-so-far.jsonl")))
    started[asked].send_signal(number)
    ended = end_all(started)
    assert (ended[asked].code, ended[1 - asked].code) == (code, 4), ended
    assert f"(rank {asked}): it was interrupted by {signal.Signals(number).name}" in ended[1 - asked].err


def test_who_waits_for_the_others_at_the_end_is_served_too(work: Path) -> None:
    first = work.parent / "first"
    first.mkdir()
    started = {
        0: begin(0, 2, work.parent / "run", work, "seconds=0.2", cwd=first),
        1: begin(1, 2, work.parent / "run", work, "seconds=100", cwd=work.parent),
    }
    wait_for("a report", lambda: any(work.parent.glob("run/host-0-*/report.json")))
    started[0].send_signal(signal.SIGTERM)
    ended = end_all(started)
    assert (ended[0].code, ended[1].code) == (143, 4), ended
    assert "was interrupted while it waited for the other" in ended[0].err


def test_hosts_that_never_come_are_named(work: Path) -> None:
    options = ("--join-timeout", "1.5")
    first = begin(0, 3, work.parent / "run", work, cwd=work.parent, options=options)
    one = end(begin(1, 3, work.parent / "other", work, cwd=work.parent, options=options))
    assert one.code == 2
    assert "no rendezvous.json of this start appeared in" in one.err
    assert "must lie on a file system that all hosts share within 1.5 s (--join-timeout)" in one.err
    alone = end(first)
    assert alone.code == 4
    assert "ranks 1, 2 of 3 did not join within 1.5 s (--join-timeout)" in alone.err


def test_a_member_that_looks_for_the_first_host_can_be_ended(work: Path) -> None:
    member = begin(1, 2, work.parent / "run", work, cwd=work.parent)
    time.sleep(2)
    member.send_signal(signal.SIGTERM)
    assert end(member).code == -signal.SIGTERM
    assert not (work.parent / "run").exists()


def test_one_host_alone_is_a_group_too(work: Path) -> None:
    alone = end(begin(0, 1, work.parent / "run", work, "seconds=0.5", cwd=work.parent))
    assert alone.code == 0, alone
    assert group_in(work.parent / "run")["total"]["width"] == 0


def test_a_program_that_never_says_that_it_is_ready_has_no_total(work: Path) -> None:
    for number, (text, code, why) in enumerate(
        [
            ("pass", 0, "total unknown (nothing was counted"),
            ("print('did 3')", 4, "did not wait for the common start"),
        ]
    ):
        work.write_text(text)
        rule = ("--throughput-regex", "did (?P<items>[0-9]+)")[: 2 * number]
        ended = end_all(start_all(work.parent / f"run{number}", work, hosts=2, options=rule))
        assert [each.code for each in ended.values()] == [code, code], ended
        assert why in ended[0].err


def test_a_host_that_ends_without_the_start_is_not_waited_for(work: Path) -> None:
    text = work.read_text()
    work.write_text(text.replace("worker.ready()", "if rank == 1:\n    sys.exit(0)\nworker.ready()"))
    ended = end_all(start_all(work.parent / "run", work, hosts=2))
    assert [each.code for each in ended.values()] == [4, 4], ended
    assert "(rank 1) ended before the common start" in ended[0].err


def test_two_starts_in_one_directory_have_one_winner(work: Path) -> None:
    started = {
        job: {
            rank: begin(rank, 2, work.parent / "run", work, cwd=work.parent, options=("--job-id", job))
            for rank in (0, 1)
        }
        for job in ("one", "two")
    }
    codes = {job: [end(host) for host in hosts.values()] for job, hosts in started.items()}
    winners = [job for job, ends in codes.items() if [each.code for each in ends] == [0, 0]]
    assert len(winners) == 1, codes
    (loser,) = codes.keys() - winners
    assert {each.code for each in codes[loser]} <= {2, 75}, codes
    assert group_in(work.parent / "run")["job"] == winners[0]


def test_a_directory_that_holds_something_is_refused(work: Path) -> None:
    directory = work.parent / "run"
    assert [each.code for each in end_all(start_all(directory, work, "seconds=0.2", hosts=2)).values()] == [0, 0]
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    again = end_all(start_all(directory, work, hosts=2))
    assert [each.code for each in again.values()] == [2, 2], again
    plain = [*IPEXLAUNCH, "--run-dir", str(directory), str(work)]
    refused = subprocess.run(plain, capture_output=True, text=True, env=variables(), cwd=work.parent, check=False)
    assert refused.returncode == 2
    assert "it holds a run over several hosts already" in refused.stderr
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_a_group_that_cannot_be_kept_is_shown_all_the_same(work: Path) -> None:
    work.write_text(f"{work.read_text()}os.makedirs('run/group.json/in-the-way', exist_ok=True)\n")
    ended = end_all(start_all(work.parent / "run", work, "seconds=0.3", hosts=2))
    assert [each.code for each in ended.values()] == [2, 0], ended
    assert "\ntotal " in ended[0].err
    assert "group.json: " in ended[0].err.splitlines()[-1]


TOKEN = "IPEXLAUNCH_RENDEZVOUS_TOKEN"


def test_hosts_without_a_common_directory_meet_at_an_address(work: Path) -> None:
    work.write_text(f"{work.read_text()}print('token', os.environ.get('{TOKEN}'))\n")
    port = free_port()
    options = ("--rendezvous", f"localhost:{port}", "--job-id", "j1")
    token = "0123456789abcdef" * 2
    started = {
        rank: begin(
            rank, 2, work.parent / str(rank), work, "seconds=0.3", cwd=work.parent, options=options,
            env={TOKEN: token},
        )
        for rank in (1, 0)
    }  # fmt: skip
    ended = end_all(started)
    assert [each.code for each in ended.values()] == [0, 0], ended
    assert group_in(work.parent / "0")["valid"]
    assert "token None" in ended[0].out
    assert not any(token in path.read_text(errors="replace") for path in work.parent.rglob("*") if path.is_file())
    for env, why in (({}, "has no token of 16"), ({TOKEN: "short"}, "has no token of 16")):
        refused = end(begin(0, 2, None, work, cwd=work.parent, options=options, env=env))
        assert refused.code == 2
        assert why in refused.err


def free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        return int(listener.getsockname()[1])
