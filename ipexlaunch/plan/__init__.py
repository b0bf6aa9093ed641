"""Request -> Plan: which cpus and which memory each instance gets, decided before anything starts."""

from ipexlaunch.plan.check import check_plan
from ipexlaunch.plan.plan import Instance, Plan
from ipexlaunch.plan.planner import make_plan
from ipexlaunch.plan.request import Request

__all__ = ["Instance", "Plan", "Request", "check_plan", "make_plan"]
