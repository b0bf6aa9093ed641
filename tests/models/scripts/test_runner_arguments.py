"""The words between the launcher and models/run_script.py say what was meant, whatever the program is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.models.scripts.runner_arguments import IPEX_DTYPES, ScriptOptions, parse_command


@st.composite
def _options(draw: st.DrawFn) -> ScriptOptions:
    """Any that ask for something."""
    options = ScriptOptions()
    counts = draw(st.booleans())
    if counts:
        options = options._replace(count_calls=True, warmup_calls=draw(st.integers(0, 10**6)))
    if not counts or draw(st.booleans()):
        dtype, graph, verbose = draw(st.sampled_from(IPEX_DTYPES)), draw(st.booleans()), draw(st.booleans())
        options = options._replace(auto_ipex=True, dtype=dtype, graph=graph, verbose=verbose)
    return options


@given(
    _options(), st.text(min_size=1).filter(lambda name: not name.startswith("-")), st.lists(st.text()), st.booleans()
)
def test_what_is_written_is_read_back(
    options: ScriptOptions, program: str, arguments: list[str], is_module: bool
) -> None:
    command = parse_command([*options.words(), *(["-m"] if is_module else []), program, *arguments])
    assert command.options == options
    assert (command.program, command.is_module, list(command.arguments)) == (program, is_module, arguments)


def test_options_that_ask_for_nothing_have_no_words() -> None:
    assert ScriptOptions().words() == ()
    assert not ScriptOptions().asked


@pytest.mark.parametrize(
    "words", [[], ["-m"], ["--count-calls"], ["--warmup-calls", "x", "a.py"], ["-c", "1"], ["--dtype", "int4", "a"]]
)
def test_other_words_are_refused(words: list[str]) -> None:
    with pytest.raises(ValueError):
        parse_command(words)
