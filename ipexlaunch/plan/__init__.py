"""Request -> Plan: which cpus and which memory each instance gets, decided before anything starts."""

from ipexlaunch.plan.check import check_plan
from ipexlaunch.plan.plan import Instance, Plan, Request
from ipexlaunch.plan.planner import make_plan

__all__ = ["Instance", "Plan", "Request", "check_plan", "make_plan"]
