"""Where a machine is described that is not this one: saved trees, archives, documents, sentences, names."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace

import ipexlaunch
from ipexlaunch.errors import DocumentError, RequestError
from ipexlaunch.machine.probe.archive import is_archive, open_archive
from ipexlaunch.machine.probe.tar_members import SAVE
from ipexlaunch.machine.probe.tree import DirectoryFiles, Files
from ipexlaunch.machine.synthetic import is_synthetic, synthetic_machine
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.topology_file import parse_topology

LARGEST_SOURCE = 1 << 28
"""Bytes of a document or archive; 65,536 cpus are 5 MB of YAML."""


def find_source(source: str) -> Files | Topology:
    """The files of a machine, or the machine that a document, a sentence or a name describes.

    Args:
        source: anything but "live" that `open_topology` takes.

    Raises:
        TopologyError: an archive cannot be read.
        DocumentError: a document does not follow its format.
        RequestError: there is no such source.
    """
    found = _open(source)
    if isinstance(found, bytes):
        return _parse(found, source)
    if found is not None:
        return found
    if is_synthetic(source):
        return synthetic_machine(source)
    shipped = shipped_machines()
    if source in shipped:
        return _parse(_read(shipped[source]), shipped[source])
    close = [name for name in shipped if source and source in name][:3]
    close = close or difflib.get_close_matches(source, shipped, n=3)
    raise RequestError(
        f"find the machine {source!r}",
        "it is no file, no directory, no sentence, and no machine of `ipexlaunch topology --list`",
        f"did you mean {' or '.join(close)}?" if close else 'try "live", a saved tree, a YAML file, or "2s 2n 28c 2t"',
    )


def files_of(source: str) -> Files | None:
    """The files of a source that is the live machine, a directory or an archive; None for a description.

    Raises:
        TopologyError: an archive cannot be read.
        RequestError: a file cannot be read.
    """
    found = DirectoryFiles("/") if source == "live" else _open(source)
    return None if isinstance(found, bytes) else found


def shipped_machines() -> dict[str, str]:
    """Name to path of the machines that come with ipexlaunch, sorted by name."""
    package = os.path.dirname(os.path.abspath(ipexlaunch.__file__))
    return machines_in(os.path.join(package, "shipped_topologies")) or machines_in(
        os.path.join(os.path.dirname(package), "topologies")
    )


def machines_in(folder: str) -> dict[str, str]:
    """Name to path of the machines in a folder, sorted by name; none where there is no such folder."""
    if not os.path.isdir(folder):
        return {}
    names = sorted(name for name in os.listdir(folder) if name.endswith((".yaml", ".json")))
    return {name.rpartition(".")[0]: os.path.join(folder, name) for name in names}


def _open(source: str) -> Files | bytes | None:
    """A directory or archive as files, other files as bytes (read once: it may be a pipe), None where there is none."""
    if os.path.isdir(source):
        return DirectoryFiles(source)
    if not os.path.exists(source):
        return None
    data = _read(source)
    return open_archive(source, data) if is_archive(data) else data


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_SOURCE + 1)
    except OSError as error:
        found = os.strerror(error.errno or 0).lower()
        raise RequestError(f"read the machine {path!r}", found, "give a file that can be read") from None
    if len(data) > LARGEST_SOURCE:
        raise RequestError(f"read the machine {path!r}", f"it is larger than {LARGEST_SOURCE} bytes", SAVE)
    return data


def _parse(data: bytes, path: str) -> Topology:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise DocumentError(path, "", "it is neither an archive nor text", SAVE) from None
    return replace(parse_topology(text, path), source=f"file:{path}")
