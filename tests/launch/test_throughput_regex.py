"""What a line counts, by the user's expression, and which expressions are refused."""

import pytest

from ipexlaunch.errors import RequestError
from ipexlaunch.launch.throughput_regex import LONGEST_LINE, Doubt, Finding, read_rule


@pytest.mark.parametrize(
    ("expression", "line", "expected"),
    [
        (r"(?P<items>\d+) images", "did 32 images in 0.1 s", Finding(32)),
        (r"did (\d+) images and (\d+) more", "did 32 images and 5 more", Finding(32)),
        (r"(?P<items>\d+) prompts, (?P<tokens>\d+) tokens", "8 prompts, 256 tokens", Finding(8, 256)),
        (r"(?P<items>\d+) prompts(?:, (?P<tokens>\d+) tokens)?", "8 prompts", Finding(8)),
        (r"(?P<item>done) .*", "done a.png", Finding(1)),
        (r"(?P<total>\d+)/\d+ \[", " 50%|#####     | 500/1000 [00:05<00:05, 99.8it/s]", Finding(500)),
        (r"(?P<rate>[\d.]+) samples/s", "throughput: 123.4 samples/s", Finding(123.4)),
        (r"n=(?P<items>[\d,_]+)", "n=1,024", Finding(1024)),
        (r"n=(?P<items>[\d.]+)", "n=12.0", Finding(12)),
        (r"(?P<items>\d+) images", "nothing of the kind", None),
        (r"a|(?P<items>\d+)", "a", None),
        (r"(?P<items>\d+)", "3 then 4", Finding(3)),
        (r"(?P<items>\d+) Bilder für", "7 Bilder für dich", Finding(7)),
    ],
)
def test_what_a_line_counts(expression: str, line: str, expected: Finding | None) -> None:
    assert read_rule(expression).read(line) == expected


@pytest.mark.parametrize(
    ("expression", "line"),
    [
        (r"n=(?P<items>\S+)", "n=many"),
        (r"n=(?P<items>\S+)", "n=-3"),
        (r"n=(?P<items>\S+)", "n=1.5"),
        (r"n=(?P<items>\S+)", "n=inf"),
        (r"n=(?P<items>\S+)", "n=1e300"),
        (r"n=(?P<total>\S+)", "n=nan"),
        (r"n=(?P<rate>\S+)", "n=fast"),
        (r"n=(?P<items>\d+) t=(?P<tokens>\S+)", "n=1 t=?"),
    ],
)
def test_a_match_without_a_number_is_a_problem_with_the_words_that_stand_there(expression: str, line: str) -> None:
    found = read_rule(expression).read(line)
    assert isinstance(found, Doubt)
    assert line in found.reason


def test_what_stands_far_behind_is_not_looked_at() -> None:
    rule = read_rule(r"(?P<items>\d+)$")
    assert rule.read("x" * (LONGEST_LINE - 1) + "7") == Finding(7)
    assert rule.read("x" * LONGEST_LINE + "7") is None


def test_counts_that_do_not_multiply_are_taken() -> None:
    dates = "[{(]" + r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2} (\d{1,60000}) \{9{3}(?:a{0,1000}){0,1000}"
    assert read_rule(dates).read("{2026-11-29T15:30:00 7 {999aa") == Finding(7.0)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        (r"(\d+", "no regular expression"),
        (r"\d+ images", "no group says what is counted"),
        (r"(?P<n>\d+) images", "a group named 'n'"),
        (r"(?P<items>\d+) (?P<rate>\d+)", "groups named items and rate"),
        (r"(?P<tokens>\d+) tokens", "no group says what is counted"),
        (r"(?P<rate>\d+) (?P<tokens>\d+)", "a rate counts nothing"),
        ("a{99999999999999999999}", "no regular expression"),
        (r"(?:(?:a{1000}){1000}){1000}(\d+)", "its counts make more than 100,000 parts"),
        (r"((((((([a)]{10}){10}){10}){10}){10}){10}){10})", "its counts make more than 100,000 parts"),
        (r"\){9999999}(\d+)", "its counts make more than 100,000 parts"),
    ],
)
def test_an_expression_that_says_nothing_is_refused_with_one_that_would(expression: str, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_rule(expression)
    assert problem in caught.value.available
    assert "(?P<items>" in caught.value.hint
