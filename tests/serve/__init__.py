"""Endpoints: real proxies in front of small servers that are killed, drained and restarted under load."""
