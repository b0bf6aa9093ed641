"""Every item of a batch job once, whatever dies."""
