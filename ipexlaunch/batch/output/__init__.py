"""Append the results of a batch job to its output, durably: the only package that writes it."""
