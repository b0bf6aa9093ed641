"""`ipexlaunch serve status|reload|drain|stop`: steer a service that runs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from ipexlaunch.cli.options.help_pages import HelpfulCommand
from ipexlaunch.cli.options.option_types import COUNT_FROM_0, flag
from ipexlaunch.cli.options.serve_options import RUN
from ipexlaunch.cli.terminal import showable, tell, wants_color, width_of
from ipexlaunch.documents.codec import dump_json
from ipexlaunch.errors import LaunchError
from ipexlaunch.machine.wording import counted
from ipexlaunch.report.live.ask_status import Answer, ask_runs
from ipexlaunch.report.live.sample_usage import UsageSampler
from ipexlaunch.report.live.table import live_text
from ipexlaunch.serve.control import ask_service, control_path

SCHEMA = "ipexlaunch/service/1"

LOOK_S = 0.3
"""Between two looks while a command waits for its end."""

EXIT_INCOMPLETE = 4
"""What was asked for has begun and did not finish."""

no_wait = flag("--no-wait", "Return at once; it goes on.")


@click.command("status", cls=HelpfulCommand)
@RUN
@flag("--json", "As a document for programs.")
def status_command(run: str | None, *, json: bool) -> int:
    """Show how the servers stand: what each does, its requests now, its restarts.

    RUN is the directory of --run-dir, or the launcher's process id; it may be left out where one service runs.
    """
    answer = find_service(run)
    state = ask_service(answer.path, {"do": "stand"})
    if json:
        print(dump_json({"schema": SCHEMA, "pid": answer.identity.pid, **state}), end="")
        return 0
    sampler: UsageSampler[int] = UsageSampler()
    pids = {worker.index: worker.pid for worker in answer.snapshot.workers if worker.pid and answer.same_processes}
    sampler.sample(pids)
    time.sleep(LOOK_S)
    width, color = width_of(sys.stdout), wants_color(sys.stdout)
    title = f"launcher {answer.identity.pid}: {answer.identity.program}"
    text = live_text(answer.snapshot, sampler.sample(pids), width=width, title=title, color=color)
    print(showable(text, sys.stdout), end="")
    for line in _lines(state):
        print(line)
    return 0


@click.command("reload", cls=HelpfulCommand)
@RUN
@click.option("--slot", "slots", type=COUNT_FROM_0, multiple=True, metavar="N", help="Only this one (repeatable).")
@no_wait
def reload_command(run: str | None, *, slots: tuple[int, ...], no_wait: bool) -> int:
    """Replace the servers by new ones, one slot at a time: what it has is finished, and the others take what is new.

    A slot that was drained comes back. It stops where a new server does not get ready. RUN: see `serve status`.
    """
    answer = find_service(run)
    before = ask_service(answer.path, {"do": "reload", "slots": list(slots)})
    if no_wait:
        tell("the reload has begun")
        return 0
    state = _wait(answer, lambda now: not now["reloading"])
    attempts = {each["index"]: each["attempt"] for each in before["slots"]}
    left = [
        each["index"]
        for each in state["slots"]
        if (not slots or each["index"] in slots)
        and (each["attempt"] == attempts[each["index"]] or each["state"] != "up")
    ]
    for line in _lines(state):
        print(line)
    if left:
        tell(f"not reloaded: instance {', '.join(map(str, left))}; its output says why")
        return EXIT_INCOMPLETE
    return 0


@click.command("drain", cls=HelpfulCommand)
@click.argument("slot", metavar="N", type=COUNT_FROM_0)
@RUN
@no_wait
def drain_command(slot: int, run: str | None, *, no_wait: bool) -> int:
    """Have the requests of instance N finished, and end its server; `serve reload` brings it back.

    RUN: see `serve status`.
    """
    answer = find_service(run)
    ask_service(answer.path, {"do": "drain", "slots": [slot]})
    if no_wait:
        tell("the drain has begun")
        return 0
    state = _wait(answer, lambda now: all(e["state"] == "drained" for e in now["slots"] if e["index"] == slot))
    for line in _lines(state):
        print(line)
    return 0


@click.command("stop", cls=HelpfulCommand)
@RUN
@no_wait
def stop_command(run: str | None, *, no_wait: bool) -> int:
    """Have all requests finished, and end the servers; the launcher writes its report and ends with 0.

    RUN: see `serve status`.
    """
    answer = find_service(run)
    ask_service(answer.path, {"do": "stop"})
    while not no_wait and os.path.exists(control_path(answer.path)):
        time.sleep(LOOK_S)
    tell("the service is draining" if no_wait else "the service has ended")
    return 0


def find_service(run: str | None) -> Answer:
    """The service that is meant.

    Args:
        run: a run directory or a process id; None for the only one.

    Raises:
        LaunchError: there is none, or several; with those that there are.
    """
    found = [
        answer for answer in ask_runs(os.environ, os.getuid(), note=tell) if os.path.exists(control_path(answer.path))
    ]
    meant = found
    if run is not None and run.isdecimal():
        meant = [answer for answer in found if answer.identity.pid == int(run)]
    elif run is not None:
        meant = [answer for answer in found if answer.identity.run_dir == os.path.realpath(run)]
    if len(meant) == 1:
        return meant[0]
    there = ", ".join(f"{each.identity.pid} ({each.identity.program})" for each in found)
    if not found:
        raise LaunchError("steer a service", "none of yours runs on this host", "start one with: ipexlaunch serve")
    if not meant:
        raise LaunchError(f"steer the service {run}", f"there are {there}", "give one of these process ids")
    raise LaunchError("steer a service", f"{counted(len(meant), 'service')} run: {there}", "give the process id of one")


def _wait(answer: Answer, is_over: Any) -> Mapping[str, Any]:
    while True:
        state = ask_service(answer.path, {"do": "stand"})
        if is_over(state) or state["stopping"]:
            return state
        time.sleep(LOOK_S)


def _lines(state: Mapping[str, Any]) -> list[str]:
    """ "endpoint 127.0.0.1:8000, 1 reload", then a line for each slot."""
    facts = [f"endpoint {state['endpoint']}"] if state["endpoint"] else ["no endpoint"]
    facts += [counted(state["reloads"], "reload")] if state["reloads"] else []
    facts += ["reloading"] if state["reloading"] else []
    facts += ["draining"] if state["stopping"] else []
    lines = [", ".join(facts)]
    for each in state["slots"]:
        now = "" if each["in_flight"] is None else f", {each['in_flight']} in flight"
        lines.append(f"[{each['index']}] {each['state']}{now}, {counted(each['restarts'], 'restart')}")
    return lines
