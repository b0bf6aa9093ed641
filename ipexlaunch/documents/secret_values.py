"""Which values are secrets, and what stands for them in everything that is written or shown: one rule for all.

A secret is the value of a name that says so (API_KEY, --token, "password" in JSON), a password or a signature in an
address, and what follows the word Bearer. "***" stands for it; whoever repeats a run finds the value in a variable of
the same name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MASK = "***"

UNNAMED = "PASSWORD"
"""The variable for a secret that has no name, such as that in an address."""

_ANYWHERE = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|OAUTH|(?:API|AUTH|ACCESS|PRIVATE)KEY|"
    r"(?:API|AUTH|ACCESS|REFRESH|BEARER|SESSION|HF|GH|GITHUB|GITLAB)TOKEN(?!IZ)"
)
"""Say "secret" wherever they stand in a name: people write OPENAIAPIKEY and PGPASSWORD."""

_WORDS = frozenset(
    {
        "KEY",
        "TOKEN",
        "AUTH",
        "AUTHORIZATION",
        "PASS",
        "PW",
        "PWD",
        "COOKIE",
        "COOKIES",
        "PRIVATE",
        "DSN",
        "BEARER",
        "JWT",
    }
)
"""Say so as words of their own: MONKEY, KEYBOARD, AUTHOR and TOKENIZERS_PARALLELISM do not."""

_NOT_BEFORE = frozenset(
    {"PAD", "EOS", "BOS", "UNK", "SEP", "CLS", "MASK", "STOP", "NEXT", "FIRST", "NUM", "SORT", "PRIMARY"}
)
"""Of vocabularies and tables: EOS_TOKEN, SORT_KEY."""

_NOT_LAST = frozenset({"FILE", "PATH", "DIR", "DIRECTORY", "COUNT", "SIZE", "LENGTH", "LIMIT", "TYPE", "NAME", "FIELD"})
"""Names of what is no secret itself: KEY_FILE, TOKEN_LIMIT."""

_NOT_FIRST = frozenset({"NO", "DISABLE", "SKIP", "WITHOUT"})

_SWITCHES = frozenset({"", "0", "1", "true", "false", "yes", "no", "on", "off", "none", "null"})
"""No secrets, whatever their name."""

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_ADDRESS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@'\"<>]*:)(?!\d{1,5}(?:[/?#\s,]|$))[^\s'\"<>]*?@"
    r"(?=(?:\[[^\s@\]]*\]|[^\s@/?#'\"<>:,]*)(?::\d*)?(?:[/?#\s'\"<>,;)]|$))"
)
"""scheme://user:password@host; a password may hold what should be escaped in it, such as / and @."""

_TOKEN_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#:@'\"<>]{20,}(?=(?::[^\s/?#'\"<>]*)?@)")
"""scheme://token@host: no user's name is so long."""

_BARE_ADDRESS = re.compile(
    r"(?<![^\s=,;'\"<>])([\w.%+-]*:)[^\s/@'\"<>,;]+@(?=(?:[A-Za-z0-9-]+\.[A-Za-z0-9.-]+|[A-Za-z0-9.-]+:\d{1,5}(?!\w)))"
)
"""user:password@host.domain and user:password@host:port, as variables of proxies have them, without a scheme."""

_SIGNED = re.compile(r"([?&](?:[\w-]+-)?sig(?:nature)?=)[^\s&#'\"<>]+", re.IGNORECASE)
"""Addresses of stored objects that let in whoever has them."""

_OPTION_IN_TEXT = re.compile(r"(?<![\w-])(--[A-Za-z][\w.-]*[ \t]+)(\"[^\"]*\"|'[^']*'|[^\s'\"<>-][^\s'\"<>]*)")
"""--name value within a text that is a command itself: `sh -c "..."`, EXTRA_ARGS."""

