"""Keeps measurements in files, one for each host, software, plan and model shape: the owner of that cache."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from ipexlaunch.documents.read_text import read_text
from ipexlaunch.documents.write_file import check_directory, write_file
from ipexlaunch.errors import DocumentError, LaunchError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.measurement import Measurement, from_row
from ipexlaunch.models.user_directory import digest, distrust

SCHEMA = "ipexlaunch/measurements/1"

ELSEWHERE = "set XDG_CACHE_HOME, or use --no-cache"


def recall(directory: str, key: Mapping[str, object], tell: Callable[[str], None]) -> dict[Candidate, Measurement]:
    """What was measured before; empty where nothing was, or the file cannot be read, which is said.

    Args:
        directory: of the cache; "" for none.
        key: everything that decides over the figures, as JSON can hold it.
        tell: says a line to the user.
    """
    if not directory:
        return {}
    path = _path(directory, key)
    try:
        if problem := distrust(directory, code=False) or distrust(path, code=False):
            raise ValueError(problem)
        if not os.path.lexists(path):
            return {}
        document = json.loads(read_text(path))
        if document["schema"] != SCHEMA or document["key"] != key:
            raise ValueError("it is of another version or another host")
        found = [from_row(row) for row in document["measurements"]]
    except (DocumentError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        tell(f"{path} holds no measurements that can be used ({error}), so they are made again")
        return {}
    return {each.candidate: each for each in found}


def check_place(directory: str) -> None:
    """Find out before anything is measured that it could not be kept.

    Args:
        directory: of the cache; "" for none.

    Raises:
        LaunchError: no file can be written there.
    """
    if directory:
        check_directory(directory, "measurements", ELSEWHERE)


def store_measurements(directory: str, key: Mapping[str, object], measurements: Sequence[Measurement]) -> None:
    """Keep measurements; what did not run is left out, for the next time may find it repaired.

    Args:
        directory: of the cache, made where it is not there; "" for none.
        key: as for `recall`.
        measurements: all that are known for the key.

    Raises:
        LaunchError: the file cannot be written.
    """
    if not directory:
        return
    path = _path(directory, key)
    rows = [asdict(each) for each in measurements if not each.problem]
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    document = {"schema": SCHEMA, "key": dict(key), "written": written, "measurements": rows}
    try:
        write_file(path, json.dumps(document, indent=1))
    except OSError as error:
        raise LaunchError(f"keep measurements in {directory}", str(error.strerror), ELSEWHERE) from None


def _path(directory: str, key: Mapping[str, object]) -> str:
    return os.path.join(directory, f"{digest(key)}.json")
