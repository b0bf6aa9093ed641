"""Runs as one page with charts: the only package that imports matplotlib and scipy (extra `report`)."""
