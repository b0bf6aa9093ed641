"""What `ipexlaunch shards` does: cut a batch job into shards, try one, look how they stand, merge them."""
