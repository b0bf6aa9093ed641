"""Starts a plan's workers, binds them, watches and stops them, and proves where they were."""
