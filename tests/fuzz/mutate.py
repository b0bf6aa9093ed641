"""Small changes to text and to plain data, such as people, other versions and broken disks make."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

TOKENS = (
    *("0", "-1", "65535", "4294967295", "9" * 5000, "0-3", "3-0", "0-1048577", ",", "\n", "\0", "\udcff", "\x1b[31m"),
    *(
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1e9",
        ".nan",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "&a [*a]",
        "*a",
        "<<: *a",
        '"',
        "'",
    ),
    *(
        "!!python/none",
        "!!int ",
        "!!binary x",
        "!tag ",
        "schema: !x y\n",
        "? ",
        "| ",
        "> ",
        "---\n",
        "...\n",
        "%YAML 9.9\n",
    ),
    *("null", "true", "~", "٣", "\u2028", "\ufeff", "😀", "[" * 3000, "{a: " * 200, "\t", "#"),
)
"""What is put between or in the place of letters."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 10**400, 0.5, -0.5, 1e308, float("nan"), float("inf")),
    *("", "0-3", "3-0", "x", "\udcff", "\x1b[2J", "9" * 5000, "x $\\undefined$", "-", "/", "nan", "1e400"),
    *([], [1], [[]], [None], {}, {"a": 1}, {"": None}, {"schema": "ipexlaunch/plan/1"}),
)
"""What is put in the place of a value."""


def mutated_text(text: str, random_: random.Random) -> str:
    """The text with one to three small changes."""
    for _ in range(random_.randint(1, 3)):
        at, end = sorted((random_.randint(0, len(text)), random_.randint(0, len(text))))
        token = random_.choice(TOKENS)
        kind = random_.randrange(7)
        if kind == 0:
            text = text[:at] + token + text[at:]
        elif kind == 1:
            text = text[:at] + token + text[at + 1 :]
        elif kind == 2:
            text = text[:at] + text[end:]
        elif kind == 3:
            text = text[:at]
        elif kind == 4:
            text = text[:at] + chr(random_.randrange(1, 0x250)) + text[at + 1 :]
        elif kind == 5:
            text = text + text[at : min(end, at + 2000)]
        else:
            text = token + "\n" if random_.random() < 0.2 else text[:at] + text[at + 1 :]
    return text


def mutated_data(data: Any, random_: random.Random) -> Any:
    """A copy of plain data in which one to three places are changed, missing, new or swapped."""
    data = copy.deepcopy(data)
    for _ in range(random_.randint(1, 3)):
        places = list(_places(data))
        if not places:
            return copy.deepcopy(random_.choice(VALUES))
        holder, key = random_.choice(places)
        other = random_.choice(places)
        change: Callable[[], None] = random_.choice(
            (
                lambda h=holder, k=key: h.__setitem__(k, copy.deepcopy(random_.choice(VALUES))),
                lambda h=holder, k=key: h.__setitem__(k, copy.deepcopy(random_.choice(VALUES))),
                lambda h=holder, k=key: h.__delitem__(k),
                lambda h=holder, k=key, o=other: h.__setitem__(k, _at(o)),
                lambda h=holder: _add(h, random_),
                lambda h=holder, k=key: h.__setitem__(k, str(h[k])),
            )
        )
        change()
    return data


def _places(data: Any) -> Any:
    """(container, key or index) of every value in plain data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield data, key
        yield from _places(value)


def _at(place: tuple[Any, Any]) -> Any:
    holder, key = place
    try:
        return copy.deepcopy(holder[key])
    except (KeyError, IndexError):
        return None


def _add(holder: Any, random_: random.Random) -> None:
    if isinstance(holder, dict):
        name = random_.choice(("indx", "x", "", "schema", "\udcff", "0", "9" * 5000))
        holder[name] = copy.deepcopy(random_.choice(VALUES))  # which a later change may change
    else:
        holder.append(copy.deepcopy(random_.choice(VALUES)))
