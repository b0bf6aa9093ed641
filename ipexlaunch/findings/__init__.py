"""What stands between a host and full speed: pure checks from facts to findings, one module per subject."""

from ipexlaunch.findings.examine import CHECKS, PATHS, examine
from ipexlaunch.findings.facts import Facts
from ipexlaunch.findings.finding import SEVERITIES, Evidence, Finding, Severity, worst

__all__ = ["CHECKS", "PATHS", "SEVERITIES", "Evidence", "Facts", "Finding", "Severity", "examine", "worst"]
