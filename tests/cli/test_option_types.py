"""Every option that takes a number refuses what is none, in the same way for every command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.cli import COMMANDS
from ipexlaunch.cli.main import ipexlaunch, main
from ipexlaunch.cli.options.option_types import (
    COUNT,
    MEGABYTES,
    MILLISECONDS,
    PORT,
    SECONDS,
    SECONDS_FROM_0,
    SHARE,
    SIZE,
    Number,
    Size,
)
from ipexlaunch.errors import DocumentError, IpexLaunchError
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology_file import parse_topology, topology_to_yaml

ROOT = Path(__file__).resolve().parents[2]

NO_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "NaN",
    "Infinity",
    "1e999",
    "-1e999",
    "",
    " ",
    "0x10",
    "1_0",
    "٣",
    "5x",
    "--",
    "1,5",
)


def options() -> Iterator[tuple[str, click.Option]]:
    context = click.Context(ipexlaunch)
    for name in COMMANDS:
        command = ipexlaunch.get_command(context, name)
        assert command is not None
        yield from ((name, each) for each in command.params if isinstance(each, click.Option))


NUMBERS = [(name, option) for name, option in options() if isinstance(option.type, Number | Size)]


def test_no_option_takes_a_number_by_a_type_of_its_own() -> None:
    bare = (click.types.IntParamType, click.types.FloatParamType, click.IntRange, click.FloatRange)
    assert [(name, option.opts) for name, option in options() if isinstance(option.type, bare)] == []
    assert len(NUMBERS) > 80


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_is_refused_by_every_option_that_takes_one(text: str) -> None:
    for name, option in NUMBERS:
        with pytest.raises((click.BadParameter, IpexLaunchError)):
            print(name, option.opts, option.type.convert(text, option, None))


def test_defaults_are_numbers_of_their_types() -> None:
    for _, option in NUMBERS:
        if isinstance(option.default, str | int | float):
            option.type.convert(option.default, option, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("1h 30m 5s", 5405), ("200ms", 0.2), ("1.5h", 5400),
     ("2d", 172800), ("5M", 300), (".5", 0.5), ("1e3", 1000)],
)  # fmt: skip
def test_times_are_read(text: str, seconds: float) -> None:
    assert SECONDS.convert(text, None, None) == pytest.approx(seconds)
    assert MILLISECONDS.convert(text, None, None) == pytest.approx(
        seconds * (1 if text in (".5", "1e3", "90") else 1000)
    )


@pytest.mark.parametrize("text", ["0", "0s", "-5", "5m1h", "h", "1h30", "11y", "1e300", "5 6"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        SECONDS.convert(text, None, None)


def test_other_kinds_are_read() -> None:
    assert SECONDS_FROM_0.convert("0", None, None) == 0
    assert (SHARE.convert("0.95", None, None), SHARE.convert("95 %", None, None)) == (0.95, 0.95)
    assert (MEGABYTES.convert("64", None, None), MEGABYTES.convert("1GB", None, None)) == (64, 1000)
    assert SIZE.convert("24Gi", None, None) == 24 << 30
    assert (COUNT.convert("32", None, None), PORT.convert("65535", None, None)) == (32, 65535)
    for kind, text in ((SHARE, "1.01"), (SHARE, "101%"), (PORT, "65536"), (PORT, "0"), (COUNT, "0"), (COUNT, "1.0")):
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)
    for text in ("24", "24GiBB", "0GiB", "24ib", "9999999999TiB", "infGiB", "nanGiB"):
        with pytest.raises(IpexLaunchError):
            SIZE.convert(text, None, None)


@given(st.floats(min_value=1e-6, max_value=1e8), st.sampled_from(["", "s"]))
def test_every_finite_time_is_read_as_it_was_written(seconds: float, unit: str) -> None:
    assert SECONDS.convert(f"{seconds:.6f}{unit}", None, None) == pytest.approx(seconds, abs=1e-6)


@given(st.text(max_size=12))
def test_any_text_is_a_finite_number_in_range_or_an_error(text: str) -> None:
    for kind in {id(option.type): option.type for _, option in NUMBERS}.values():
        try:
            found = kind.convert(text, None, None)
        except (click.BadParameter, IpexLaunchError):
            continue
        assert not isinstance(kind, Number) or kind.lowest <= found <= kind.highest


def test_the_environment_is_checked_like_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IPEXLAUNCH_LOST_TIME", "nan")
    assert main(["run", "--dry-run", "--topology", "1s 1n 4c 1t", "--no-python", "/bin/true"]) == 2
    assert "'nan' is no share" in capsys.readouterr().err


@pytest.mark.process
def test_help_says_the_lost_time_that_holds() -> None:
    def said(command: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ipexlaunch", command, "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        words = " ".join(done.stdout.split())
        start = words.index("--lost-time")
        return words[start : words.index("]", start) + 1]

    assert said("run", IPEXLAUNCH_LOST_TIME="").endswith("[default: 0.25]")
    assert said("batch", IPEXLAUNCH_LOST_TIME="").endswith("[default: 1]")
    assert said("run", IPEXLAUNCH_LOST_TIME="1.0").endswith("[default: 1.0, of IPEXLAUNCH_LOST_TIME]")


def test_ports_end_where_ports_end(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--dry-run", "--topology", "2s 1n 4c 1t", "--port", "65535", "--no-python", "/bin/echo"]
    assert main([*words, "{port}"]) == 2
    assert "the last would have 65536, and ports end at 65535; give --port 65534 at most" in capsys.readouterr().err
    assert main(["65534" if word == "65535" else word for word in (*words, "{port}")]) == 0
    assert "echo 65535" in capsys.readouterr().out


@pytest.mark.parametrize("text", [".inf", ".nan", "-.inf"])
def test_documents_hold_no_infinity(text: str) -> None:
    document = topology_to_yaml(synthetic_machine("1s 1n 4c 1t"))
    assert parse_topology(document + "cpu_quota: 2.5\n", "machine.yaml").cpu_quota == 2.5
    with pytest.raises(DocumentError, match=r"line .* cpu_quota"):
        parse_topology(document + f"cpu_quota: {text}\n", "machine.yaml")
