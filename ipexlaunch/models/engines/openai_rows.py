"""Result rows of an OpenAI batch: what a server would have answered, beside the request's custom_id.

Source: OpenAI's API reference, the batch output and error files and the three response bodies.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any, Literal

from ipexlaunch.models.engines.openai_request import BadRequest, Kind

Finish = Literal["stop", "length"]


def answer_row(key: str, custom_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """The row of a request that was answered.

    Args:
        key: of the request (`request_key`).
        custom_id: the request's.
        body: the response.
    """
    return _row(key, custom_id, 200, body, None)


def error_row(key: str, custom_id: str | None, error: BadRequest) -> dict[str, Any]:
    """The row of a request that could not be answered.

    Args:
        key: of the request.
        custom_id: the request's; None where it has none.
        error: why.
    """
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    body = {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    return _row(key, custom_id, error.status, body, {"code": error.code, "message": error.message})


def _row(key: str, custom_id: str | None, status: int, body: dict[str, Any], error: object) -> dict[str, Any]:
    response = {"status_code": status, "request_id": f"req_{key}", "body": body}
    return {"id": f"batch_req_{key}", "custom_id": custom_id, "response": response, "error": error}


def is_error(row: dict[str, Any]) -> bool:
    """Whether a row is one of the error file."""
    return row.get("error") is not None


def text_body(
    kind: Kind, key: str, created: int, model: str, text: str, finish: Finish, prompt_tokens: int, tokens: int
) -> dict[str, Any]:
    """The body of a chat completion, or of a plain one.

    Args:
        kind: chat or completion.
        key: of the request.
        created: seconds since 1970.
        model: what answered.
        text: what it said.
        finish: why it ended: a stop sequence or the model's own end, or the limit.
        prompt_tokens: of the prompt, template included.
        tokens: that were made, the one that ends the text included.
    """
    chat = kind == "chat"
    said = {"message": {"role": "assistant", "content": text, "refusal": None}} if chat else {"text": text}
    return {
        "id": f"chatcmpl-{key}" if chat else f"cmpl-{key}",
        "object": "chat.completion" if chat else "text_completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": prompt_tokens + tokens,
        },
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
