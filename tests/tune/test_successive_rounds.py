"""Who leads, who is out, and how sure that is."""

from __future__ import annotations

import math
import random

import pytest

from ipexlaunch.tune.space import Setting
from ipexlaunch.tune.successive_rounds import noise_of, rounds_of, standings
from ipexlaunch.tune.trial import Trial

FAST, SLOW, THIRD = Setting(split="4x7"), Setting(split="2x14"), Setting(split="1x28")


def run(setting: Setting, number: int, rate: float | None, trouble: str = "") -> Trial:
    return Trial(setting=setting, seconds=5, round=number, rate=rate, trouble=trouble)


def test_drift_that_all_share_does_not_change_who_leads() -> None:
    # Each round is a tenth slower than the one before; the slow one happened to run in the first, fast round too.
    history = [run(SLOW, 1, 97), run(FAST, 1, 100), run(SLOW, 2, 87), run(FAST, 2, 90), run(FAST, 3, 81)]
    table = standings(history)
    assert [each.setting for each in table] == [FAST, SLOW]
    assert table[1].behind == pytest.approx(math.log(100 / 97), abs=0.005)


def test_one_lucky_run_does_not_lead() -> None:
    history = [run(s, n, rate) for n in (1, 2, 3, 4) for s, rate in ((FAST, 100.0 + n), (SLOW, 95.0 + n))]
    lucky = [*history, run(THIRD, 4, 105)]
    assert standings(lucky)[0].setting == FAST
    assert standings(lucky)[0].behind == 0


def test_more_rounds_make_sure() -> None:
    chance = random.Random(1)
    history = [
        run(s, n, rate * math.exp(chance.gauss(0, 0.03)))
        for n in range(1, 13)
        for s, rate in ((FAST, 100.0), (SLOW, 95.0))
    ]
    few, many = standings(history[:4])[1], standings(history)[1]
    assert many.error < few.error
    assert many.might_gain < 0.01


def test_a_setting_that_failed_once_is_not_in_the_table() -> None:
    history = [run(FAST, 1, 100), run(SLOW, 1, 90), run(FAST, 2, None, "instance 0 was killed")]
    assert [each.setting for each in standings(history)] == [SLOW]


def test_noise_is_what_repeats_differ_by() -> None:
    chance = random.Random(2)
    settings = [Setting(split=f"{n}x1") for n in range(1, 9)]
    for noise in (0.015, 0.06):
        history = [
            run(s, n, 50.0 * k * math.exp(chance.gauss(0, noise)))
            for n in range(1, 9)
            for k, s in enumerate(settings, start=1)
        ]
        assert noise_of(rounds_of(history)) == pytest.approx(noise, rel=0.35)


def test_what_was_seen_before_the_race_is_a_round_of_it_for_those_who_race() -> None:
    history = [run(FAST, 0, 10), run(FAST, 0, 30), run(FAST, 0, 20), run(THIRD, 0, 99), run(FAST, 1, 20)]
    assert rounds_of(history) == {0: {FAST: math.log(20)}, 1: {FAST: math.log(20)}}
