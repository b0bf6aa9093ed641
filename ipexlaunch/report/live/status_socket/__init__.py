"""Runs tell how they stand to whoever of the same user asks, over a Unix socket each."""
