"""What can run a model, in which numbers: candidates, jobs, what is known of them, what was measured. Values only."""
