"""A batch job in shards: the files, the range of each shard, what is run on it, where the results go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated

from ipexlaunch.batch.input.input_part import InputPart
from ipexlaunch.batch.input.input_rules import InputFormat
from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.documents.fields import Bounds, NonNegativeInt, PositiveInt
from ipexlaunch.errors import RequestError
from ipexlaunch.machine.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedFile:
    """A file of the input, as it was when the job was made."""

    path: str
    """Absolute."""
    name: str
    """As it was typed, which is what ids begin with where there are several files."""
    format: InputFormat
    bytes: NonNegativeInt
    mtime_ns: int
    sha256_of_ends: str
    """Of its first and its last 64 KiB."""
    header_bytes: NonNegativeInt = 0
    """Of csv and tsv: where the row that names the fields ends."""
    is_compressed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A range of one file; its place in the job's list is its index, from 0."""

    file: NonNegativeInt
    """Which of the job's files, from 0."""
    begin: NonNegativeInt
    """The first byte, or the first row group of Parquet."""
    end: NonNegativeInt
    """The byte, or row group, after the last."""
    first_line: PositiveInt
    """The number of the line, or of the row of Parquet, that it begins with."""
    first_item: NonNegativeInt
    """The number of its first item in the whole input."""
    items: NonNegativeInt
    """How many, with the rows that give none."""

    @property
    def numbers(self) -> range:
        """Of its items."""
        return range(self.first_item, self.first_item + self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedJob:
    """What `shards make` has decided once for all hosts."""

    directory: str
    """Where it was typed: relative paths of the program, its arguments and the options begin there."""
    program: str | None
    """None with --model."""
    arguments: tuple[str, ...] = ()
    program_sha256: str | None = None
    """Of a script; None where the program is none."""
    options: tuple[str, ...] = ()
    """Words of `ipexlaunch batch`, but for the input and the output."""
    output: OutputRules
    """Where the results of all shards go in the end, an absolute path."""
    several: bool = False
    """Whether ids name their file too."""
    files: Annotated[tuple[ShardedFile, ...], Bounds(min_length=1)]
    shards: Annotated[tuple[Shard, ...], Bounds(min_length=1)]
    written: str = ""
    """UTC, such as "2026-03-01T12:00:00Z"."""
    ipexlaunch: str = ""
    """Version."""
    hosts: PositiveInt | None = field(default=None)
    """For how many hosts the number of shards was chosen; None where it was given."""

    @property
    def items(self) -> int:
        """Of the whole input, with the rows that give none."""
        return sum(shard.items for shard in self.shards)

    def shard(self, index: int) -> Shard:
        """The shard with this index.

        Args:
            index: from 0.

        Raises:
            RequestError: there is none.
        """
        if not 0 <= index < len(self.shards):
            last = len(self.shards) - 1
            hint = f"shards count from 0: --array=0-{last} in Slurm, completions: {last + 1} in Kubernetes"
            raise RequestError(f"run shard {index}", f"the job has {counted(last + 1, 'shard')}, 0 to {last}", hint)
        return self.shards[index]

    def part(self, index: int) -> InputPart:
        """What the shard with this index reads.

        Args:
            index: from 0.

        Raises:
            RequestError: there is none.
        """
        shard = self.shard(index)
        file = self.files[shard.file]
        return InputPart(
            name=file.name,
            begin=shard.begin,
            end=shard.end,
            first_line=shard.first_line,
            first_item=shard.first_item,
            items=shard.items,
            header_bytes=file.header_bytes if shard.begin else 0,
            is_whole=file.is_compressed,
        )


def gaps_of(files: Sequence[ShardedFile], shards: Sequence[Shard]) -> Iterator[tuple[int, str, str]]:
    """Where ranges do not follow each other from the beginning of the input to its end: (shard, field, problem).

    Args:
        files: of the input.
        shards: of the job, in the order of the input.
    """
    number = 0
    for index, shard in enumerate(shards):
        if shard.file >= len(files):
            yield index, "file", f"there are {len(files)} files, from 0"
            return
        if shard.first_item != number:
            yield index, "first_item", f"{number} comes after the shard before it, not {shard.first_item}"
        number = shard.first_item + shard.items
    begins = 0
    for file, group in groupby(enumerate(shards), key=lambda pair: pair[1].file):
        if file != begins:
            yield -1, "shards", f"file {begins} should come before file {file}"
            return
        begins, at = file + 1, 0
        last = -1
        for index, shard in group:
            if shard.begin != at or shard.end < shard.begin:
                yield index, "begin", f"the range {shard.begin} to {shard.end} does not follow {at}"
            at, last = shard.end, index
        if files[file].format != "parquet" and at != files[file].bytes:
            yield last, "end", f"the file has {files[file].bytes} bytes, its shards end at {at}"
    if begins != len(files):
        yield -1, "shards", f"no shard is of file {begins}"
