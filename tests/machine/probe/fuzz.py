"""Mutated trees, archives, documents and sentences: each is a machine or an error that a user can act on, nothing else.

    python3 tests/machine/probe/fuzz.py --count 100000 [--seed 1] [--folder ../shared/topologies/dev]

Prints how many were read and how many refused, and every exception that is neither with the seed that gives it again.
The default test run does a small count of it (test_fuzz.py).
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import lzma
import os
import random
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from ipexlaunch.errors import IpexLaunchError, TopologyError
from ipexlaunch.machine.cpulist import CPU
from ipexlaunch.machine.explain_exclusion import explanation
from ipexlaunch.machine.probe import probe
from ipexlaunch.machine.probe.archive import ArchiveFiles, open_archive
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.topology_file import parse_topology, topology_to_json, topology_to_yaml
from tests.machine.probe.rich_machine import RICH, rich_files, sparse_files
from tests.sysfs_writer import sysfs_files, write_files

TOKENS = (
    *(b"0", b"-1", b"65535", b"4294967295", b"99999999999999999999", b"0-3", b"3-0", b"0-1048577", b",", b"\n", b"\0"),
    *(b"ffffffff,00000000", b"max 100000", b"0 0", b"(null)", b"Node 0 MemTotal: -1 kB", b"Instruction", b"\xff\xfe"),
    *(
        b" - ",
        b"0::/../..",
        b"\\040",
        b"9" * 5000,
        b"nan",
        b"1e9",
        b"{",
        b"]",
        b": ",
        b"- ",
        b"&a [*a]",
        b"!!python/none",
    ),
)
LISTS = (b"0\n", b"0-1\n", b"2-3\n", b"1,3,5\n", b"0-7\n", b"4-63\n", b"0-4095\n", b"9999\n", b"\n")
MEMORY = "/dev/shm"
"""Thousands of small files are quicker there."""
WORDS = ("2s", "2n", "43+43+42c", "2t", "64GiB", "0s", "9999999s", "1+", "c", "2q", "", "٣s", "2s2n", "-1c", "1TiB")
TREES: list[dict[str, bytes]] = [rich_files(), sparse_files(), sysfs_files(synthetic_machine("2s 2+1c 2t"))]


def mutated(data: bytes, random_: random.Random) -> bytes:
    """The data with one to three small changes."""
    for _ in range(random_.randint(1, 3)):
        at, end = sorted((random_.randint(0, len(data)), random_.randint(0, len(data))))
        data = random_.choice(
            (
                lambda d=data, a=at: d[:a] + random_.choice(TOKENS) + d[a:],
                lambda d=data, a=at: d[:a] + random_.choice(TOKENS) + d[a + 1 :],
                lambda d=data, a=at, e=end: d[:a] + d[e:],
                lambda d=data, a=at: d[:a],
                lambda d=data, a=at: d[:a] + bytes([random_.randrange(256)]) + d[a + 1 :],
                lambda d=data, a=at, e=end: d + d[a:e],
                lambda: random_.choice(TOKENS) + b"\n",
            )
        )()
    return data


def mutated_tree(random_: random.Random) -> tuple[dict[str, bytes], dict[str, str]]:
    """Files and links of a tree in which one to four files are changed, missing, moved, or links."""
    files, links = dict(random_.choice(TREES)), {}
    for _ in range(random_.randint(1, 4)):
        path = random_.choice(list(files))
        what = random_.randrange(10)
        if what < 4:
            files[path] = mutated(files[path], random_)
        elif what == 4:
            del files[path]
        elif what == 5:
            files[path] = files[random_.choice(list(files))]
        elif what == 6:
            folder = path.rsplit("/", random_.randint(1, 3))[0]
            files = {name: data for name, data in files.items() if not name.startswith(f"{folder}/")} or files
        elif what == 7:  # plain tar leaves files of /proc so, and pads those of /sys
            files[path] = random_.choice((b"", bytes(4096), files[path] + bytes(4096)))
        elif what == 8:  # a container's view: lxcfs shows another list than the host's, affinity tells the truth
            files[f"{CPU}/online"] = random_.choice(LISTS)
            if random_.random() < 0.7:
                files["proc/self/status"] = b"Cpus_allowed_list:\t" + random_.choice(LISTS)
            else:
                files["proc/self/status"] = b"Name:\tpython\n"
        else:
            del files[path]
            links[path] = random_.choice((path, "..", "/", "../../" + path, random_.choice(list(files) or ["x"])))
        if not files:
            break
    return files, links


def try_tree(random_: random.Random) -> Topology:
    files, links = mutated_tree(random_)
    return probe(ArchiveFiles("made:", files, links))


def try_directory(random_: random.Random) -> Topology:
    files, links = mutated_tree(random_)
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as folder:
        try:
            write_files(files, folder)
            for path, target in links.items():
                place = Path(folder, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(target)
        except OSError:  # the mutation made a tree that no file system can hold
            raise TopologyError(folder, "a file where a directory should be") from None
        return probe(folder)


def packed(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A plain tar archive, with every kind of member."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for kind, name, target in (
            (tarfile.SYMTYPE, "sys/link", "devices/" + "x" * 120),
            (tarfile.LNKTYPE, "sys/" + "hard" * 40, next(iter(files))),
            (tarfile.DIRTYPE, "sys/" + "empty/" * 20, ""),
            (tarfile.FIFOTYPE, "sys/pipe", ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return data.getvalue()


def try_archive(random_: random.Random) -> Topology:
    return probe(open_archive("a.tar", mutated(random_.choice(ARCHIVES), random_)))


def try_document(random_: random.Random) -> Topology:
    text = random_.choice(DOCUMENTS)
    if random_.random() < 0.5:  # one digit, so that the document stays one
        at = random_.choice([place for place, letter in enumerate(text) if letter.isdigit()])
        text = text[:at] + random_.choice("0123456789") + text[at + 1 :]
    else:
        text = mutated(text.encode(), random_).decode("utf-8", "replace")
    return parse_topology(text, "m.yaml")


def try_sentence(random_: random.Random) -> Topology:
    words = [random_.choice(WORDS) for _ in range(random_.randint(0, 5))]
    return synthetic_machine(random_.choice((" ", "  ", "")).join(words))


ARCHIVES = [
    packed(sysfs_files(synthetic_machine(words)), form)
    for words, form in (("1s 2c", tarfile.PAX_FORMAT), ("2s 2c", tarfile.GNU_FORMAT), ("1s 1c", tarfile.GNU_FORMAT))
]
ARCHIVES += [pack(plain) for plain in ARCHIVES[:2] for pack in (gzip.compress, bz2.compress, lzma.compress)]
SMALL = synthetic_machine("2s 2c 2t")
DOCUMENTS = [topology_to_yaml(RICH), topology_to_json(RICH), topology_to_yaml(SMALL), topology_to_json(SMALL)]
KINDS: Sequence[tuple[Callable[[random.Random], Topology], int]] = (
    (try_tree, 70),
    (try_directory, 1),
    (try_archive, 9),
    (try_document, 12),
    (try_sentence, 8),
)
"""What is tried, and how often of a hundred."""


def fuzz(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try `count` mutations; what came of each kind, and the seeds with tracebacks of those that went wrong."""
    results: Counter[str] = Counter()
    wrong = []
    for number in range(seed, seed + count):
        random_ = random.Random(number)
        attempt = random_.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
        try:
            machine = attempt(random_)
            explanation(machine)
            if number % 50 == 0:
                assert parse_topology(topology_to_json(machine), "again") == machine
            results[f"{attempt.__name__}: read"] += 1
        except IpexLaunchError as error:
            results[f"{attempt.__name__}: refused"] += 1
            if "\n" in str(error):
                wrong.append(f"seed {number}: a message of several lines: {error}")
        except Exception:
            wrong.append(f"seed {number}:\n{traceback.format_exc()}")
    return results, wrong


def add_saved_machines(folder: Path, largest: int = 400) -> None:
    """Mutate saved machines too, the smaller ones, so that many can be tried."""
    for path in sorted(folder.glob("*.tar.xz")):
        archive = open_archive(str(path), path.read_bytes())
        if len(archive.files) <= largest:
            TREES.append(archive.files)


def main() -> int:
    """Run many and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="mutate the machines in this folder too")
    options = parser.parse_args()
    if options.folder:
        add_saved_machines(options.folder)
    begin = time.monotonic()
    results, wrong = fuzz(options.count, options.seed)
    for line in wrong[:20]:
        print(line)
    for name, number in sorted(results.items()):
        print(f"{name}: {number}")
    print(f"{sum(results.values())} tried in {time.monotonic() - begin:.0f} s, {len(wrong)} uncaught exceptions")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
