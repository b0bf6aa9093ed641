"""Give the workers of a batch job their items, and make what they have done durable before it counts."""

from ipexlaunch.batch.feed.commit_log import CallbackJournal, Journal
from ipexlaunch.batch.feed.commits import ThreadedJournal
from ipexlaunch.batch.feed.fault_limits import FeedRules
from ipexlaunch.batch.feed.feeder import QueueFeeder

__all__ = ["CallbackJournal", "FeedRules", "Journal", "QueueFeeder", "ThreadedJournal"]
