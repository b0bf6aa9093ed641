"""The field of a document that holds a list of ids, for the validator (loaded only where a document is read)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import parse_list


def checked_list(text: str) -> str:
    """The text itself, where it is a list of ids.

    Args:
        text: such as "0-3,8".

    Raises:
        ValueError: it is none.
    """
    try:
        parse_list(text)
    except RequestError as error:
        raise ValueError(f"should be a list of ids: {error.available}") from None
    return text


CpuList = Annotated[str, AfterValidator(checked_list)]
"""A model's field that holds "0-3,8"; read it with `parse_list`."""
