"""Cut the files of an input into ranges, in one pass that copies nothing: where rows begin, what number each has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ipexlaunch.batch.input.csv_items import header_lines
from ipexlaunch.batch.input.input_files import InputFile, shown_name, skip_none
from ipexlaunch.batch.input.input_rules import IdSet, InputRules, ItemMaker
from ipexlaunch.batch.input.parquet_items import group_rows
from ipexlaunch.batch.input.read_lines import BYTE_ORDER_MARK, blocks_of, is_compressed, lines_of
from ipexlaunch.batch.items import Item
from ipexlaunch.batch.shards.cuts import Cut, LineCutter, RowCutter, wanted_cuts
from ipexlaunch.batch.shards.ids_on_disk import AnyId, IdsOnDisk, refuse_doubles
from ipexlaunch.batch.shards.sharded_job import Shard, ShardedFile
from ipexlaunch.errors import DocumentError


@dataclass(frozen=True, slots=True)
class CutFile:
    """A file and the ranges into which it was cut."""

    file: ShardedFile
    cuts: tuple[Cut, ...]
    """Each range's beginning, the first too."""
    end: int
    """The byte after the last, or the row group."""
    items: int


class _PlacedMaker(ItemMaker):
    """Notes where the row stands that it was asked about last, and its id; two of one are found afterwards."""

    def __init__(self, rules: InputRules, ids: IdSet) -> None:
        """Begin with no row.

        Args:
            rules: which fields are wanted.
            ids: takes them.
        """
        super().__init__(rules, ids=ids)
        self.place = 0

    def item(self, row: object, number: int, place: int, size: int) -> Item:
        """The item of a row, as every maker gives it."""
        self.place = place
        return super().item(row, number, place, size)


def cut_files(inputs: Sequence[InputFile], ranges: Sequence[int], folder: str) -> list[CutFile]:
    """Every file in ranges of about one size.

    Args:
        inputs: the files, in order.
        ranges: how many are wanted of each.
        folder: on a disk with room for eight bytes an item, where ids are given.

    Raises:
        DocumentError: a file cannot be read, or two items have one id.
        LaunchError: a library that it needs is not installed.
        OSError: there is no room for the ids.
    """
    if inputs[0].rules.id_field is None:
        return [_cut(file, wanted, None) for file, wanted in zip(inputs, ranges, strict=True)]
    with IdsOnDisk(folder) as ids:
        found = [_cut(file, wanted, ids) for file, wanted in zip(inputs, ranges, strict=True)]
        if doubles := ids.doubles():
            hint = "take one of them out, or leave out --id-field: the number of its line is its id then"
            refuse_doubles(_ids_of(inputs), doubles, "the input", hint)
    return found


def shards_of(cut: Sequence[CutFile]) -> tuple[Shard, ...]:
    """The ranges of all files, in the order of the input; one at least.

    Args:
        cut: the files.
    """
    shards: list[Shard] = []
    number = 0
    for index, each in enumerate(cut):
        ends = [*each.cuts[1:], Cut(each.end, 0, each.items)]
        for begin, end in zip(each.cuts, ends, strict=True):
            shards.append(
                Shard(
                    file=index,
                    begin=begin.offset,
                    end=end.offset,
                    first_line=begin.line,
                    first_item=number + begin.item,
                    items=end.item - begin.item,
                )
            )
        number += each.items
    return tuple(shards)


