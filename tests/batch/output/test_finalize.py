"""Every result that was gathered is in the output, once, in order and as Parquet; and the output is whole or absent."""

from __future__ import annotations

import json
import random
import resource
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.batch.items import Item
from ipexlaunch.batch.output.append_results import StandardOutput, WriteError
from ipexlaunch.batch.output.finalize import finish_output, lines_in_order
from ipexlaunch.batch.output.parquet_file import write_parquet
from ipexlaunch.batch.output.result_rows import OutputRules, encode_rows, number_of

IDS = st.integers() | st.text(max_size=8) | st.sampled_from(['"', "\\", '","number":7,', "\\\\", "1", '"1"', 1])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def rows(ids: Sequence[str | int], results: Sequence[object]) -> list[bytes]:
    items = [Item(number, given, None, 1) for number, given in enumerate(ids)]
    return encode_rows(items, results).splitlines(keepends=True)


def measuring_order(lines: Iterable[bytes], folder: Path) -> Iterator[bytes]:
    path = folder / "mixed"
    with path.open("wb") as file:
        file.writelines(lines)
    return lines_in_order(str(path), path.stat().st_size)


@given(st.lists(IDS), st.data())
def test_lines_are_put_in_order_whatever_their_ids(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str | int], data: st.DataObject
) -> None:
    written = rows(ids, ids)
    mixed = data.draw(st.permutations(written))
    assert list(measuring_order(mixed, tmp_path_factory.getbasetemp())) == written
    assert [number_of(line) for line in written] == list(range(len(ids)))


def test_lines_in_the_opposite_order_with_gaps_between_them_are_put_in_order(tmp_path: Path) -> None:
    written = rows(range(20_000), range(20_000))[::7]
    assert list(measuring_order(reversed(written), tmp_path)) == written
    assert [path.name for path in tmp_path.iterdir()] == ["mixed"]


def test_order_is_made_in_flat_memory_of_what_comes_nearly_in_order(tmp_path: Path) -> None:
    generator = random.Random(7)

    def nearly(count: int) -> Iterator[bytes]:
        for begin in range(0, count, 4096):
            numbers = list(range(begin, min(begin + 4096, count)))
            generator.shuffle(numbers)
            yield from (b'{"id":%d,"number":%d,"result":"some text that is there"}\n' % (n, n) for n in numbers)

    tracemalloc.start()
    try:
        last = -1
        for line in measuring_order(nearly(60_000), tmp_path):
            assert number_of(line) == last + 1
            last += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last == 59_999
    assert peak < 5 << 20


