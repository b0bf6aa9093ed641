"""One line of an OpenAI batch file: which texts it gives the model, and how it wants tokens chosen.

Source: OpenAI's API reference (Batch, Chat Completions, Completions, Embeddings), as of 2026.
What a field asks for is done or refused; nothing that would change the answer is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

Kind = Literal["chat", "completion", "embedding"]

URLS: Mapping[str, Kind] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completion",
    "/v1/embeddings": "embedding",
}

TASKS: Mapping[str, frozenset[Kind]] = {
    "generate": frozenset({"chat", "completion"}),
    "embed": frozenset({"embedding"}),
}
"""Task of the built-in worker to the requests that it answers."""

_PASSED_OVER = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "seed"})
"""Fields that change no answer here; `seed` is read where tokens are generated."""

_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1, None),
    "best_of": (1, None),
    "stream": (False, None),
    "stream_options": (None,),
    "logprobs": (False, None),
    "top_logprobs": (0, None),
    "echo": (False, None),
    "suffix": (None, ""),
    "presence_penalty": (0, None),
    "frequency_penalty": (0, None),
    "logit_bias": ({}, None),
    "tools": ([], None),
    "tool_choice": ("none", "auto", None),
    "parallel_tool_calls": (True, False, None),
    "functions": ([], None),
    "function_call": ("none", "auto", None),
    "response_format": ({"type": "text"}, None),
    "modalities": (["text"], None),
    "dimensions": (None,),
}
"""Fields that are not carried out, each with the values that ask for nothing."""

_OWN: Mapping[Kind, frozenset[str]] = {
    "chat": frozenset({"messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed"}),
    "completion": frozenset({"prompt", "max_tokens", "temperature", "top_p", "stop", "seed"}),
    "embedding": frozenset({"input", "encoding_format"}),
}

MOST_STOPS = 4
"""Source: the API reference, `stop`: up to 4 sequences."""


class BadRequest(Exception):
    """A request that cannot be answered: an error row, not the end of the job."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_request_error", status: int = 400):
        """Keep what an error row tells.

        Args:
            message: one sentence.
            param: the field that is at fault.
            code: for programs.
            status: the HTTP status that a server would give.
        """
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen."""

    max_tokens: int
    temperature: float = 1.0
    """0: always the likeliest."""
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIRequest:
    """One request."""

    custom_id: str
    kind: Kind
    model: str
    """As the request names it."""
    inputs: tuple[str | tuple[int, ...], ...] = ()
    """Texts or token ids; one for a completion, one or more for embeddings, none for a chat."""
    messages: tuple[Mapping[str, object], ...] = ()
    """Of a chat, each with its content as text."""
    sampling: Sampling | None = None
    base64: bool = False
    """Embeddings as base64 of little-endian fp32."""


def read_request(row: object, task: str, most_tokens: int) -> OpenAIRequest:
    """The request that a line of a batch file holds.

    Args:
        row: the line's value.
        task: of the built-in worker, "generate" or "embed".
        most_tokens: new tokens that it can make; what a request without a limit gets.

    Raises:
        BadRequest: it is none, or asks for what is not done here.
    """
    if not isinstance(row, dict):
        raise BadRequest("a line of a batch file is an object")
    custom_id = row.get("custom_id")
    if not isinstance(custom_id, str):
        raise BadRequest("custom_id should be text", "custom_id")
    if row.get("method") != "POST":
        raise BadRequest(f"method should be 'POST', not {_short(row.get('method'))}", "method")
    url = row.get("url")
    kind = URLS.get(url) if isinstance(url, str) else None
    if kind is None or kind not in TASKS.get(task, ()):
        served = ", ".join(name for name, each in URLS.items() if each in TASKS.get(task, ()))
        problem = f"url {_short(url)} is not served by --task {task}, which serves {served}"
        raise BadRequest(problem, "url", "invalid_url")
    body = row.get("body")
    if not isinstance(body, dict):
        raise BadRequest("body should be an object", "body")
    _refuse_others(body, kind)
    model = body.get("model")
    if not isinstance(model, str):
        raise BadRequest("model should be text", "model")
    if kind == "embedding":
        form = body.get("encoding_format")
        if form not in (None, "float", "base64"):
            raise BadRequest(f"encoding_format should be 'float' or 'base64', not {_short(form)}", "encoding_format")
        inputs = _inputs(body.get("input"), "input")
        return OpenAIRequest(custom_id=custom_id, kind=kind, model=model, inputs=inputs, base64=form == "base64")
    sampling = _sampling(body, kind, most_tokens)
    if kind == "chat":
        messages = _messages(body.get("messages"))
        return OpenAIRequest(custom_id=custom_id, kind=kind, model=model, messages=messages, sampling=sampling)
    prompt = _inputs(body.get("prompt"), "prompt")
    if len(prompt) != 1:
        raise BadRequest("prompt should be one text, or one list of tokens", "prompt")
    return OpenAIRequest(custom_id=custom_id, kind=kind, model=model, inputs=prompt, sampling=sampling)


def request_key(row: object) -> str:
    """A name that the same request has in every job, for the ids of its answer and for its seed.

    Args:
        row: the line's value.
    """
    return sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:24]


def _refuse_others(body: Mapping[str, object], kind: Kind) -> None:
    for name, value in body.items():
        if name == "model" or name in _OWN[kind] or name in _PASSED_OVER:
            continue
        if name not in _NEUTRAL:
            raise BadRequest(f"unrecognized field {_short(name)}", name, "unknown_parameter")
        zero = _is_number(value) and value == 0 and 0 in _NEUTRAL[name]  # 0.0 is 0
        if not zero and not any(value == each and type(value) is type(each) for each in _NEUTRAL[name]):
            raise BadRequest(f"{name} {_short(value)} is not supported", name, "unsupported_value")


def _sampling(body: Mapping[str, object], kind: Kind, most_tokens: int) -> Sampling:
    names = ("max_completion_tokens", "max_tokens") if kind == "chat" else ("max_tokens",)
    given = next((name for name in names if body.get(name) is not None), None)
    wanted = most_tokens if given is None else body[given]
    if type(wanted) is not int or wanted < 1:
        raise BadRequest(f"{given} should be a whole number from 1, not {_short(wanted)}", given)
    if wanted > most_tokens:
        raise BadRequest(f"{given} {_short(wanted)} is more than the {most_tokens} of --new-tokens", given)
    seed = body.get("seed")
    if seed is not None and (type(seed) is not int or not -(2**63) <= seed < 2**63):
        raise BadRequest(f"seed should be a whole number of 64 bits, not {_short(seed)}", "seed")
    return Sampling(
        max_tokens=wanted,
        temperature=_number(body, "temperature", 0.0, 2.0),
        top_p=_number(body, "top_p", 0.0, 1.0),
        seed=seed,
        stop=_stops(body.get("stop")),
    )


def _number(body: Mapping[str, object], name: str, low: float, high: float) -> float:
    value: Any = body.get(name)
    if value is None:
        return 1.0
    if not _is_number(value) or not low <= value <= high:
        raise BadRequest(f"{name} should be a number from {low:g} to {high:g}, not {_short(value)}", name)
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _stops(value: object) -> tuple[str, ...]:
    listed = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > MOST_STOPS or not all(isinstance(s, str) and s for s in listed):
        raise BadRequest(f"stop should be a text, or up to {MOST_STOPS} texts, none of them empty", "stop")
    return tuple(listed)


def _messages(value: object) -> tuple[Mapping[str, object], ...]:
    if not isinstance(value, list) or not value:
        raise BadRequest("messages should be a list of at least one message", "messages")
    return tuple(_message(each, f"messages[{at}]") for at, each in enumerate(value))


def _message(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or value.get("role") not in ("system", "developer", "user", "assistant"):
        raise BadRequest(f"{where} should have a role: system, developer, user or assistant", where)
    content = value.get("content")
    if isinstance(content, list):
        texts: list[Any] = [
            part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"
        ]
        if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
            raise BadRequest(f"{where}.content has parts that are not text", where, "unsupported_value")
        content = "".join(texts)
    if not isinstance(content, str):
        raise BadRequest(f"{where}.content should be text", where)
    role = "system" if value["role"] == "developer" else value["role"]  # models were trained before it had this name
    return {"role": role, "content": content}


def _inputs(value: object, name: str) -> tuple[str | tuple[int, ...], ...]:
    """A text, texts, tokens, or lists of tokens."""
    if isinstance(value, str) or _are_tokens(value):
        value = [value]
    if not isinstance(value, list) or not value:
        raise BadRequest(f"{name} should be a text or a list, not {_short(value)}", name)
    if not all(each if isinstance(each, str) else _are_tokens(each) for each in value):
        raise BadRequest(f"{name} should be texts or lists of tokens, none of them empty", name)
    return tuple(each if isinstance(each, str) else tuple(each) for each in value)


def _are_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_token, value))


def _is_token(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
