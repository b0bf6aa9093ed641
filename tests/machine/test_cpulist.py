import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import format_list, parse_list


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", set()),
        ("0\n", {0}),
        ("0-3,8", {0, 1, 2, 3, 8}),
        ("8,0-3", {0, 1, 2, 3, 8}),
        ("2-2", {2}),
        ("0-2,1-3", {0, 1, 2, 3}),
    ],
)
def test_a_list_names_its_ids(text: str, ids: set[int]) -> None:
    assert parse_list(text) == ids


@pytest.mark.parametrize("text", ["3-1", "a", "1,,2", "-1", "1-", "0x1", "1.5", "٣", "1 2", "0-99999999999"])
def test_what_is_no_list_is_refused_with_the_text_that_was_given(text: str) -> None:
    with pytest.raises(RequestError) as error:
        parse_list(text, "--cores-list")
    assert repr(text) in str(error.value)
    assert "--cores-list" in str(error.value)
    assert "\n" not in str(error.value)


@given(st.frozensets(st.integers(0, 5000)))
def test_what_is_written_reads_back(ids: frozenset[int]) -> None:
    assert parse_list(format_list(ids)) == ids


def test_runs_are_written_as_ranges() -> None:
    assert format_list([5, 0, 1, 2, 2, 7, 8]) == "0-2,5,7-8"
