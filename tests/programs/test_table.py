"""The table of the campaign and the page that it writes: enough programs, of enough kinds, and a row for each."""

import re

from tests.programs.campaign import BEGIN, END, PAGE, filled
from tests.programs.table import PROGRAMS


def test_there_are_twenty_programs_of_five_ecosystems_with_names_of_their_own() -> None:
    assert len(PROGRAMS) >= 20
    assert len({program.ecosystem for program in PROGRAMS}) >= 5
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS)
    for program in PROGRAMS:
        assert bool(program.words) != bool(program.driver)
        if program.own_rate:
            assert re.compile(program.own_rate).groups == 1


def test_the_page_has_a_row_for_each() -> None:
    table = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]
    assert rows == [program.name for program in PROGRAMS]


def test_the_campaigns_places_are_filled_in_and_the_launchers_are_left() -> None:
    assert filled(("{cache}/x-{index}", "{other}"), {"cache": "/c"}) == ["/c/x-{index}", "{other}"]
