"""Several files are one input, compressed or not: every row once, in order, under an id that says where it stands."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.batch.input.input_files import InputFile, Inputs, find_inputs, format_of
from ipexlaunch.batch.input.input_rules import InputRules
from ipexlaunch.batch.input.open_items import ItemSource
from ipexlaunch.batch.input.read_lines import blocks_of
from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.errors import DocumentError, LaunchError, RequestError


def opened(inputs: Inputs, **fields: Any) -> ItemSource:
    rules = InputRules(**fields)
    files = [InputFile(path, replace(rules, format=format_of(path, "auto"))) for path in inputs.paths]
    return ItemSource(files, several=inputs.several)


def zstd(data: bytes) -> bytes:
    packed: bytes = pytest.importorskip("zstandard").ZstdCompressor().compress(data)
    return packed


def two_members(data: bytes) -> bytes:
    return gzip.compress(data[: len(data) // 3], mtime=0) + gzip.compress(data[len(data) // 3 :], mtime=0)


def items_of(source: ItemSource) -> list[Item]:
    return [row for row in source.items() if isinstance(row, Item)]


def test_numbers_go_on_and_ids_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("part-2.jsonl").write_text('"c"\n\n"d"\n')
    Path("part-10.jsonl.gz").write_bytes(gzip.compress(b'"a"\n"b"\n', mtime=0))
    Path("rest.csv").write_text("x\n1\n")
    source = opened(find_inputs(["part-*", "rest.csv"]))
    assert [(item.number, item.id, item.value) for item in items_of(source)] == [
        (0, "part-10.jsonl.gz:1", "a"),
        (1, "part-10.jsonl.gz:2", "b"),
        (2, "part-2.jsonl:1", "c"),
        (3, "part-2.jsonl:3", "d"),
        (4, "rest.csv:2", {"x": "1"}),
    ]
    assert [row.number for row in source.items({0, 1, 3}.__contains__)] == [2, 4]  # type: ignore[union-attr]
    # A pattern that matches one file today may match two tomorrow.
    assert [item.id for item in items_of(opened(find_inputs(["rest*"])))] == ["rest.csv:2"]
    assert [item.id for item in items_of(opened(find_inputs(["rest.csv"])))] == [2]


def test_an_id_may_stand_in_one_file_only_and_a_bad_row_says_in_which(tmp_path: Path) -> None:
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    one.write_text('{"i":1}\n{"i":2}\n')
    two.write_text('{"i":3}\n{"i":2}\n')
    source = opened(find_inputs([str(one), str(two)]), id_field="i")
    with pytest.raises(DocumentError, match=r"2\.jsonl, line 2: its id 2 was given before"):
        list(source.items())
    (letter,) = (row for row in source.items(keep_bad=True) if isinstance(row, DeadLetter))
    assert (letter.item.number, letter.item.id, letter.line, letter.file) == (3, None, 2, str(two))


def test_what_was_read_is_told_from_what_is_read_now(tmp_path: Path) -> None:
    for name in ("1.jsonl", "2.jsonl"):
        (tmp_path / name).write_text("1\n")
    pattern = [str(tmp_path / "*.jsonl")]
    before = opened(find_inputs(pattern)).identity
    assert before is not None
    assert opened(find_inputs(pattern)).identity == before
    (tmp_path / "3.jsonl").write_text("1\n")
    assert opened(find_inputs(pattern)).identity != before
    (tmp_path / "3.jsonl").unlink()
    (tmp_path / "2.jsonl").write_text("1 \n")
    assert opened(find_inputs(pattern)).identity != before
    names = [str(tmp_path / name) for name in ("2.jsonl", "1.jsonl")]
    assert opened(find_inputs(names)).identity != opened(find_inputs(names[::-1])).identity


def test_patterns_and_names_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("x\n")
    assert find_inputs([str(tmp_path / "a[1].txt")]) == Inputs((str(tmp_path / "a[1].txt"),), several=False)
    with pytest.raises(RequestError, match="no file has a name like that"):
        find_inputs([str(tmp_path / "*.jsonl")])
    with pytest.raises(RequestError, match="standard input goes alone"):
        find_inputs(["-", str(tmp_path / "a[1].txt")])
    os.symlink(tmp_path / "a[1].txt", tmp_path / "b.txt")
    for twice in (["b.txt", "b.txt"], ["*.txt"], ["b.txt", "a*"]):
        with pytest.raises(RequestError, match="it is named twice"):
            find_inputs([str(tmp_path / name) for name in twice])


def test_a_name_that_is_no_utf_8_is_an_id_that_every_document_can_hold(tmp_path: Path) -> None:
    for name in (b"a\xff.txt", b"b.txt"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("x\n")
    ids = [item.id for item in items_of(opened(find_inputs([f"{tmp_path}/*"])))]
    assert ids == [f"{tmp_path}/a\\xff.txt:1", f"{tmp_path}/b.txt:1"]


@pytest.mark.parametrize("pack", [gzip.compress, two_members, zstd])
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"))))
def test_what_is_compressed_is_read_as_what_is_in_it(
    tmp_path_factory: pytest.TempPathFactory, pack: Callable[[bytes], bytes], texts: list[str]
) -> None:
    # Whatever its name says: it is told by how it begins.
    path = tmp_path_factory.getbasetemp() / "packed.txt"
    path.write_bytes(pack("\ufeff".encode() + "".join(text + "\n" for text in texts).encode()))
    assert [item.value for item in items_of(opened(find_inputs([str(path)])))] == texts


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
def test_one_that_is_cut_short_is_an_error_and_never_an_end(
    tmp_path: Path, pack: Callable[[bytes], bytes], kept: float
) -> None:
    packed = pack(os.urandom(1 << 20).hex().encode() + b"\n" + b"1\n" * 1000)
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(packed[: int(len(packed) * kept)])
    with pytest.raises(DocumentError, match="cut short"):
        list(opened(find_inputs([str(path)])).items(keep_bad=True))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (gzip.compress(b"x\n" * 1000, mtime=0)[:-6] + b"\0" * 6, "its gzip is damaged"),
        (gzip.compress(b"x\n", mtime=0) + b"more", "its gzip is damaged"),
        (gzip.compress(gzip.compress(b"x\n", mtime=0), mtime=0), "it is compressed twice"),
        (gzip.compress("x\n".encode("utf-16"), mtime=0), "it is UTF-16"),
        (gzip.compress(b"PAR1", mtime=0), "it is a Parquet file"),
        (b"\xfd7zXZ\0rest", "it is compressed with xz"),
    ],
)
def test_what_is_in_it_is_looked_at_too(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(data)
    with pytest.raises(DocumentError, match=problem):
        list(opened(find_inputs([str(path)])).items())


def test_a_bomb_is_read_in_flat_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "in.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(256):
            file.write(b"\0" * (1 << 20))
        file.write(b"\nx\n")
    source = opened(find_inputs([str(path)]), longest_line_bytes=1 << 20)
    tracemalloc.start()
    try:
        rows = list(source.items(keep_bad=True))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [type(row).__name__ for row in rows] == ["DeadLetter", "Item"]
    assert peak < 24 << 20


def test_without_zstandard_the_way_to_get_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "in.txt.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfdrest")
    with pytest.raises(LaunchError, match=r"pip install 'ipexlaunch\[zstd\]'"):
        opened(find_inputs([str(path)])).look()


def test_a_pipe_that_gives_a_byte_at_a_time_is_told_by_its_beginning_and_not_waited_for() -> None:
    for data in (b"\xef\xbb\xbf1\n2\n", gzip.compress(b"1\n2\n", mtime=0), b"1\n2\n"):
        writer = "import sys, os\nfor byte in bytes.fromhex(sys.argv[1]): os.write(1, bytes([byte]))"
        with subprocess.Popen([sys.executable, "-c", writer, data.hex()], stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout is not None
            assert b"".join(blocks_of(process.stdout, "pipe", int)) == b"1\n2\n"  # type: ignore[arg-type]
    reading, writing = os.pipe()
    os.write(writing, b"1\n")
    with open(reading, "rb", buffering=0) as file:
        assert next(blocks_of(file, "pipe", int)) == b"1\n"
    os.close(writing)
