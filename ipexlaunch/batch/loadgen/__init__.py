"""Let MLPerf LoadGen ask the questions and take the time: the only package that imports it."""

from ipexlaunch.batch.loadgen.load_test import LoadRules, LoadTest, Scenario
from ipexlaunch.batch.loadgen.recorder import Answered

__all__ = ["Answered", "LoadRules", "LoadTest", "Scenario"]
