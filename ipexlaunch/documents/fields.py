"""What a field of a value says of its place in a document, where its name and its type do not say it all.

`Annotated[int, Bounds(ge=0)]` bounds it, `Annotated[frozenset[int], Encoded(read, write)]` stands there as something
else, and `field(metadata=in_documents(...))` gives it another key. `documents.codec` reads and writes by them; nothing
heavy is imported here, so that values can use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

KEY, LACKING = "key", "lacking"


class Bounds:
    """What the value keeps within, in the words of pydantic's schemas: ge, gt, le, lt, pattern, min_length."""

    def __init__(self, **limits: object) -> None:
        """Of one field."""
        self._limits = limits

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**handler(source), **self._limits}


BEYOND = 1 << 63
"""No count and no size reaches it; cgroups say 2^63 - 4096 where they set no limit."""

NonNegativeInt = Annotated[int, Bounds(ge=0, lt=BEYOND)]
PositiveInt = Annotated[int, Bounds(ge=1, lt=BEYOND)]
AnyInt = Annotated[int, Bounds(gt=-BEYOND, lt=BEYOND)]
AnyFloat = Annotated[float, Bounds(ge=-1e300, le=1e300)]
Seconds = Annotated[float, Bounds(ge=-1e15, le=1e15)]
"""Of any clock that there is; sums and differences of them stay numbers."""


class OneOf:
    """That it is one of these."""

    def __init__(self, *choices: str) -> None:
        """Of one field."""
        self._choices = choices

    def __get_pydantic_core_schema__(self, source: Any, handler: object) -> dict[str, Any]:
        return {"type": "literal", "expected": list(self._choices)}


class Encoded:
    """That the value stands in documents as something else, such as a set of cpus as "0-3"."""

    def __init__(self, read: Callable[[Any], Any], write: Callable[[Any], Any]) -> None:
        """Give both ways.

        Args:
            read: what stands there -> the value; a ValueError says what should stand there.
            write: the value -> what stands there.
        """
        self._read, self.write = read, write

    def __get_pydantic_core_schema__(self, source: Any, handler: object) -> dict[str, Any]:
        return {"type": "function-plain", "function": {"type": "no-info", "function": self._read}}


class Checked:
    """That the value, read as its type says, is looked at once more."""

    def __init__(self, check: Callable[[Any], Any]) -> None:
        """Give the look.

        Args:
            check: the value -> the same; a ValueError says what is wrong with it.
        """
        self._check = check

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        function = {"type": "no-info", "function": self._check}
        return {"type": "function-after", "function": function, "schema": handler(source)}


class AsList:
    """Base of dataclasses that stand in documents as the list of their fields; the last ones may be missing."""

    __slots__ = ()


def in_documents(*, key: str) -> Mapping[str, Any]:
    """The metadata of a field whose key is not its name.

    Args:
        key: what it is; "" where it stands in no document.
    """
    return {KEY: key}


OMITTED: Mapping[str, Any] = {LACKING: "written"}
"""The metadata of a field that is left out where it has its default."""

LATER: Mapping[str, Any] = {LACKING: "read"}
"""The metadata of a field that the first documents of a kind do not have, where others must have every key."""


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("input should be a valid string")
    return str(value)


TextOrInt = Annotated[str, Encoded(_text, str)]
"""That may be all digits: YAML reads 5 without quotes as a number."""
