"""Give the workers of a batch job their items, and make what they have done durable before it counts."""

from ipexlaunch.feed_workers.feeder import FeedRules, QueueFeeder
from ipexlaunch.feed_workers.journal import Journal
from ipexlaunch.feed_workers.journal_apart import JournalApart

__all__ = ["FeedRules", "Journal", "JournalApart", "QueueFeeder"]
