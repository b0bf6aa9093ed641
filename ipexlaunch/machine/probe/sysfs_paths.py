"""Directories of sysfs that several readers name."""

from __future__ import annotations

CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"
