"""open_topology: a machine from wherever the user says it is described."""

from __future__ import annotations

import os

from ipexlaunch.errors import RequestError
from ipexlaunch.probe.machine import probe
from ipexlaunch.probe.tree import DirectoryFiles, Files
from ipexlaunch.topology.machine import Topology

LARGEST_DOCUMENT = 1 << 26
"""Bytes; 65,536 cpus are 5 MB."""

_ARCHIVE_STARTS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
"""gzip, bzip2, xz."""
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257


def open_topology(source: str) -> Topology:
    """The machine that a source describes; one type comes out whatever the source.

    Args:
        source: "live"; a directory that holds sys/ and proc/; a .tar, .tar.gz, .tar.bz2 or .tar.xz of one; a topology
            document in YAML or JSON; the name of a machine in topologies/; or a sentence such as "2s 2n 28c 2t".

    Raises:
        TopologyError: a file of the machine is missing or malformed.
        DocumentError: a document does not follow its format.
        RequestError: there is no such source.
    """
    files = files_of(source)
    if files is not None:
        return probe(files, "live" if source == "live" else f"sysfs:{source}")
    if os.path.exists(source):
        return _from_document(source)
    from ipexlaunch.topology.sentence import is_sentence, machine_from_sentence

    if is_sentence(source):
        return machine_from_sentence(source)
    shipped = shipped_machines()
    if source in shipped:
        return _from_document(shipped[source])
    import difflib

    close = difflib.get_close_matches(source, shipped, n=3)
    raise RequestError(
        f"find the machine {source!r}",
        "it is no file, no directory, no sentence, and no name in topologies/",
        f"did you mean {' or '.join(close)}?" if close else 'try "live", a saved tree, a YAML file, or "2s 2n 28c 2t"',
    )


def files_of(source: str) -> Files | None:
    """The files of a source that is the live machine, a directory or an archive; None for any other source.

    Raises:
        TopologyError: an archive cannot be read.
        RequestError: a file cannot be read.
    """
    if source == "live":
        return DirectoryFiles("/")
    if os.path.isdir(source):
        return DirectoryFiles(source)
    if not os.path.exists(source):
        return None
    start = _read(source, _TAR_MAGIC_AT + len(_TAR_MAGIC))
    if not start.startswith(_ARCHIVE_STARTS) and not start.endswith(_TAR_MAGIC):
        return None
    from ipexlaunch.probe.archive import open_archive

    return open_archive(source)


def shipped_machines() -> dict[str, str]:
    """Name to path of the machines that come with ipexlaunch, sorted by name."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for folder in (os.path.join(package, "shipped_topologies"), os.path.join(os.path.dirname(package), "topologies")):
        if os.path.isdir(folder):
            names = sorted(name for name in os.listdir(folder) if name.endswith((".yaml", ".json")))
            return {name.rpartition(".")[0]: os.path.join(folder, name) for name in names}
    return {}


def _read(path: str, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise RequestError(f"read the machine {path!r}", os.strerror(error.errno or 0)) from None


def _from_document(path: str) -> Topology:
    from dataclasses import replace

    from ipexlaunch.documents.topology_document import parse_topology
    from ipexlaunch.errors import DocumentError

    data = _read(path, LARGEST_DOCUMENT + 1)
    if len(data) > LARGEST_DOCUMENT:
        raise DocumentError(path, "", f"it is larger than {LARGEST_DOCUMENT} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise DocumentError(path, "", "it is neither an archive nor text") from None
    return replace(parse_topology(text, path), source=f"file:{path}")
