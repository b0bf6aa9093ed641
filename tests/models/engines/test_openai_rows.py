"""Rows of an OpenAI batch: the types of the `openai` package take them."""

from __future__ import annotations

import base64
import struct

import pytest

from ipexlaunch.models.engines.openai_request import BadRequest
from ipexlaunch.models.engines.openai_rows import answer_row, embedding_body, error_row, is_error, text_body


def test_bodies_are_what_the_openai_package_reads() -> None:
    types = pytest.importorskip("openai.types")
    chats = pytest.importorskip("openai.types.chat")
    chat = chats.ChatCompletion.model_validate(text_body("chat", "k", 5, "m", "hello", "stop", 3, 2), strict=True)
    assert (chat.choices[0].message.content, chat.choices[0].finish_reason) == ("hello", "stop")
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens, chat.usage.total_tokens) == (3, 2, 5)
    text = types.Completion.model_validate(text_body("completion", "k", 5, "m", "hello", "length", 3, 2), strict=True)
    assert (text.choices[0].text, text.choices[0].finish_reason) == ("hello", "length")
    made = types.CreateEmbeddingResponse.model_validate(embedding_body("m", [[0.5, -1.0]], 4, as_base64=False))
    assert made.data[0].embedding == [0.5, -1.0]
    assert (made.usage.prompt_tokens, made.usage.total_tokens) == (4, 4)


def test_base64_is_little_endian_fp32() -> None:
    packed = embedding_body("m", [[0.5, -1.0]], 4, as_base64=True)["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == (0.5, -1.0)


def test_rows_keep_the_requests_id_and_errors_are_told_apart() -> None:
    good = answer_row("k", "mine", {"a": 1})
    bad = error_row("k", "mine", BadRequest("no", "n", "unsupported_value"))
    assert (good["custom_id"], good["response"]["status_code"], good["error"]) == ("mine", 200, None)
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("mine", 400)
    assert bad["error"] == {"code": "unsupported_value", "message": "no"}
    assert bad["response"]["body"]["error"]["param"] == "n"
    assert (is_error(good), is_error(bad)) == (False, True)
