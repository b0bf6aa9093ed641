"""Where a worker is meant to be, where it really was, and whether that is the same."""
