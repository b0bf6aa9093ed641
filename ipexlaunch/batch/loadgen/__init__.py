"""Let MLPerf LoadGen ask the questions and take the time: the only package that imports it."""

from ipexlaunch.batch.loadgen.load_test import LoadRules, LoadTest, Scenario

__all__ = ["LoadRules", "LoadTest", "Scenario"]
