"""Servers in slots: one pinned server on each instance, and one endpoint in front of them."""
