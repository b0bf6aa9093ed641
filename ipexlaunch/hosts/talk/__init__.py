"""Sockets between the hosts of a group, served by a thread of their own: no supervisor waits for another host, and no
host that is busy looks lost.
"""
