"""Draws runs and computes their intervals: the only package that imports matplotlib and scipy (extra `report`)."""
