"""Hands the shards of a job to an engine: what it is to be told, and the telling."""
