"""Batch jobs under fire: whatever is killed, stopped, cut or filled up, each item ends in one place."""
