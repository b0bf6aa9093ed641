"""Requests of an OpenAI batch file: what is understood, and what becomes an error row with its code."""

from __future__ import annotations

from typing import Any

import pytest

from ipexlaunch.models.engines.openai_request import BadRequest, OpenAIRequest, Sampling, read_request, request_key

CHAT = [{"role": "user", "content": "hi"}]


def line(url: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": "a", "method": "POST", "url": url, "body": {"model": "m", **body}}


def chat(**body: Any) -> OpenAIRequest:
    return read_request(line("/v1/chat/completions", **{"messages": CHAT, **body}), "generate", 32)


def completion(**body: Any) -> OpenAIRequest:
    return read_request(line("/v1/completions", **{"prompt": "hi", **body}), "generate", 32)


def embedding(**body: Any) -> OpenAIRequest:
    return read_request(line("/v1/embeddings", **{"input": "hi", **body}), "embed", 32)


def test_a_chat_has_its_messages_as_text_and_the_defaults_of_the_api() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    found = chat(messages=[{"role": "developer", "content": "be kind"}, {"role": "user", "content": parts}])
    assert [dict(message) for message in found.messages] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "ab"},
    ]
    assert found.sampling == Sampling(max_tokens=32, temperature=1.0, top_p=1.0, seed=None, stop=())


def test_what_a_request_says_of_sampling_is_kept() -> None:
    found = completion(max_tokens=4, temperature=0, top_p=0.5, seed=-7, stop=["x", "yz"])
    assert found.inputs == ("hi",)
    assert found.sampling == Sampling(max_tokens=4, temperature=0.0, top_p=0.5, seed=-7, stop=("x", "yz"))
    assert chat(max_tokens=9, max_completion_tokens=3).sampling == Sampling(max_tokens=3)
    assert completion(stop="x").sampling == Sampling(max_tokens=32, stop=("x",))


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("one", ("one",)), (["one", "two"], ("one", "two")), ([1, 2], ((1, 2),)), ([[1], [2, 3]], ((1,), (2, 3)))],
)
def test_embeddings_take_texts_and_tokens(given: object, inputs: tuple[object, ...]) -> None:
    assert embedding(input=given).inputs == inputs
    assert embedding(input=given, encoding_format="base64").base64


def test_fields_that_ask_for_nothing_are_welcome() -> None:
    chat(n=1, stream=False, tools=[], tool_choice="none", logprobs=False, presence_penalty=0, frequency_penalty=0.0)
    chat(user="me", metadata={"a": "b"}, store=False, service_tier="auto", response_format={"type": "text"})
    embedding(dimensions=None, user="me")


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"n": 2}, "n", "unsupported_value"),
        ({"n": True}, "n", "unsupported_value"),
        ({"stream": True}, "stream", "unsupported_value"),
        ({"logprobs": True}, "logprobs", "unsupported_value"),
        ({"presence_penalty": 0.5}, "presence_penalty", "unsupported_value"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_value"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_value"),
        ({"top_k": 5}, "top_k", "unknown_parameter"),
        ({"max_tokens": 0}, "max_tokens", "invalid_request_error"),
        ({"max_tokens": "5"}, "max_tokens", "invalid_request_error"),
        ({"max_tokens": True}, "max_tokens", "invalid_request_error"),
        ({"max_completion_tokens": 33}, "max_completion_tokens", "invalid_request_error"),
        ({"temperature": 2.5}, "temperature", "invalid_request_error"),
        ({"temperature": float("nan")}, "temperature", "invalid_request_error"),
        ({"top_p": -0.1}, "top_p", "invalid_request_error"),
        ({"stop": ["a"] * 5}, "stop", "invalid_request_error"),
        ({"stop": [""]}, "stop", "invalid_request_error"),
        ({"seed": 1.5}, "seed", "invalid_request_error"),
        ({"seed": 2**70}, "seed", "invalid_request_error"),
        ({"messages": []}, "messages", "invalid_request_error"),
        ({"messages": "hi"}, "messages", "invalid_request_error"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0]", "invalid_request_error"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0]", "invalid_request_error"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0]", "unsupported_value"),
        ({"model": 5}, "model", "invalid_request_error"),
    ],
)
def test_what_is_not_done_is_refused_with_its_field_and_code(body: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chat(**body)
    assert (caught.value.param, caught.value.code, caught.value.status) == (param, code, 400)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("given", [None, "", [], [""], [[]], [-1], [True], ["a", 5], {"a": 1}, [1.5]])
def test_inputs_that_hold_nothing_are_refused(given: object) -> None:
    with pytest.raises(BadRequest) as caught:
        embedding(input=given)
    assert caught.value.param == "input"
    with pytest.raises(BadRequest):
        completion(prompt=given)


@pytest.mark.parametrize(
    ("row", "param"),
    [
        ([], None),
        ({"custom_id": 5}, "custom_id"),
        ({**line("/v1/embeddings", input="x"), "method": "GET"}, "method"),
        (line("/v1/responses", input="x"), "url"),
        (line("/v1/chat/completions", messages=CHAT), "url"),
        ({**line("/v1/embeddings"), "body": None}, "body"),
        ({**line("/v1/embeddings"), "url": ["x"]}, "url"),
    ],
)
def test_lines_that_are_no_request_of_the_task_are_refused(row: object, param: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(row, "embed", 32)
    assert caught.value.param == param


def test_a_request_has_the_same_key_in_every_job() -> None:
    one = line("/v1/embeddings", input="x")
    assert request_key(one) == request_key(dict(reversed(one.items())))
    assert request_key(one) != request_key(line("/v1/embeddings", input="y"))
