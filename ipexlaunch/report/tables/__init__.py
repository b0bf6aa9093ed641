"""Runs, searches and candidates as tables of text."""
