"""Let MLPerf LoadGen ask the questions and take the time: the only package that imports it."""

from ipexlaunch.run_loadgen.answered import Answered
from ipexlaunch.run_loadgen.load_test import LoadRules, LoadTest, Scenario

__all__ = ["Answered", "LoadRules", "LoadTest", "Scenario"]
