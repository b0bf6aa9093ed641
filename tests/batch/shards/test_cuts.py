"""Whatever a file holds, the shards that it is cut into have the items of the whole, with the same ids and numbers."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipexlaunch.batch.input.input_files import InputFile
from ipexlaunch.batch.input.input_rules import InputFormat, InputRules
from ipexlaunch.batch.input.open_items import ItemSource
from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.batch.shards.cut_input import cut_files, shards_of, thinned
from ipexlaunch.batch.shards.cuts import LineCutter
from ipexlaunch.batch.shards.job_file import read_job, write_job
from ipexlaunch.batch.shards.sharded_job import ShardedJob
from ipexlaunch.errors import DocumentError

RULES = {
    "jsonl": InputRules(format="jsonl"),
    "jsonl with ids": InputRules(format="jsonl", id_field="id"),
    "text": InputRules(format="text"),
    "csv": InputRules(format="csv"),
    "tsv": InputRules(format="tsv"),
}

ENDS = ("\n", "\r\n")


def job_of(paths: list[Path], rules: InputRules, wanted: int, folder: Path) -> ShardedJob:
    files = [InputFile(str(path), rules) for path in paths]
    cut = cut_files(files, [wanted] * len(files), str(folder))
    return ShardedJob(
        directory=str(folder),
        program="a.py",
        output=OutputRules(path=str(folder / "out")),
        several=len(paths) > 1,
        files=tuple(each.file for each in cut),
        shards=shards_of(cut),
    )


def rows(source: ItemSource) -> list[Item | DeadLetter]:
    return list(source.items(keep_bad=True))


def rows_of_shards(job: ShardedJob, rules: InputRules) -> list[list[Item | DeadLetter]]:
    found = []
    for index, shard in enumerate(job.shards):
        file = InputFile(job.files[shard.file].path, rules)
        file.narrow(job.part(index))
        found.append(rows(ItemSource([file], several=job.several)))
    return found


def check(paths: list[Path], rules: InputRules, wanted: int, folder: Path) -> ShardedJob:
    job = job_of(paths, rules, wanted, folder)
    assert read_job(write_job(job), "job.yaml") == job
    whole = rows(ItemSource([InputFile(str(path), rules) for path in paths], several=len(paths) > 1))
    parts = rows_of_shards(job, rules)
    assert [row for part in parts for row in part] == whole
    for shard, part in zip(job.shards, parts, strict=True):
        assert shard.items == len(part)
        assert [(row.item if isinstance(row, DeadLetter) else row).number for row in part] == list(shard.numbers)
    return job


FIELD = st.text(st.sampled_from('ab,"\n\r \t;é'), max_size=6)


@st.composite
def texts(draw: st.DrawFn, kind: str) -> bytes:
    end = draw(st.sampled_from(ENDS))
    count = draw(st.integers(1, 40))
    if kind.startswith("jsonl"):
        lines = [
            draw(st.sampled_from(["", " \t", "{broken", "17"])) if draw(st.integers(0, 4)) == 0 else
            json.dumps({"id": f"d{n}", "x": draw(FIELD)})
            for n in range(count)
        ]  # fmt: skip
    elif kind == "text":
        lines = [draw(st.text(st.sampled_from("ab é\t"), max_size=8)) for _ in range(count)]
    else:
        mark = "," if kind == "csv" else "\t"
        lines = [f"a{mark}b"]
        for _ in range(count):
            fields = [draw(FIELD) for _ in range(draw(st.sampled_from([2, 2, 2, 2, 1, 3])))]
            quoted = draw(st.booleans())
            lines.append(mark.join('"' + f.replace('"', '""') + '"' if quoted else f.replace('"', "") for f in fields))
            lines += [""] * draw(st.sampled_from([0, 0, 0, 1]))
        if draw(st.integers(0, 9)) == 0:
            lines.append('"never closed')
    text = end.join(lines) + (end if draw(st.booleans()) else "")
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode()


@pytest.mark.parametrize("kind", RULES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_shards_have_the_items_of_the_whole(kind: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for number in range(data.draw(st.integers(1, 2))):
            path = folder / f"in{number}"
            path.write_bytes(data.draw(texts(kind)).replace(b'"d', f'"{number}d'.encode()))
            paths.append(path)
        try:
            rows(ItemSource([InputFile(str(path), RULES[kind]) for path in paths]))
        except DocumentError:
            return  # one that batch refuses too
        check(paths, RULES[kind], data.draw(st.integers(1, 9)), folder)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_blocks_of_any_length_give_the_same_cuts(data: st.DataObject) -> None:
    text = data.draw(st.binary().map(lambda given: bytes(b"ab \r\n"[each % 5] for each in given)))
    wanted = sorted(data.draw(st.sets(st.integers(1, max(1, len(text))), max_size=5)))
    passes_blank = data.draw(st.booleans())
    whole, pieces = (LineCutter(wanted, passes_blank=passes_blank) for _ in range(2))
    whole.block(text)
    at = 0
    while at < len(text):
        step = data.draw(st.integers(1, 7))
        pieces.block(text[at : at + step])
        at += step
    assert (pieces.cuts, pieces.items) == (whole.cuts, whole.items)
    lines = text.split(b"\n")
    lines = lines[:-1] if not lines[-1] else lines
    items = [line for line in lines if not passes_blank or (line and not line.isspace())]
    assert whole.items == len(items)


def test_a_quote_that_holds_newlines_is_never_cut(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    row = '"' + "x\n" * 50 + '",1\n'
    path.write_text("text,n\n" + row * 20)
    job = check([path], InputRules(format="csv"), 7, tmp_path)
    assert len(job.shards) == 7
    assert [shard.first_line for shard in job.shards[:2]] == [1, 2 + 3 * 51]
    assert job.files[0].header_bytes == len("text,n\n")


def test_a_header_over_several_lines_and_a_line_that_says_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes('\ufeffsep=;\n"te\nxt";n\n'.encode() + b"a;1\r\n" * 50)
    job = check([path], InputRules(format="csv"), 5, tmp_path)
    assert len(job.shards) == 5


def test_a_compressed_file_is_one_shard_beside_others(tmp_path: Path) -> None:
    packed, plain = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl"
    lines = "".join(f'{{"n":{n}}}\n' for n in range(100)).encode()
    packed.write_bytes(gzip.compress(lines))
    plain.write_bytes(lines)
    job = check([packed, plain], InputRules(format="jsonl"), 4, tmp_path)
    assert [shard.file for shard in job.shards] == [0, 1, 1, 1, 1]
    assert job.shards[1].first_item == 100


@pytest.mark.parametrize("ids", [None, "n"])
def test_parquet_is_cut_by_row_groups(tmp_path: Path, ids: str | None) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.table({"n": range(1000), "t": ["x"] * 1000}), path, row_group_size=90)
    job = check([path], InputRules(format="parquet", id_field=ids), 4, tmp_path)
    assert [(shard.begin, shard.end, shard.items) for shard in job.shards] == [
        (0, 3, 270), (3, 6, 270), (6, 9, 270), (9, 12, 190),
    ]  # fmt: skip


FORMATS: tuple[tuple[InputFormat, bytes], ...] = (
    ("jsonl", b'{"id":"a"}\n{"id":"b"}\n\n{"id":"a"}\n'),
    ("csv", b"id\na\nb\n\na\n"),
)


@pytest.mark.parametrize(("form", "text"), FORMATS)
def test_an_id_that_is_given_twice_is_found_with_both_places(tmp_path: Path, form: InputFormat, text: bytes) -> None:
    path = tmp_path / "in"
    path.write_bytes(text)
    last = text.count(b"\n")
    with pytest.raises(DocumentError, match=rf"line {last}: its id 'a' was given before, in .*in, line {last - 3}"):
        job_of([path], InputRules(format=form, id_field="id"), 3, tmp_path)


def test_an_id_may_be_a_number_and_the_same_as_text(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text('{"id":1}\n{"id":"1"}\n')
    assert job_of([path], InputRules(id_field="id"), 2, tmp_path).items == 2


def test_fewer_ranges_are_some_of_the_cuts(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("x\n" * 100)
    [cut] = cut_files([InputFile(str(path), InputRules(format="text"))], [10], str(tmp_path))
    few = thinned(cut, 3)
    assert len(cut.cuts) == 10
    assert len(few.cuts) == 3
    assert sum(shard.items for shard in shards_of([few])) == 100


def test_an_empty_file_is_a_shard_without_items(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("")
    job = check([path], InputRules(format="text"), 3, tmp_path)
    assert [shard.items for shard in job.shards] == [0]