def thinned(cut: CutFile, ranges: int) -> CutFile:
    """The same file in fewer ranges.

    Args:
        cut: the file.
        ranges: how many there are at most.
    """
    there = len(cut.cuts)
    kept = sorted({there * number // ranges for number in range(min(ranges, there))})
    return replace(cut, cuts=tuple(cut.cuts[place] for place in kept))


def _cut(file: InputFile, ranges: int, ids: IdsOnDisk | None) -> CutFile:
    """One file; it was found readable when it was looked at."""
    try:
        with open(file.path, "rb") as opened:
            begins = opened.read(4)
    except OSError as error:
        raise DocumentError(file.name, "", str(error.strerror).lower(), "give a file that can be read") from None
    compressed, mark = is_compressed(begins), len(BYTE_ORDER_MARK) * begins.startswith(BYTE_ORDER_MARK)
    described = _described(file, compressed)
    if file.rules.format == "parquet":
        return _cut_parquet(file, ranges, ids, described)
    wanted = [] if compressed else wanted_cuts(file.size, ranges)
    first = Cut(0, 1, 0)
    if ids is None and file.rules.format in ("jsonl", "text"):
        lines = LineCutter(wanted, begin=mark, passes_blank=file.rules.format == "jsonl")
        with open(file.path, "rb", buffering=0) as opened:
            for block in blocks_of(opened, file.name, _ignored):
                lines.block(block)
        return CutFile(described, tuple(_used([first, *lines.cuts], lines.items)), file.size, lines.items)
    rows = RowCutter(wanted, begin=mark)
    file.watch = rows.block
    maker = _PlacedMaker(file.rules, ids or AnyId())
    found = file.items(maker, skip_none)
    while True:
        try:
            row = next(found)
        except StopIteration as end:
            items = int(end.value)
            break
        # A row that gives no item may be one of several that a quote swallowed: nothing is cut there.
        if rows.starts and isinstance(row, Item):
            rows.row(maker.place, row.number)
    file.watch = None
    if file.rules.format in ("csv", "tsv") and rows.cuts:
        described = replace(described, header_bytes=_header_bytes(file, mark))
    return CutFile(described, tuple(_used([first, *rows.cuts], items)), file.size, items)


def _used(cuts: list[Cut], items: int) -> Iterator[Cut]:
    """Without the ranges that hold no item, which the one before them takes; the first stays."""
    yield cuts[0]
    former = cuts[0]
    for cut in cuts[1:]:
        if former.item < cut.item < items:
            yield cut
            former = cut


def _cut_parquet(file: InputFile, ranges: int, ids: IdsOnDisk | None, described: ShardedFile) -> CutFile:
    """By row groups, of which several make a range."""
    rows = group_rows(file.path)
    total, before = sum(rows), 0
    cuts = [Cut(0, 1, 0)]
    for group, count in enumerate(rows):
        if before and before * ranges >= total * len(cuts):
            cuts.append(Cut(group, before + 1, before))
        before += count
    if ids is not None:
        maker = _PlacedMaker(replace(file.rules, text_field=file.rules.id_field, tokens_field=None), ids)
        for _ in file.items(maker, skip_none):
            pass
    return CutFile(described, tuple(_used(cuts, total)), len(rows), total)


def _header_bytes(file: InputFile, mark: int) -> int:
    """How many bytes come before the first row: the byte order mark, and the row that names the fields."""
    read = bytearray()

    def blocks() -> Iterator[bytes]:
        with open(file.path, "rb", buffering=0) as opened:
            for block in blocks_of(opened, file.name, _ignored):
                read.extend(block)
                yield block

    at = 0
    for _ in range(header_lines(lines_of(blocks(), file.rules.longest_line_bytes), file.rules, file.name)):
        at = read.index(b"\n", at) + 1
    return mark + at


def _ignored(count: int) -> None:
    """Nobody counts these bytes."""


def _described(file: InputFile, compressed: bool) -> ShardedFile:
    identity = file.identity or {}
    return ShardedFile(
        path=os.path.abspath(file.path),
        name=shown_name(file.path),
        format=file.rules.format,
        bytes=file.size,
        mtime_ns=int(str(identity.get("mtime_ns", 0))),
        sha256_of_ends=str(identity.get("sha256_of_ends", "")),
        is_compressed=compressed,
    )


def _ids_of(inputs: Sequence[InputFile]) -> Iterator[tuple[str | int, str]]:
    """Every id and where it stands."""
    for file in inputs:
        maker = _PlacedMaker(file.rules, AnyId())
        for row in file.items(maker, skip_none):
            if isinstance(row, Item) and row.id is not None:
                yield row.id, f"{file.name}, {file.unit} {maker.place}"
