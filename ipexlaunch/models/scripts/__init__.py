"""Runs an unchanged script in the worker's interpreter and watches the calls of its models. Never imports torch."""
