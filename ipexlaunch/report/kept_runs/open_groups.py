"""Runs over several hosts to look at: what their first host wrote of all, or what is left where it was killed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from ipexlaunch.documents.read_text import read_text
from ipexlaunch.documents.text import parse_document
from ipexlaunch.documents.visible_text import visible_values
from ipexlaunch.errors import DocumentError
from ipexlaunch.measure.across_hosts import SCHEMA, Group, HostPart, group_of, part_of, read_group
from ipexlaunch.report.kept_runs.open_runs import LONGEST_HEAD, OpenedRun, is_document, is_run_directory, open_one
from ipexlaunch.report.kept_runs.run_directory import GROUP, RENDEZVOUS

NO_END = f"there is no {GROUP}: the first host was killed, or the run still lasts"


@dataclass(frozen=True, kw_only=True)
class OpenedGroup:
    """A run over several hosts."""

    name: str
    """Short, and unlike those of the others."""
    group: Group
    hosts: tuple[OpenedRun, ...] = ()
    """As far as they lie there."""


def is_group(path: str) -> bool:
    """Whether a directory holds a run over several hosts, or a file is the document of one.

    Args:
        path: of it.
    """
    if os.path.isdir(path):
        return any(os.path.lexists(os.path.join(path, name)) for name in (GROUP, RENDEZVOUS))
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return is_document(file.read(LONGEST_HEAD), SCHEMA)
    except OSError:
        return False


def open_group(path: str, name: str) -> OpenedGroup:
    """What is known of a run over several hosts.

    Args:
        path: its directory, or its document.
        name: what to call it.

    Raises:
        DocumentError: a file does not follow its format.
    """
    if not os.path.isdir(path):
        return OpenedGroup(name=name, group=visible_values(read_group(read_text(path), path)))
    found = sorted(
        (int(match[1]), match[2], os.path.join(path, match[0]))
        for match in (re.fullmatch(r"host-([0-9]{1,9})-(.+)", each) for each in os.listdir(path))
        if match
    )
    hosts, parts = [], []
    for rank, host, folder in found:
        try:
            opened = open_one(folder, os.path.basename(folder)) if is_run_directory(folder) else None
        except DocumentError:  # it did not come far enough
            opened = None
        if isinstance(opened, OpenedRun):
            hosts.append(opened)
            here = opened.report.host
            parts.append(part_of(opened.report, rank, host if here is None else here.name))
        else:
            parts.append(HostPart(rank=rank, name=host, reasons=("nothing is known of what it did",)))
    document = os.path.join(path, GROUP)
    if os.path.lexists(document):
        group = read_group(read_text(document), document)
    else:
        meeting = os.path.join(path, RENDEZVOUS)
        said = parse_document(read_text(meeting), meeting, {"rendezvous": [1]}).data
        size = said.get("hosts")
        group = group_of(size if isinstance(size, int) and size > 0 else len(parts), parts, [NO_END])
        group = replace(group, job=str(said.get("job", "")))
    return OpenedGroup(name=name, group=visible_values(group), hosts=tuple(hosts))
