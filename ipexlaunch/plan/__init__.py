"""Request -> Plan: which cpus and which memory each instance gets, decided before anything starts."""

from ipexlaunch.plan.instances import Instance, Plan
from ipexlaunch.plan.request import Request

__all__ = ["Instance", "Plan", "Request"]
