"""What a batch job reads: files that are not there, of another kind, damaged, or changed meanwhile."""

from __future__ import annotations

import gzip
import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import zstandard

from ipexlaunch.batch.input.input_files import InputFile
from ipexlaunch.batch.input.input_part import InputPart
from ipexlaunch.batch.input.input_rules import InputRules, ItemMaker
from ipexlaunch.batch.input.parquet_items import parquet_items
from ipexlaunch.batch.input.read_lines import blocks_of
from ipexlaunch.batch.input.read_part import blocks_of_part
from tests.batch.shards.shard_jobs import DOUBLE
from tests.errors.provoke import Row

PLACES = ("batch/input/",)

A = {"a.py": ""}
LINES = b'{"x": 1}\n' * 500


def given(name: str, content: str | bytes | None, *options: str) -> Row:
    """A job of one file."""
    words = f"batch --ninstances 1 --input {name} --output o.jsonl {' '.join(options)} a.py"
    return Row(words, {**A, name: content})


def cut(name: str, content: str | bytes, *options: str) -> Row:
    """A file that is read to its end, to be cut into shards."""
    words = f"shards make d --shards 2 --input {name} --output o.jsonl {' '.join(options)} a.py"
    return Row(words, {**A, name: content})


def zstd(data: bytes) -> bytes:
    """Compressed, with a checksum."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def parquet(table: pyarrow.Table) -> bytes:
    """A file with it."""
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


def _unheard(_: int) -> None:
    """How much was read is of no interest."""


def _read_while_it_is_written() -> None:
    with open("i", "rb", buffering=0) as file:
        for _ in blocks_of(file, "i", _unheard):
            Path("i").write_bytes(LINES * 2)


def _memory(read: Callable[..., object]) -> Callable[[], None]:
    """A file that cannot be read at its beginning."""

    def act() -> None:
        with open("/proc/self/mem", "rb", buffering=0) as file:
            list(read(file))  # type: ignore[call-overload]

    return act


def _cut_short() -> None:
    part = InputPart(name="", begin=0, end=99, first_line=1, first_item=0, items=9)
    with open("i", "rb", buffering=0) as file:
        list(blocks_of_part(file, "i", part, _unheard))


def _read_what_is_gone() -> None:
    file = InputFile("i", InputRules())
    os.unlink("i")
    list(file.items(ItemMaker(InputRules()), lambda _: False))


def _read_long_header() -> None:
    InputFile("i.csv", InputRules(format="csv", longest_line_bytes=100)).look()


def _read_half_a_frame() -> None:
    with open("i.zst", "rb", buffering=0) as file:
        list(blocks_of(file, "i.zst", _unheard))


def _read_damaged() -> None:
    list(parquet_items("i.parquet", ItemMaker(InputRules(format="parquet")), 0, None))


PART = InputPart(name="", begin=0, end=9, first_line=1, first_item=0, items=9)

TWICE = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"])
ONCE = pyarrow.table({"a": [1]})

HALF_A_FRAME = zstandard.ZstdCompressor().compress(random.Random(1).randbytes(100_000))[:-90]
"""Of a block that is stored as it is, so that nothing but its length tells."""
_WHOLE = parquet(pyarrow.table({"a": list(range(1000))}))
DAMAGED = _WHOLE[:40] + b"\xff" * 60 + _WHOLE[100:]

ROWS = [
    # which files
    Row("batch --input nowhere.jsonl --output o.jsonl a.py", A),
    Row("batch --input nowhere --output o.jsonl a.py", A),
    Row("batch --input 'x*.jsonl' --output o.jsonl a.py", A),
    Row("batch --input - --input i.jsonl --output o.jsonl a.py", {**A, "i.jsonl": ""}),
    Row("batch --input i.jsonl --input i.jsonl --output o.jsonl a.py", {**A, "i.jsonl": ""}),
    given("i.dat", "1"),
    given("d.jsonl", None),
    given("i.txt", "1\n", "--text-field x"),
    Row("batch --input - --format parquet --output o.jsonl a.py", A, stdin=b""),
    # which kind
    given("i.jsonl", b"BZh9"),
    given("i.jsonl", '{"x": 1}\n'.encode("utf-16-le")),
    given("i.txt", b"a\rb\rc\r"),
    cut("i.jsonl.gz", gzip.compress(LINES)[:-9]),
    given("i.jsonl.gz", gzip.compress(LINES)[:10] + b"\xff" * 40),
    given("i.jsonl.zst", zstd(LINES)[:-6]),
    given("i.jsonl.zst", zstd(LINES)[:9] + b"\xff" * 40),
    Row(_read_half_a_frame, {"i.zst": HALF_A_FRAME}, name="blocks_of(half a frame of zstd)"),
    # tables
    given("i.csv", ""),
    given("i.csv", "a,a\n1,2\n"),
    given("i.csv", "a;b\n1;2\n"),
    given("i.csv", "a,b\n1,2\n", "--id-field c"),
    given("i.csv", b"\xe9,b\n1,2\n"),
    given("i.csv", "x" * 200_000 + ",b\n1,2\n", "--max-line-mb 0.1"),
    given("i.csv", '"a,b\n1,2\n' * 3),
    given("i.csv", '"a"x,b\n1,2\n'),
    given("i.parquet", parquet(TWICE)),
    given("i.parquet", parquet(ONCE), "--id-field c"),
    given("i.parquet", b"PAR1 and nothing else"),
    # rows
    Row("batch --ninstances 1 --input i.jsonl --output o.jsonl a.py", {"a.py": DOUBLE, "i.jsonl": "nonsense\n"}),
    Row(_read_long_header, {"i.csv": '"' + "a\n" * 900 + '",b\n1,2\n'}, name="InputFile.look(a header of many lines)"),
    Row(
        lambda: InputFile("i.txt", InputRules(format="text", text_field="x")),
        {"i.txt": ""},
        name="InputFile(a text with fields)",
    ),
    Row(_read_what_is_gone, {"i": LINES}, name="InputFile.items(a file that is gone)"),
    Row(_read_damaged, {"i.parquet": DAMAGED}, name="parquet_items(a damaged page)"),
    # meanwhile
    Row(_read_while_it_is_written, {"i": LINES}, name="blocks_of(a file that grows)"),
    Row(_cut_short, {"i": "short"}, name="blocks_of_part(a file that was cut)"),
    Row(_memory(lambda file: blocks_of(file, "i", _unheard)), name="blocks_of(a file that cannot be read)"),
    Row(_memory(lambda file: blocks_of_part(file, "i", PART, _unheard)), name="blocks_of_part(the same)"),
]

ELSEWHERE = {
    "is not installed beside ipexlaunch":
        "tests/errors/test_how_to_add.py::test_every_command_that_lacks_a_package_says_how_to_add_it",
}  # fmt: skip
