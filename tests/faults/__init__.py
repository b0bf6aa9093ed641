"""Faults at random moments of real runs: nothing is left, nothing hangs, the exit code and the report are right."""
