"""A run while it lasts: the live view, the status socket that `top` asks, the metrics."""
