"""Result rows of an OpenAI batch: what a server would have answered, beside the request's custom_id.

Source: OpenAI's API reference, the batch output and error files and the three response bodies.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any, Literal

from ipexlaunch.models.engines.openai_request import BadRequest

Finish = Literal["stop", "length"]


def answer_row(key: str, custom_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """The row of a request that was answered.

    Args:
        key: of the request (`request_key`).
        custom_id: the request's.
        body: the response.
    """
    return {
        "id": f"batch_req_{key}",
        "custom_id": custom_id,
        "response": {"status_code": 200, "request_id": f"req_{key}", "body": body},
        "error": None,
    }


def error_row(key: str, custom_id: str | None, error: BadRequest) -> dict[str, Any]:
    """The row of a request that could not be answered.

    Args:
        key: of the request.
        custom_id: the request's; None where it has none.
        error: why.
    """
    body = {
        "error": {
            "message": error.message,
            "type": "invalid_request_error" if error.status < 500 else "server_error",
            "param": error.param,
            "code": error.code,
        }
    }
    return {
        "id": f"batch_req_{key}",
        "custom_id": custom_id,
        "response": {"status_code": error.status, "request_id": f"req_{key}", "body": body},
        "error": {"code": error.code, "message": error.message},
    }


def is_error(row: dict[str, Any]) -> bool:
    """Whether a row is one of the error file."""
    return row.get("error") is not None


def chat_body(
    key: str, created: int, model: str, text: str, finish: Finish, prompt_tokens: int, tokens: int
) -> dict[str, Any]:
    """The body of a chat completion.

    Args:
        key: of the request.
        created: seconds since 1970.
        model: what answered.
        text: what it said.
        finish: why it ended: a stop sequence or the model's own end, or the limit.
        prompt_tokens: of the prompt, template included.
        tokens: that were made, the one that ends the text included.
    """
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {
        "id": f"chatcmpl-{key}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": _usage(prompt_tokens, tokens),
    }


def completion_body(
    key: str, created: int, model: str, text: str, finish: Finish, prompt_tokens: int, tokens: int
) -> dict[str, Any]:
    """The body of a completion; arguments as those of `chat_body`."""
    return {
        "id": f"cmpl-{key}",
        "object": "text_completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}],
        "usage": _usage(prompt_tokens, tokens),
    }


def embedding_body(
    model: str, vectors: Sequence[Sequence[float]], prompt_tokens: int, *, as_base64: bool
) -> dict[str, Any]:
    """The body of an answer to an embeddings request.

    Args:
        model: what answered.
        vectors: one for each input.
        prompt_tokens: of all inputs.
        as_base64: as little-endian fp32 in base64, instead of numbers.
    """
    data = [
        {"object": "embedding", "index": at, "embedding": _packed(vector) if as_base64 else list(vector)}
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def _usage(prompt_tokens: int, tokens: int) -> dict[str, int]:
    return {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens}
