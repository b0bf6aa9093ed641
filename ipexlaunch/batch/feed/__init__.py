"""Give the workers of a batch job their items, and make what they have done durable before it counts."""

from ipexlaunch.batch.feed.commit_log import Answered, Journal
from ipexlaunch.batch.feed.commits import JournalApart
from ipexlaunch.batch.feed.fault_limits import FeedRules
from ipexlaunch.batch.feed.feeder import QueueFeeder

__all__ = ["Answered", "FeedRules", "Journal", "JournalApart", "QueueFeeder"]
