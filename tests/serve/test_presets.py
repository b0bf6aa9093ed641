"""What servers are given: only what was not typed, whichever way it was typed, and nothing that leaves the slice."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.plan import NAMES, fill_template, names_in, values_of
from ipexlaunch.serve.presets import PRESETS, check_plan, with_preset
from tests.plan.machines import machine

LLAMA = ("llama-server", "-m", "m.gguf")
PLAN = make_plan(machine([8, 8], threads=2), Request(ninstances=2))


def test_each_server_gets_what_its_row_says() -> None:
    given_words = {name: with_preset(preset, ("program", "model"), {}, {}) for name, preset in PRESETS.items()}
    assert {name: use.arguments[2:] for name, use in given_words.items()} == {
        "vllm": ("--port", "{port}", "--host", "127.0.0.1"),
        "llama-server": ("--port", "{port}", "--host", "127.0.0.1", "--threads", "{threads}"),
        "ovms": ("--rest_port", "{port}", "--rest_bind_address", "127.0.0.1", "--target_device", "CPU"),
        "tei": (
            *("--port", "{port}", "--hostname", "127.0.0.1", "--prometheus-port", "0"),
            *("--uds-path", "/tmp/text-embeddings-{port}"),
        ),
    }
    assert {name: use.ready_when for name, use in given_words.items()} == {
        "vllm": "http://127.0.0.1:{port}/health",
        "llama-server": "http://127.0.0.1:{port}/health",
        "ovms": "http://127.0.0.1:{port}/v2/health/ready",
        "tei": "http://127.0.0.1:{port}/health",
    }


def test_slots_differ_where_servers_would_meet() -> None:
    first, second = (values_of(instance, 2, 8000) for instance in PLAN.instances)
    for name, preset in PRESETS.items():
        use = with_preset(preset, ("program",), {}, {})
        filled = [[fill_template(word, values) for word in use.arguments] for values in (first, second)]
        assert ("8000" in filled[0], "8001" in filled[1], "8001" in filled[0]) == (True, True, False), name
        variables = [
            {key: fill_template(text, values) for key, text in use.variables.items()} for values in (first, second)
        ]
        if name == "vllm":
            assert [each["CPU_VISIBLE_MEMORY_NODES"] for each in variables] == ["0", "1"]


@pytest.mark.parametrize(
    ("typed", "missing"),
    [
        (("--port", "9"), "--port"),
        (("--port=9",), "--port"),
        (("--threads=3",), "--threads"),
        (("-t", "3"), "--threads"),
        (("-t3",), "--threads"),
        (("--host", "::1"), "--host"),
    ],
)
def test_what_was_typed_is_not_given_again(typed: tuple[str, ...], missing: str) -> None:
    use = with_preset(PRESETS["llama-server"], (*LLAMA, *typed), {}, {})
    assert use.arguments[: len(LLAMA) + len(typed)] == (*LLAMA, *typed)
    assert missing not in use.arguments[len(LLAMA) + len(typed) :]
    assert len(use.arguments) == len(LLAMA) + len(typed) + 4


@pytest.mark.parametrize("word", ["-tb", "--threads-batch", "--threads-http=2", "--ports", "-to"])
def test_an_option_that_only_begins_alike_is_another_one(word: str) -> None:
    use = with_preset(PRESETS["llama-server"], (*LLAMA, word, "4"), {}, {})
    assert use.arguments[-6:] == ("--port", "{port}", "--host", "127.0.0.1", "--threads", "{threads}")


def test_a_variable_is_typed_as_well() -> None:
    typed = {"LLAMA_ARG_THREADS": "3", "LLAMA_ARG_PORT": "9{index}00"}
    use = with_preset(PRESETS["llama-server"], LLAMA, typed, {})
    assert use.arguments == (*LLAMA, "--host", "127.0.0.1")
    assert use.ready_when == "http://127.0.0.1:9{index}00/health"
    use = with_preset(PRESETS["vllm"], ("vllm",), {"VLLM_CPU_OMP_THREADS_BIND": "{cpus}"}, {})
    assert set(use.variables) == {"VLLM_CPU_NUM_OF_RESERVED_CPU", "CPU_VISIBLE_MEMORY_NODES"}


def test_what_a_container_sets_is_not_typed() -> None:
    inherited = {"HOSTNAME": "3f2a9c", "PORT": "80", "RAYON_NUM_THREADS": "8", "VLLM_CPU_OMP_THREADS_BIND": "all"}
    for preset in PRESETS.values():
        assert with_preset(preset, ("program",), {}, inherited) == with_preset(preset, ("program",), {}, {})


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        (("--port", "1{port}"), "127.0.0.1:1{port}"),
        (("--port", "7", "--port=8"), "127.0.0.1:8"),
        (("--host", "0.0.0.0"), "127.0.0.1:{port}"),
        (("--host=::",), "[::1]:{port}"),
        (("--host", "::1"), "[::1]:{port}"),
        (("--host", "10.0.0.1"), "10.0.0.1:{port}"),
    ],
)
def test_the_server_is_asked_where_it_listens(typed: tuple[str, ...], address: str) -> None:
    assert with_preset(PRESETS["vllm"], ("vllm", *typed), {}, {}).ready_when == f"http://{address}/health"


@pytest.mark.parametrize("word", ["distribute", "isolate"])
def test_a_word_that_leaves_the_slice_is_refused(word: str) -> None:
    for arguments, typed in (
        ((*LLAMA, "--numa", word), {}),
        ((*LLAMA, f"--numa={word}"), {}),
        (LLAMA, {"LLAMA_ARG_NUMA": word}),
    ):
        with pytest.raises(RequestError, match=f"cannot serve with --numa {word}: .*; leave --numa out"):
            with_preset(PRESETS["llama-server"], arguments, typed, {})
    with pytest.raises(RequestError, match=f"--numa {word}"):
        with_preset(PRESETS["llama-server"], LLAMA, {}, {"LLAMA_ARG_NUMA": word})
    with_preset(PRESETS["llama-server"], LLAMA, {"LLAMA_ARG_NUMA": "numactl"}, {"LLAMA_ARG_NUMA": word})
    assert "--numa" not in with_preset(PRESETS["llama-server"], LLAMA, {}, {}).arguments


def test_a_list_of_models_names_the_device_itself() -> None:
    use = with_preset(PRESETS["ovms"], ("ovms", "--config_path", "c.json"), {}, {})
    assert use.arguments == (
        "ovms",
        "--config_path",
        "c.json",
        "--rest_port",
        "{port}",
        "--rest_bind_address",
        "127.0.0.1",
    )


def test_an_instance_on_which_the_server_does_not_start_is_refused() -> None:
    small = make_plan(machine([8, 8]), Request(ninstances=8))
    with pytest.raises(PlanError, match="instance 0 has 2 of the 3 threads"):
        check_plan("vllm", PRESETS["vllm"], small)
    check_plan("vllm", PRESETS["vllm"], PLAN)
    check_plan("tei", PRESETS["tei"], small)


@given(st.sampled_from(sorted(PRESETS)), st.lists(st.text(), max_size=6))
def test_what_was_typed_stays_byte_for_byte(name: str, words: list[str]) -> None:
    assert with_preset(PRESETS[name], words, {}, {}).arguments[: len(words)] == tuple(words)


def test_rows_are_dated_sourced_and_filled_by_known_names() -> None:
    for preset in PRESETS.values():
        assert date(2026, 11, 1) <= date.fromisoformat(preset.date)
        assert preset.source
        texts = [preset.port.value, preset.host.value, *(option.value for option in preset.options)]
        for text in (*texts, *preset.variables.values()):
            assert re.sub(r"\{[a-z]+\}", "", text).isascii()
            assert names_in(text) <= set(NAMES)
            assert text.count("{") == len(re.findall(r"\{(?:" + "|".join(NAMES) + r")\}", text))


def test_what_was_not_run_says_so() -> None:
    notes = {name: with_preset(preset, ("program",), {}, {}).note for name, preset in PRESETS.items()}
    assert {name for name, note in notes.items() if not note} == {"llama-server"}
    assert "2026-" in notes["vllm"]
