"""Jobs in shards under fire: whatever process or host is lost, stopped or comes back, each item ends in one place."""
