"""Loads, prepares, runs and checks models in the worker's interpreter: the only importer of torch and what needs it."""
