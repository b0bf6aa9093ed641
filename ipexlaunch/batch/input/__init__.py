"""Stream the items of a batch job from its input: the only package that reads it."""
