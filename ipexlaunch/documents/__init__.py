"""Text that comes in or goes out: read strictly with the place of every mistake, made harmless, written whole."""
