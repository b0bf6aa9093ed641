"""Servers in slots: probes, restarts, rolling reloads, and one endpoint in front of them."""
