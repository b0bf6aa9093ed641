"""Arguments, names and paths of any bytes: they arrive as they were, in every document too."""
