"""From a run's raw facts to one honest report."""
