"""The built-in workers: programs that the launcher starts with `python -m` in the workers' interpreter."""
