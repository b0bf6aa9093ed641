"""Values of a batch job: items, the queue that gives them out, what is done, and the figures of it."""