_BEARER = re.compile(r"\b((?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)

_ASSIGNED = re.compile(
    r"(?<![\w.-])(-{0,2}[A-Za-z_][\w.-]*=)(\"[^\"]*\"|'[^']*'|[^\s&;,'\"<>)]+?(?=:?(?:[\s&;,'\"<>)]|$)))"
)
"""NAME=value, --name=value, ?name=value&... within a text."""

_MEMBER = re.compile(r"(\\?[\"']([\w.-]+)\\?[\"']\s*:\s*)(\\?[\"'])((?:(?!\3).)*)(\3)")
"""A text in JSON or in Python's notation."""

_WHOLE_ASSIGNMENT = re.compile(r"((-{0,2}[A-Za-z_][\w.-]*)=)(.*)", re.DOTALL)
_HEADER = re.compile(r"(([A-Za-z][\w-]*): ?)(.*)", re.DOTALL)
_OPTION = re.compile(r"--[A-Za-z][\w.-]*|-[A-Za-z]+")


def is_secret_name(name: str) -> bool:
    """Whether the value of an option, a variable, a header or a key of this name is a secret.

    Args:
        name: such as "API_KEY", "--api-key" or "apiKey".
    """
    words = [part.upper() for part in _PART.findall(name)]
    if not words or words[-1] in _NOT_LAST or words[0] in _NOT_FIRST:
        return False
    if _ANYWHERE.search("".join(words)):
        return True
    before = ["", *words]
    return any(
        word in _WORDS and before[place] not in _NOT_BEFORE and (word != "PWD" or before[place] not in ("", "OLD"))
        for place, word in enumerate(words)
    )


def mask_text(text: str) -> str:
    """The text without passwords in addresses, and without values that stand beside the name of a secret.

    Args:
        text: any; a message, a path, an address, JSON.
    """
    if "://" in text:
        text = _ADDRESS.sub(rf"\1{MASK}@", _TOKEN_ADDRESS.sub(rf"\1{MASK}", _SIGNED.sub(rf"\1{MASK}", text)))
    if "@" in text:
        text = _BARE_ADDRESS.sub(rf"\1{MASK}@", text)
    if "--" in text:
        text = _OPTION_IN_TEXT.sub(_assignment, text)
    if "=" in text:
        text = _ASSIGNED.sub(_assignment, text)
    if ":" in text and ('"' in text or "'" in text):
        text = _MEMBER.sub(_member, text)
    return _BEARER.sub(rf"\1{MASK}", text)


def _assignment(match: re.Match[str]) -> str:
    head, value = match.groups()
    return head + (MASK if _hides(head.rstrip("= \t"), value.strip("'\"")) else value)


def _member(match: re.Match[str]) -> str:
    head, name, quote, value, end = match.groups()
    return head + quote + (MASK if _hides(name, value) else value) + end


def _hides(name: str, value: str) -> bool:
    return value.lower() not in _SWITCHES and is_secret_name(name)


def mask_value(name: str, value: str) -> str:
    """The value of a name as it may be shown.

    Args:
        name: of the variable, option, header or key.
        value: what it is set to.
    """
    return MASK if _hides(name, value) else mask_text(value)


def mask_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables as they may be shown.

    Args:
        variables: names to values.
    """
    return {name: mask_value(name, value) for name, value in variables.items()}


@dataclass(frozen=True, slots=True)
class _Word:
    """One word of a command as it may be shown."""

    lead: str
    """Before the value: "--token=", "Authorization: " or nothing."""
    value: str
    """Masked, wholly or in part."""
    variable: str
    """What holds the whole value; "" where the value has no name."""

    @property
    def text(self) -> str:
        return self.lead + self.value


def _words(words: Sequence[str]) -> list[_Word]:
    found: list[_Word] = []
    option = ""
    for word in words:
        header, assigned = _HEADER.fullmatch(word), _WHOLE_ASSIGNMENT.fullmatch(word)
        names = [each[2] for each in (header, assigned) if each is not None]
        if option and not word.startswith("--") and (is_secret_name(option) or not any(map(is_secret_name, names))):
            found.append(_Word("", mask_value(option, word), _variable(option)))
        elif assigned is not None:
            lead, name, value = assigned.groups()
            found.append(_Word(lead, mask_value(name, value), _variable(name)))
        elif header is not None and _hides(header[2], header[3]):
            found.append(_Word(header[1], MASK, _variable(header[2])))
        else:
            found.append(_Word("", mask_text(word), ""))
        is_option = _OPTION.fullmatch(word) is not None and not (option and is_secret_name(option))
        option = word if is_option and (word.startswith("--") or len(word) > 2) else ""
    return found


def _variable(name: str) -> str:
    """--api-key has API_KEY; a variable has itself."""
    variable = re.sub(r"\W", "_", name.lstrip("-"))
    return variable.upper() if name.startswith("-") else variable


def mask_words(words: Sequence[str]) -> tuple[str, ...]:
    """A command's words as they may be shown: `--api-key X`, `--token=X`, `-H 'Authorization: X'`, addresses.

    Args:
        words: the program and its arguments, or the arguments alone.
    """
    return tuple(word.text for word in _words(words))


def masked(value: Any, name: str = "") -> Any:
    """A value of JSON with every text in it as it may be shown.

    Args:
        value: a text, or lists and objects of any depth; what is no text stays.
        name: the key that it stands under.
    """
    if isinstance(value, str):
        return mask_value(name, value)
    if isinstance(value, Mapping):
        return {key: masked(each, str(key)) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        texts = all(isinstance(each, str) for each in value) and not is_secret_name(name)
        return list(mask_words(value)) if texts else [masked(each, name) for each in value]
    return value


def shell_line(words: Sequence[str]) -> str:
    """A command that can be pasted into a shell, with "$API_KEY" where a secret stands.

    Args:
        words: the command.
    """
    return " ".join(
        shlex.quote(word) if shown.text == word else _with_reference(shown)
        for word, shown in zip(words, _words(words), strict=True)
    )


def _with_reference(word: _Word) -> str:
    if word.variable:
        return (shlex.quote(word.lead) if word.lead else "") + f'"${word.variable}"'
    parts = [shlex.quote(part) if part else "" for part in word.text.split(MASK)]
    return f'"${UNNAMED}"'.join(parts)


def with_secrets(words: Sequence[str], variables: Mapping[str, str]) -> tuple[tuple[str, ...], list[str]]:
    """Words that `mask_words` gave with their secrets in place again, and the variables that this needs and that lack.

    Args:
        words: as they were kept; secrets that were kept as they are stay.
        variables: the process's own.
    """
    filled: list[str] = []
    missing: list[str] = []
    probed = _words([word.replace(MASK, "probe-of-a-value") for word in words])
    for word, shown in zip(words, probed, strict=True):
        name = shown.variable or UNNAMED
        if MASK not in word or MASK not in shown.text:
            filled.append(word)
        elif name not in variables:
            missing.append(name)
        elif shown.variable:
            filled.append(shown.lead + variables[name])
        else:
            filled.append(word.replace(MASK, variables[name]))
    return tuple(filled), list(dict.fromkeys(missing))
