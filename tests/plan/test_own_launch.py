"""What makes a plan again on another host: the request in the words of options, and which command they are for."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.cli.options.plan_options import request_from_options
from ipexlaunch.cli.plan_command import plan_command
from ipexlaunch.errors import IpexLaunchError, RequestError
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan import Request
from ipexlaunch.plan.own_launch import OwnLaunch, request_words
from tests.plan.requests import requests


def parsed(words: tuple[str, ...]) -> Request:
    assert isinstance(plan_command, click.Command)
    return request_from_options(plan_command.make_context("plan", list(words)).params)


@given(requests(synthetic_machine("2s 2n 8c 2t")))
def test_the_words_of_a_request_ask_for_the_same(request_: Request) -> None:
    try:
        request_.check()
    except IpexLaunchError:
        return
    assert parsed(request_words(request_)) == request_


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(groups=("2x4@node0", "1x8")),
        Request(cores_list="!5", instance_idx="0,2", bind_numa_node=True),
        Request(goal="throughput", workload="embed"),
        Request(device="xpu", accelerators="0,2-3", memory_per_instance_bytes=3 << 30),
        Request(ncores_per_instance=-1, use_logical_cores=True, use_e_cores=True, memory="hbm"),
        Request(cores_list="0-3|4-7"),
    ],
)  # fmt: skip
def test_so_do_those_of_options_that_are_seldom_used(request_: Request) -> None:
    assert parsed(request_words(request_)) == request_


@pytest.mark.parametrize(
    ("program", "command", "words"),
    [
        (("s.py", "run"), "run", ("s.py", "run")),
        (("run", "s.py"), "run", ("s.py",)),
        (("./serve", "a"), "run", ("--no-python", "./serve", "a")),
        (("-m", "package.module"), "run", ("-m", "package.module")),
        (("batch", "--input", "i", "--output", "o", "s.py"), "batch", ("--input", "i", "--output", "o", "s.py")),
        (("bench", "--model", "m"), "bench", ("--model", "m")),
        (("serve", "s.py", "{port}"), "serve", ("s.py", "{port}")),
        (("serve", "/bin/server", "{port}"), "serve", ("--no-python", "/bin/server", "{port}")),
        (("serve", "--preset", "tei", "router"), "serve", ("--preset", "tei", "router")),
        ((), "run", ()),
    ],
)
def test_a_program_is_for_run_and_a_command_for_itself(
    program: tuple[str, ...], command: str, words: tuple[str, ...]
) -> None:
    launch = OwnLaunch(program=program)
    assert (launch.command, launch.program_words) == (command, words)


@given(st.sampled_from(["batch", "loadgen", "tune", "serve"]))
def test_what_works_on_one_host_is_refused_for_several(command: str) -> None:
    OwnLaunch(program=(command,)).check()
    with pytest.raises(RequestError, match="works on one host"):
        OwnLaunch(program=(command,), hosts=3).check()