def finished(tmp_path: Path, lines: list[bytes], *, keep_order: bool, parquet: bool, more: bytes = b"") -> Path:
    journal, output = tmp_path / "out.part", tmp_path / "out"
    journal.write_bytes(b"".join(lines) + more)
    rules = OutputRules(path=str(output), keep_order=keep_order, parquet=parquet)
    assert rules.gathered == str(journal)
    finish_output(rules, sum(map(len, lines)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    return output


def test_what_was_never_committed_is_not_in_the_output(tmp_path: Path) -> None:
    lines = rows("abc", [1, 2, 3])
    output = finished(tmp_path, lines[::-1], keep_order=True, parquet=False, more=b'{"id":9,"number":9,"result":0}\n')
    assert output.read_bytes() == b"".join(lines)


def test_an_output_that_needs_nothing_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"x")
    assert finish_output(OutputRules(path=str(path)), 1) == ""
    assert path.read_bytes() == b"x"


def test_a_full_disk_leaves_the_journal_and_no_half_output(tmp_path: Path) -> None:
    journal, output = tmp_path / "out.part", tmp_path / "out"
    lines = rows(range(5000), ["x" * 20] * 5000)
    journal.write_bytes(b"".join(lines))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(WriteError, match=r"File too large; every result is in .*out\.part"):
            finish_output(OutputRules(path=str(output), keep_order=True), 10**9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["out.part"]
    assert journal.read_bytes() == b"".join(lines)


def read_parquet(path: Path) -> list[dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    with parquet.ParquetFile(path) as file:
        found: list[dict[str, Any]] = file.read().to_pylist()
    return found


def same(found: object, expected: object) -> bool:
    """Equal, but for fields that are null because another row has them."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return all(same(found.get(key), expected.get(key)) for key in [*found, *expected])
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return found == expected or (found is None and expected in ({}, None)) or (expected is None and found in ({},))


@given(st.lists(st.tuples(IDS, VALUES), min_size=1, max_size=8))
def test_parquet_holds_every_result_whatever_their_kinds(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str | int, Any]]
) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path_factory.getbasetemp() / "results.parquet"
    ids, results = [row[0] for row in written], [row[1] for row in written]
    lines = rows(ids, results)
    note = write_parquet(lambda: lines, str(path))
    found = read_parquet(path)
    assert [row["number"] for row in found] == list(range(len(written)))
    is_text = "JSON text" in note
    kept = [json.loads(row["result"]) if is_text else row["result"] for row in found]
    assert all(map(same, kept, results)), (kept, results, note)
    if all(isinstance(given, str) for given in ids) or all(
        isinstance(given, int) and abs(given) < 2**63 for given in ids
    ):
        assert [row["id"] for row in found] == ids
    else:
        assert '1 and "1" are two' in note
        assert [json.loads(row["id"]) for row in found] == ids


def test_parquet_in_order_has_the_types_of_the_results(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    vectors = [[float(n), 0.5] for n in range(5000)]
    lines = rows([f"doc-{n}" for n in range(5000)], vectors)
    output = finished(tmp_path, lines[::-1], keep_order=True, parquet=True)
    schema = parquet.read_schema(output)
    assert schema.field("id").type == pyarrow.string()
    assert schema.field("result").type == pyarrow.list_(pyarrow.float64())
    found = read_parquet(output)
    assert [row["number"] for row in found] == list(range(5000))
    assert [row["result"] for row in found] == vectors


def test_parquet_of_no_results_can_be_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    assert read_parquet(finished(tmp_path, [], keep_order=True, parquet=True)) == []


def test_results_that_do_not_go_together_are_kept_as_json_text(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    kinds: list[list[Any]] = [["text", 1], [{}, {}], [2**60 + 1, 0.5], [2**70, 1]]
    for results in kinds:
        path = tmp_path / "r.parquet"
        lines = rows(["a", "b"], results)
        assert "JSON text" in write_parquet(lambda lines=lines: lines, str(path))  # type: ignore[misc]
        assert [json.loads(row["result"]) for row in read_parquet(path)] == results


def test_ids_that_an_older_version_took_are_kept_apart_too(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    lines = [b'{"id":"\\ud800","number":0,"result":1}\n', b'{"id":"\\\\ud800","number":1,"result":1}\n']
    write_parquet(lambda: lines, str(tmp_path / "r.parquet"))
    assert [json.loads(row["id"]) for row in read_parquet(tmp_path / "r.parquet")] == ["\ud800", "\\ud800"]


@pytest.mark.parametrize("result", [float("nan"), float("-inf"), "\ud800", {"\udc00": 1}, [10**5000]])
def test_a_result_that_not_every_program_reads_is_refused_with_the_reason(result: object) -> None:
    with pytest.raises(ValueError, match=r"NaN or an infinity|half a character|digits"):
        rows(["a"], [result])


def test_standard_output_gets_every_byte_and_a_reader_that_has_gone_is_an_error() -> None:
    import os

    reading, writing = os.pipe()
    out = StandardOutput(writing)
    assert out.append(b"one\n") == 4
    assert out.append(b"two\n") == 8
    out.wait(None)
    assert os.read(reading, 100) == b"one\ntwo\n"
    os.close(reading)
    out._outlet.add(b"three\n")
    with pytest.raises(WriteError, match="Broken pipe"):
        out.wait(None)
    os.close(writing)
    with pytest.raises(WriteError, match="Broken pipe"):
        out.append(b"four\n")


@pytest.mark.parametrize("parquet", [False, True])
def test_what_a_link_beside_the_output_points_to_is_not_written(tmp_path: Path, parquet: bool) -> None:
    gathered, output, other = tmp_path / "gathered", tmp_path / "output", tmp_path / "other"
    gathered.write_bytes(b"".join(rows(["a"], [1])))
    other.write_text("of somebody else")
    rules = OutputRules(path=str(output), parquet=parquet, keep_order=True)
    Path(rules.unfinished).symlink_to(other)
    gathered.rename(rules.gathered)
    finish_output(rules, Path(rules.gathered).stat().st_size)
    assert other.read_text() == "of somebody else"
    assert output.exists()
    assert not output.is_symlink()
