"""Start, watch and stop the workers of a launch: the only package that starts processes or handles signals."""

from ipexlaunch.supervise.loop import supervise

__all__ = ["supervise"]
