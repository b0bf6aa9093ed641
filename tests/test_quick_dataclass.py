import copy
import dataclasses
import inspect
import pickle
from dataclasses import dataclass as standard
from dataclasses import field
from functools import cached_property
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.quick_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    default: float = 0.5
    required: str


@dataclass(frozen=True)
class Open:
    width: int

    @cached_property
    def double(self) -> int:
        return 2 * self.width


@dataclass(slots=True)
class Changing:
    count: int = 0


@standard(frozen=True, slots=True)
class StandardPoint:
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


@standard(frozen=True, slots=True, kw_only=True)
class StandardNamed:
    default: float = 0.5
    required: str


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}), ((1,), {}), ((1, 3), {}), ((1, 3, ["a"]), {}), ((1, 2, [], 4), {}), ((), {"x": 1}), ((1,), {"x": 1}),
    ((1,), {"names": ["b"]}), ((1,), {"z": 1}), ((), {"required": "a"}), (("a",), {}), ((), {"default": 1.0}),
]  # fmt: skip


def outcome(cls: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> str:
    try:
        return repr(cls(*arguments, **named))
    except TypeError as error:
        return str(error)


@pytest.mark.parametrize(("arguments", "named"), CALLS)
@pytest.mark.parametrize(("quick", "same"), [(Point, StandardPoint), (Named, StandardNamed)])
def test_it_is_made_shown_and_refused_as_the_standard_one(
    quick: Any, same: Any, arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    assert outcome(quick, arguments, named) == outcome(same, arguments, named).replace("Standard", "")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=2))
def test_it_is_equal_and_hashed_as_the_tuple_of_its_fields(pairs: list[tuple[int, int]]) -> None:
    one, other = (Point(x, y, ()) for x, y in pairs)  # type: ignore[arg-type]  # a list has no hash
    assert (one == other) is (pairs[0] == pairs[1])
    assert len({one, other}) == len(set(pairs))


def test_another_class_is_never_equal() -> None:
    others: list[Any] = [StandardPoint(1), (1, 2, []), None]
    assert Point(1) not in others


def test_a_factory_is_called_for_each() -> None:
    assert Point(1).names is not Point(1).names


@pytest.mark.parametrize("value", [Point(1, 2, ["a"]), Named(required="b"), Open(3), Changing(4)])
def test_it_is_copied_pickled_replaced_and_taken_apart(value: Any) -> None:
    copies = [copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value)), dataclasses.replace(value)]
    assert copies == [value] * 4
    assert type(value)(**dataclasses.asdict(value)) == value


def test_a_replaced_field_is_the_only_one_that_changes() -> None:
    assert dataclasses.replace(Point(1, 5), x=2) == Point(2, 5)


@pytest.mark.parametrize("value", [Point(1), Named(required="b"), Open(3)])
@pytest.mark.parametrize("name", ["x", "required", "width", "new"])
def test_a_frozen_one_does_not_change(value: Any, name: str) -> None:
    before = repr(value)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, 7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(value, name)
    assert repr(value) == before


def test_what_may_change_changes_and_has_no_hash() -> None:
    value = Changing()
    value.count = 3
    assert value == Changing(3)
    with pytest.raises(TypeError):
        hash(value)


def test_slots_are_as_asked() -> None:
    assert not hasattr(Point(1), "__dict__")
    value = Open(3)
    assert (value.double, value.double) == (6, 6)
    assert value == Open(3)


def test_tools_see_its_fields() -> None:
    assert list(inspect.signature(Point).parameters) == ["x", "y", "names"]
    assert [f.name for f in dataclasses.fields(Named)] == ["default", "required"]
    match Point(1, 3):
        case Point(x, y):
            assert (x, y) == (1, 3)
