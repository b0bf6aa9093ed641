"""What is read is what was written, for every format, however it was cut into blocks; and every bad row is named."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.batch.input.csv_items import csv_items
from ipexlaunch.batch.input.input_files import InputFile, format_of
from ipexlaunch.batch.input.input_rules import InputFormat, InputRules, ItemMaker
from ipexlaunch.batch.input.line_items import json_items, text_items
from ipexlaunch.batch.input.open_items import ItemSource
from ipexlaunch.batch.input.read_lines import TooLong, lines_of
from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.errors import DocumentError, LaunchError, RequestError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def none(number: int) -> bool:  # noqa: ARG001
    return False


def maker(form: InputFormat, **fields: Any) -> ItemMaker:
    return ItemMaker(InputRules(format=form, **fields))


def in_blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[begin : begin + size] for begin in range(0, len(data), size))


def lines(data: bytes, size: int = 7, longest: int = 1000) -> Iterator[bytes | TooLong]:
    return lines_of(in_blocks(data, size), longest)


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 50), st.booleans())
def test_lines_are_those_of_split_however_the_blocks_fall(written: list[bytes], size: int, ends: bool) -> None:
    data = b"".join(line + b"\n" for line in written)
    if not ends:
        data = data.removesuffix(b"\n")
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert list(lines(data, size)) == expected


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 50), st.integers(1, 30))
def test_a_line_beyond_the_limit_is_one_place_and_the_others_stay(
    written: list[bytes], size: int, longest: int
) -> None:
    data = b"".join(line + b"\n" for line in written)
    found = list(lines(data, size, longest))
    assert len(found) == len(written)
    for line, got in zip(written, found, strict=True):
        if len(line) > longest:
            assert isinstance(got, TooLong)
            assert line.startswith(got.begins)
        else:
            assert got == line


@given(st.lists(VALUES), st.integers(1, 50), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
def test_json_lines_come_back(values: list[object], size: int, end: str, escaped: bool) -> None:
    data = "".join(json.dumps(value, ensure_ascii=escaped) + end for value in values).encode()
    items = list(json_items(lines(data, size, 1 << 20), maker("jsonl"), none))
    assert [item.value for item in items if isinstance(item, Item)] == values
    assert [item.number for item in items] == list(range(len(values)))
    step = end.count("\n")
    assert [item.id for item in items if isinstance(item, Item)] == [1 + step * n for n in range(len(values))]


@given(st.lists(TEXTS.filter(lambda text: "\n" not in text and not text.endswith("\r"))), st.integers(1, 50))
def test_text_comes_back_line_for_line(written: list[str], size: int) -> None:
    data = "".join(text + "\n" for text in written).encode()
    windows = "".join(text + "\r\n" for text in written).encode()
    for form in (data, windows):
        items = list(text_items(lines(form, size, 1 << 20), maker("text")))
        assert [(item.number, item.id, item.value) for item in items if isinstance(item, Item)] == [
            (number, number + 1, text) for number, text in enumerate(written)
        ]


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), TEXTS)),
    st.integers(1, 50),
    st.sampled_from(["csv", "tsv"]),
)
def test_csv_comes_back_with_quotes_newlines_and_all(rows: list[tuple[str, str]], size: int, form: InputFormat) -> None:
    rows = [(one, two.replace("\0", "")) for one, two in rows]
    written = io.StringIO(newline="")
    out = csv.writer(written, delimiter="\t" if form == "tsv" else ",", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    out.writerow(["one", "two"])
    out.writerows(rows)
    data = written.getvalue().encode()
    items = list(csv_items(lines(data, size, 1 << 20), maker(form), "rows.csv"))
    assert [item.value for item in items if isinstance(item, Item)] == [{"one": one, "two": two} for one, two in rows]


def test_a_csv_row_is_named_by_the_line_that_it_begins_on() -> None:
    data = b'name,text\na,"one\ntwo"\n\nb,three\n'
    items = list(csv_items(lines(data), maker("csv"), "rows.csv"))
    assert [item.id for item in items if isinstance(item, Item)] == [2, 5]


def one(path: str, rules: InputRules) -> ItemSource:
    return ItemSource([InputFile(path, rules)])


def source(tmp_path: Path, name: str, data: bytes, **fields: Any) -> ItemSource:
    path = tmp_path / name
    path.write_bytes(data)
    return one(str(path), InputRules(format=format_of(str(path), "auto"), **fields))


@pytest.mark.parametrize(
    ("name", "data", "fields", "place", "problem"),
    [
        ("a.jsonl", b'{"a":1}\n\n{"a":\n', {}, "line 3", "it is not JSON (Expecting value"),
        ("a.jsonl", b"[\n", {}, "line 1", "it is not JSON"),
        ("a.jsonl", b"NaN\n", {}, "line 1", "it is not JSON (NaN is no JSON)"),
        ("a.jsonl", b'1\n"\xff"\n', {}, "line 2", "it is not UTF-8 (byte 2 of the line is 0xff)"),
        ("a.jsonl", b"[" * 200_000 + b"\n", {}, "line 1", "its lists and objects are more than 512 deep"),
        ("a.jsonl", b"1\n" + b"2" * 50 + b"\n", {"longest_line_bytes": 10}, "line 2", "it is longer than 10 bytes"),
        ("a.jsonl", b'{"id":1}\n{"b":2}\n', {"id_field": "id"}, "line 2", "it has no field 'id'; it has 'b'"),
        ("a.jsonl", b'{"id":1}\n\n3\n', {"id_field": "id"}, "line 3", "it is a number, not an object"),
        ("a.jsonl", b'{"id":1.5}\n', {"id_field": "id"}, "line 1", "its id 'id' is a number; an id is text or a whole"),
        ("a.jsonl", b'{"id":1}\n\n{"id":1}\n', {"id_field": "id"}, "line 3", "its id 1 was given before"),
        ("a.jsonl", b'{"t":"x"}\n{"u":"x"}\n', {"text_field": "t"}, "line 2", "it has no field 't'"),
        ("a.jsonl", b'{"n":-1}\n', {"tokens_field": "n"}, "line 1", "a length is a whole number from 0"),
        (
            "a.txt",
            b"one\ntw\xe9\n",
            {},
            "line 2",
            "it is not UTF-8 (byte 3 of the line is 0xe9); if it is Latin-1: iconv",
        ),
        ("a.txt", b"\xff\xfeo\0n\0e\0", {}, "", "it is UTF-16; make it UTF-8: iconv -f UTF-16"),
        ("a.txt", b"\x1f\x8b\x08rest", {}, "", "gzip"),
        ("a.txt", b"BZh9", {}, "", "it is compressed with bzip2; bzcat"),
        ("a.jsonl", b"1\n1e400\n", {}, "line 2", "it holds 1e400, which is larger than any number"),
        ("a.jsonl", b"[-1e999]\n", {}, "line 1", "it holds -1e999, which is larger"),
        ("a.jsonl", b"1" * 400 + b".5\n", {}, "line 1", "which is larger than any number"),
        ("a.jsonl", b'{"a":[Infinity]}\n', {}, "line 1", "it is not JSON (Infinity is no JSON)"),
        ("a.jsonl", b"[" * 970 + b"]" * 970 + b"\n", {}, "line 1", "more than 512 deep"),
        ("a.jsonl", b'{"a":' * 970 + b"1" + b"}" * 970 + b"\n", {}, "line 1", "more than 512 deep"),
        ("a.jsonl", b"1" * 5000 + b"\n", {}, "line 1", "it holds a number of more than 4300 digits"),
        ("a.jsonl", b'{"a":"\\ud800"}\n', {}, "line 1", "it holds half a character (a lone surrogate)"),
        ("a.jsonl", b'{"\\uDFFF":1}\n', {}, "line 1", "it holds half a character"),
        ("a.jsonl", b'{"a":{"b":1,"c":2,"b":1}}\n', {}, "line 1", "it has the key 'b' twice in one object"),
        ("a.csv", b"n\n" + b"1" * 5000 + b"\n", {"tokens_field": "n"}, "line 2", "a length is a whole number from 0"),
        ("a.jsonl", b'{"n":%d}\n' % 10**400, {"tokens_field": "n"}, "line 1", "a length is a whole number from 0"),
        ("a.jsonl", b"PAR1rest", {}, "", "it is a Parquet file; --format parquet"),
        ("a.csv", b"a,b\n1,2\n3\n", {}, "line 3", "it has 1 field, the first row has 2"),
        ("a.csv", b'a,b\n1,"2\n3,4\n', {}, "line 2", "it is not CSV (unexpected end of data)"),
        ("a.csv", b'a,b\n1,"2"3\n', {}, "line 2", "it is not CSV ("),
        ("a.csv", b'a,b\n1,"\n2222222222\n', {"longest_line_bytes": 10}, "line 2", "longer than 10 bytes; is a quote"),
        ("a.csv", b"a,b\n1,\xff\n", {}, "line 2", "it is not UTF-8"),
        ("a.csv", b"", {}, "line 1", "there is no row that names the fields"),
        ("a.csv", b"a,a\n", {}, "line 1", "it names the field 'a' twice"),
        ("a.csv", b"a,b\n", {"id_field": "id"}, "line 1", "there is no field 'id'; it has a, b"),
        ("a.csv", b"a,id\n1,x\n2,x\n", {"id_field": "id"}, "line 3", "its id 'x' was given before"),
        ("a.parquet", b"no", {}, "", "it is not Parquet, or damaged"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_line_and_what_came_before_stands(
    tmp_path: Path, name: str, data: bytes, fields: dict[str, Any], place: str, problem: str
) -> None:
    opened = source(tmp_path, name, data, **fields)
    items: list[Item | DeadLetter] = []
    with pytest.raises(DocumentError) as caught:
        items.extend(opened.items())
    assert problem in str(caught.value)
    assert caught.value.source == str(tmp_path / name)
    assert caught.value.where == place
    assert [item.number for item in items if isinstance(item, Item)] == list(range(len(items)))


@pytest.mark.parametrize(
    ("name", "data", "fields", "good", "bad"),
    [
        ("a.jsonl", b"1\n{\n3\n", {}, [0, 2], {2: "it is not JSON"}),
        ("a.jsonl", b"1\n" + b"2" * 5000 + b"\n3\n", {"longest_line_bytes": 100}, [0, 2], {2: "longer than 100 bytes"}),
        ("a.jsonl", b'{"i":1}\n{"i":1}\n{"i":2}\n', {"id_field": "i"}, [0, 2], {2: "given before"}),
        ("a.txt", b"1\n\xff\n3\n", {}, [0, 2], {2: "not UTF-8"}),
        ("a.csv", b"a,b\n1,2\n3\n4,5\n", {}, [0, 2], {3: "it has 1 field"}),
        ("a.csv", b'a,b\n1,2\n3,"\xff\n4"\n4,5\n', {}, [0, 2], {3: "not UTF-8"}),
        ("a.csv", b'a,b\n"1"x,2\n3,4\n', {}, [1], {2: "it is not CSV"}),
        ("a.csv", b"a,b\n" + b"1" * 200 + b",2\n3,4\n", {"longest_line_bytes": 100}, [1], {2: "longer than 100"}),
    ],
)
def test_a_bad_row_can_be_buried_and_the_rest_is_read(
    tmp_path: Path, name: str, data: bytes, fields: dict[str, Any], good: list[int], bad: dict[int, str]
) -> None:
    read = list(source(tmp_path, name, data, **fields).items(keep_bad=True))
    letters = [row for row in read if isinstance(row, DeadLetter)]
    assert [row.number for row in read if isinstance(row, Item)] == good
    assert [letter.line for letter in letters] == list(bad)
    # A line's number is the id of what has no other; it never stands for one that is given.
    ids = [None] * len(bad) if "id_field" in fields else list(bad)
    assert [letter.item.id for letter in letters] == ids
    for letter, reason in zip(letters, bad.values(), strict=True):
        assert reason in letter.reason
        assert letter.attempts == 0


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    for name, data, value in (("a.txt", b"x\n", "x"), ("a.jsonl", b"7\n", 7), ("a.csv", b"a\nx\n", {"a": "x"})):
        (item,) = source(tmp_path, name, b"\xef\xbb\xbf" + data).items()
        assert isinstance(item, Item)
        assert item.value == value


def test_the_id_of_a_bad_row_is_its_own_where_it_can_be_read(tmp_path: Path) -> None:
    data = b'{"i":2,"t":"x"}\n{"i":3}\n{"i":"3","t":1}\n{"i":3,"t":"x"}\n{"i":1e0,"t":"x"}\n{\n{"i":"4","t":"x"}\n'
    read = list(source(tmp_path, "a.jsonl", data, id_field="i", text_field="t", text_only=True).items(keep_bad=True))
    assert [row.id if isinstance(row, Item) else row.item.id for row in read] == [2, 3, "3", None, None, None, "4"]
    letters = [row for row in read if isinstance(row, DeadLetter)]
    assert [letter.line for letter in letters] == [2, 3, 4, 5, 6]
    assert "its id 3 was given before" in letters[2].reason


def test_a_long_id_does_not_fill_a_message(tmp_path: Path) -> None:
    for long in ("x" * 10_000, 10**4000):
        data = 2 * (json.dumps({"i": long}).encode() + b"\n")
        with pytest.raises(DocumentError, match="was given before") as caught:
            list(source(tmp_path, "a.jsonl", data, id_field="i").items())
        assert len(str(caught.value)) < 500


def test_what_is_skipped_is_not_looked_at_but_its_id_still_counts(tmp_path: Path) -> None:
    broken = source(tmp_path, "a.jsonl", b"1\n{\n3\n")
    assert [item.id for item in broken.items({0, 1}.__contains__) if isinstance(item, Item)] == [3]
    twice = source(tmp_path, "b.jsonl", b'{"i":1}\n{"i":1}\n', id_field="i")
    with pytest.raises(DocumentError, match="given before"):
        list(twice.items({0}.__contains__))


def test_the_size_is_that_of_the_text_or_what_a_field_says(tmp_path: Path) -> None:
    data = b'{"t":"four","n":9}\n'
    sizes = [
        next(iter(source(tmp_path, "a.jsonl", data, **fields).items())).size  # type: ignore[union-attr]
        for fields in ({}, {"text_field": "t"}, {"text_field": "t", "tokens_field": "n"})
    ]
    assert sizes == [18, 4, 9]


def test_a_file_that_changes_while_it_is_read_ends_with_an_error(tmp_path: Path) -> None:
    opened = source(tmp_path, "a.txt", b"one\ntwo\n")
    items = opened.items()
    next(items)
    with open(opened.files[0].path, "a") as file:
        file.write("more\n")
    with pytest.raises(DocumentError, match="it was changed while it was read"):
        list(items)


def test_what_cannot_be_opened_says_so_at_once(tmp_path: Path) -> None:
    rules = InputRules(format="jsonl")
    with pytest.raises(DocumentError, match="no such file"):
        one(str(tmp_path / "none.jsonl"), rules)
    with pytest.raises(DocumentError, match="it is a directory"):
        one(str(tmp_path), rules)
    with pytest.raises(RequestError, match="plain text has no fields"):
        source(tmp_path, "a.txt", b"", id_field="x")
    with pytest.raises(RequestError, match="its index is at its end"):
        one("-", InputRules(format="parquet"))
    (tmp_path / "corpus").touch()
    with pytest.raises(RequestError, match="its name does not end in"):
        format_of(str(tmp_path / "corpus"), "auto")
    with pytest.raises(RequestError, match="there is no such file"):
        format_of(str(tmp_path / "corpse"), "auto")
    assert format_of("-", "auto") == "jsonl"
    assert format_of("corpus", "csv") == "csv"


PARQUET_VALUES = st.fixed_dictionaries(
    {
        "text": st.none() | TEXTS,
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "share": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "flags": st.lists(st.booleans(), max_size=3),
    }
)


@given(st.lists(PARQUET_VALUES, min_size=1), st.integers(1, 5))
def test_parquet_comes_back_whatever_the_row_groups(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], group: int
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path_factory.getbasetemp() / "rows.parquet"
    kinds = {"text": pyarrow.string(), "count": pyarrow.int64(), "share": pyarrow.float64()}
    schema = pyarrow.schema([*kinds.items(), ("flags", pyarrow.list_(pyarrow.bool_()))])
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path, row_group_size=group)
    opened = one(str(path), InputRules(format="parquet"))
    assert [(item.id, item.value) for item in opened.items() if isinstance(item, Item)] == [
        (number, row) for number, row in enumerate(rows, 1)
    ]
    texts = one(str(path), InputRules(format="parquet", text_field="text"))
    assert [item.value for item in texts.items() if isinstance(item, Item)] == [row["text"] for row in rows]


def test_parquet_columns_that_are_missing_or_have_no_form_in_json_are_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = str(tmp_path / "a.parquet")
    parquet.write_table(pyarrow.table({"picture": [b"\0", None], "share": [float("nan"), 1.0]}), path)
    with pytest.raises(DocumentError, match="there is no column 'text'; it has picture, share"):
        list(one(path, InputRules(format="parquet", text_field="text")).items())
    with pytest.raises(DocumentError, match="row 1: it holds bytes"):
        list(one(path, InputRules(format="parquet")).items())
    letter, item = one(path, InputRules(format="parquet")).items(keep_bad=True)
    assert isinstance(letter, DeadLetter)
    assert isinstance(item, Item)
    assert [letter.item.number, item.number, item.value] == [0, 1, {"picture": None, "share": 1.0}]
    shares = one(path, InputRules(format="parquet", text_field="share"))
    assert [item.value for item in shares.items() if isinstance(item, Item)] == [None, 1.0]


def test_two_columns_or_fields_of_one_name_are_refused_at_the_first_look(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = str(tmp_path / "a.parquet")
    numbers = pyarrow.array([1, 2])
    parquet.write_table(pyarrow.Table.from_arrays([numbers, numbers], ["a", "a"]), path)
    with pytest.raises(DocumentError, match="it names the column 'a' twice"):
        one(path, InputRules(format="parquet")).look()
    struct = pyarrow.StructArray.from_arrays([numbers, numbers], ["x", "x"])
    inside = pyarrow.ListArray.from_arrays([0, 1, 2], struct)
    for column in (struct, inside):
        parquet.write_table(pyarrow.table({"a": column}), path)
        with pytest.raises(DocumentError, match="the field 'x' twice"):
            one(path, InputRules(format="parquet")).look()


def test_a_value_of_parquet_that_has_no_form_is_one_bad_row(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = str(tmp_path / "a.parquet")
    parquet.write_table(pyarrow.table({"n": [1, 2, 3], "text": [b"a", b"\xff", b"c"]}), path)
    read = list(one(path, InputRules(format="parquet", id_field="n")).items(keep_bad=True))
    assert [row.number for row in read if isinstance(row, Item)] == [0, 2]
    (letter,) = (row for row in read if isinstance(row, DeadLetter))
    assert (letter.line, letter.item.id) == (2, None)
    assert "it holds bytes that are no text" in letter.reason


def test_a_damaged_parquet_file_names_the_row_it_came_to(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"number": list(range(20_000))})
    parquet.write_table(table, path, row_group_size=5000, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[90_000:90_100] = bytes(100)
    place = parquet.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    data[place : place + 20] = b"\xff" * 20
    path.write_bytes(data)
    items: list[Item | DeadLetter] = []
    with pytest.raises(DocumentError, match=r"damaged|cannot be read as Parquet"):
        items.extend(one(str(path), InputRules(format="parquet")).items())
    assert items[-1].number in range(4999, 15_000)  # type: ignore[union-attr]


def test_without_pyarrow_the_way_to_get_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(LaunchError, match=r"pip install 'ipexlaunch\[parquet\]'"):
        list(source(tmp_path, "a.parquet", b"PAR1").items())


@pytest.mark.parametrize("form", ["jsonl", "text", "csv"])
def test_memory_stays_flat_over_a_line_of_a_gigabyte_that_is_passed_over(form: InputFormat) -> None:
    import tracemalloc

    block = b"x" * (1 << 20)
    begin = b"a\n" if form == "csv" else b""

    def blocks() -> Iterator[bytes]:
        yield begin
        for _ in range(1024):
            yield block
        yield b"\n7\n"

    read: Callable[..., Iterator[Any]]
    reader: dict[str, Callable[..., Iterator[Any]]] = {
        "jsonl": lambda lines, maker: json_items(lines, maker, none),
        "text": text_items,
        "csv": lambda lines, maker: csv_items(lines, maker, "x"),
    }
    read = reader[form]
    made = maker(form, longest_line_bytes=4 << 20)
    tracemalloc.start()
    try:
        read_all = list(read(lines_of(blocks(), 4 << 20), made))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [row.number for row in read_all] == [0, 1]
    assert peak < 24 << 20


def test_where_only_text_will_do_anything_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="it is an object, not text; --text-field says which field is the text"):
        list(source(tmp_path, "a.jsonl", b'{"t":"x"}\n', text_only=True).items())
    with pytest.raises(DocumentError, match="'t' is a number, not text"):
        list(source(tmp_path, "a.jsonl", b'{"t":1}\n', text_only=True, text_field="t").items())
    (item,) = source(tmp_path, "a.jsonl", b'{"t":"x"}\n', text_only=True, text_field="t").items()
    assert isinstance(item, Item)
    assert item.value == "x"
