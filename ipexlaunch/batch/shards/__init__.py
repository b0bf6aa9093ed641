"""A batch job in shards: ranges of one input, each tried until one attempt at it is committed, then merged."""
