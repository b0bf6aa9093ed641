"""Inputs that people have: ten oddities of each format, each with its right value or the line that says what to do."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from ipexlaunch.batch.input.input_files import InputFile, format_of
from ipexlaunch.batch.input.input_rules import InputRules
from ipexlaunch.batch.input.open_items import ItemSource
from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.errors import DocumentError


def source(tmp_path: Path, name: str, data: bytes, **fields: Any) -> ItemSource:
    path = tmp_path / name
    path.write_bytes(data)
    return ItemSource([InputFile(str(path), InputRules(format=format_of(str(path), "auto"), **fields))])


def values(tmp_path: Path, name: str, data: bytes, **fields: Any) -> list[object]:
    """The values of the items; a bad line is its reason."""
    rows = source(tmp_path, name, data, **fields).items(keep_bad=True)
    return [row.value if isinstance(row, Item) else f"bad: {row.reason}" for row in rows]


JSONL: dict[str, tuple[bytes, list[object]]] = {
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}\n', [{"a": 1}]),
    "ends of Windows": (b'{"a":1}\r\n{"a":2}\r\n', [{"a": 1}, {"a": 2}]),
    "no newline at the end": (b"1\n2", [1, 2]),
    "white space around and empty lines": (b"  1  \n\n\t\n 2\n", [1, 2]),
    "a line separator inside text": ('{"a":"x\u2028y"}\n'.encode(), [{"a": "x\u2028y"}]),
    "an escaped character beyond 16 bits": (b'"\\ud83d\\ude00"\n', ["\N{GRINNING FACE}"]),
    "a number that is too large": (b"1e400\n1\n", ["bad", 1]),
    "NaN, which is no JSON": (b'{"a": NaN}\n1\n', ["bad", 1]),
    "one key twice": (b'{"a":1,"a":2}\n1\n', ["bad", 1]),
    "a whole number beyond 64 bits": (b"123456789012345678901234567890\n", [123456789012345678901234567890]),
    "half a character": (b'"\\ud800"\n1\n', ["bad", 1]),
}


def worded(found: list[object]) -> list[object]:
    return ["bad" if isinstance(value, str) and value.startswith("bad: ") else value for value in found]


@pytest.mark.parametrize("oddity", JSONL)
def test_lines_of_json_as_people_have_them(tmp_path: Path, oddity: str) -> None:
    data, expected = JSONL[oddity]
    assert worded(values(tmp_path, "in.jsonl", data)) == expected


CSV: dict[str, tuple[bytes, dict[str, Any], list[object]]] = {
    "a byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n", {}, [{"a": "1", "b": "2"}]),
    "a line that names the separator": (b"sep=;\r\na;b\r\n1;2\r\n", {}, [{"a": "1", "b": "2"}]),
    "semicolons": (b"a;b\n1;2,5\n", {"delimiter": ";"}, [{"a": "1", "b": "2,5"}]),
    "newlines in quotes": (b'a,b\n"1\n2",3\n', {}, [{"a": "1\n2", "b": "3"}]),
    "doubled quotes": (b'a\n"say ""hi"""\n', {}, [{"a": 'say "hi"'}]),
    "delimiters in quotes": (b'a,b\n"1,2",3\n', {}, [{"a": "1,2", "b": "3"}]),
    "a quote inside a field": (b'a,b\n5" pipe,x\n', {"quote": ""}, [{"a": '5" pipe', "b": "x"}]),
    "quotes of another kind": (b"a,b\n'1,2',3\n", {"quote": "'"}, [{"a": "1,2", "b": "3"}]),
    "empty fields and an empty line": (b"a,b\n,\n\n1,\n", {}, [{"a": "", "b": ""}, {"a": "1", "b": ""}]),
    "a row that is too short": (b"a,b\n1\n2,3\n", {}, ["bad", {"a": "2", "b": "3"}]),
    "characters beyond ASCII as delimiter": ("a¦b\n1¦2\n".encode(), {"delimiter": "¦"}, [{"a": "1", "b": "2"}]),
}


@pytest.mark.parametrize("oddity", CSV)
def test_csv_as_people_have_it(tmp_path: Path, oddity: str) -> None:
    data, fields, expected = CSV[oddity]
    assert worded(values(tmp_path, "in.csv", data, **fields)) == expected


def test_tsv_of_iana_has_no_quotes(tmp_path: Path) -> None:
    data = b'id\ttext\n1\t"open\n2\tplain\n'
    assert values(tmp_path, "in.tsv", data, quote="") == [{"id": "1", "text": '"open'}, {"id": "2", "text": "plain"}]


def test_rows_of_tsv_that_quotes_put_into_one_are_bad_unless_somebody_says_what_quotes_are(tmp_path: Path) -> None:
    data = b'id\ttext\n1\t"open\n2\tb"\n3\tc\n'
    first, second, third = source(tmp_path, "in.tsv", data).items(keep_bad=True)
    assert isinstance(first, DeadLetter)
    assert isinstance(second, DeadLetter)
    assert "quotes put 2 lines into one row" in first.reason
    assert isinstance(third, Item)
    assert third.number == 2
    assert values(tmp_path, "in.tsv", data, quote="")[0] == {"id": "1", "text": '"open'}
    assert values(tmp_path, "in.tsv", data, quote='"') == [{"id": "1", "text": "open\n2\tb"}, {"id": "3", "text": "c"}]
    assert values(tmp_path, "in.tsv", b'id\ttext\n1\t"two\nlines"\n') == [{"id": "1", "text": "two\nlines"}]


@pytest.mark.parametrize(("name", "data", "hint"), [
    ("in.csv", b"id;text\n1;a\n", "--delimiter ';'"),
    ("in.csv", b"id\ttext\n1\ta\n", "--delimiter tab"),
    ("in.tsv", b"id,text\n1,a\n", "--delimiter ','"),
])  # fmt: skip
def test_a_file_of_another_dialect_is_not_one_field(tmp_path: Path, name: str, data: bytes, hint: str) -> None:
    with pytest.raises(DocumentError, match=r"line 1.*it names one field") as caught:
        list(source(tmp_path, name, data).items())
    assert hint in str(caught.value)


def test_one_field_with_a_semicolon_can_be_asked_for(tmp_path: Path) -> None:
    assert values(tmp_path, "in.csv", b"a;b\nx\n", delimiter=",") == [{"a;b": "x"}]


def test_every_line_behind_a_quote_that_is_never_closed_is_counted_and_keeps_its_text(tmp_path: Path) -> None:
    data = b"id,text\n1,fine\n" + b'2,"open\n' + b"".join(b"%d,row\n" % n for n in range(3, 998))
    rows = list(source(tmp_path, "in.csv", data).items(keep_bad=True))
    assert isinstance(rows[0], Item)
    letters = [row for row in rows if isinstance(row, DeadLetter)]
    assert len(letters) == 996
    assert [letter.line for letter in letters] == list(range(3, 999))
    assert [letter.item.value for letter in letters[:2]] == ['2,"open', "3,row"]
    assert "lines 3 to 998" in letters[0].reason
    assert "line 3" in letters[-1].reason
    with pytest.raises(DocumentError, match=r"line 3: .*lines 3 to 998.*--quote none"):
        list(source(tmp_path, "in.csv", data).items())


@pytest.mark.parametrize(("name", "data", "found", "hint"), [
    ("in.jsonl", b'{"a":1}\r{"a":2}\r', "CR alone", "tr '\\r' '\\n'"),
    ("in.txt", b"one\rtwo\rthree", "CR alone", "tr '\\r' '\\n'"),
    ("in.csv", b"a,b\r1,2\r", "CR alone", "tr '\\r' '\\n'"),
    ("in.jsonl", b'{"a":1},\n{"a":2}\n', "line 1", "sed 's/,[[:space:]]*$//'"),
    ("in.jsonl", b'[\n{"a":1},\n{"a":2}]\n', "line 1", "jq -c '.[]'"),
    ("in.jsonl", b'{\n "a": 1\n}\n', "line 1", "jq -c ."),
    ("in.jsonl", b"BZh91AY", "bzip2", "bzcat"),
    ("in.jsonl", b"PAR1", "Parquet", "--format parquet"),
    ("in.jsonl", '"a"\n'.encode("utf-16"), "UTF-16", "iconv -f UTF-16"),
    ("in.jsonl", '"a"\n'.encode("utf-16-le"), "UTF-16 without", "iconv -f UTF-16LE"),
    ("in.csv", "a,b\n1,é\n".encode("utf-16-be"), "UTF-16 without", "iconv -f UTF-16BE"),
    ("in.jsonl", '"a"\n'.encode("utf-32"), "UTF-32", "iconv -f UTF-32"),
    ("in.txt", b"PK\x03\x04 and more", "zip archive", "unzip -p"),
    ("in.jsonl", b'{"a":1}{"a":2}\n', "line 1", "jq -c ."),
    ("in.jsonl", b'\x1e{"a":1}\n', "line 1", "tr -d '\\036'"),
    ("in.jsonl", b"{'a': 1}\n", "line 1", "ast.literal_eval"),
    ("in.jsonl", b"id,text\n1,a\n", "line 1", "--format text, csv"),
])  # fmt: skip
def test_what_is_something_else_is_named_with_the_command_that_helps(
    tmp_path: Path, name: str, data: bytes, found: str, hint: str
) -> None:
    with pytest.raises(DocumentError, match=found) as caught:
        list(source(tmp_path, name, data).items())
    assert hint in str(caught.value)


def ints(kind: Any, *numbers: int | None) -> Any:
    """A column of a type that is kept as whole numbers, made of those."""
    width = (
        pyarrow.int32() if kind in (pyarrow.date32(), pyarrow.time32("ms"), pyarrow.time32("s")) else pyarrow.int64()
    )
    return pyarrow.array(numbers, width).view(kind)


BEYOND = 253_402_300_800
"""Seconds from 1970 to the year 10000."""

UTC = datetime.timezone.utc
PARQUET: dict[str, tuple[Callable[[], Any], list[object]]] = {
    "null": (lambda: pyarrow.nulls(1), [None]),
    "bool": (lambda: pyarrow.array([True, None]), [True, None]),
    "int8": (lambda: pyarrow.array([-128], pyarrow.int8()), [-128]),
    "uint64": (lambda: pyarrow.array([2**64 - 1], pyarrow.uint64()), [2**64 - 1]),
    "float16": (lambda: pyarrow.array([1.5, None], pyarrow.float16()), [1.5, None]),
    "float: NaN and infinities": (lambda: pyarrow.array([float("nan"), float("-inf"), 0.5]), [None, None, 0.5]),
    "decimal": (lambda: pyarrow.array([decimal.Decimal("1.10"), None]), ["1.10", None]),
    "string": (lambda: pyarrow.array(["a", None]), ["a", None]),
    "large_string": (lambda: pyarrow.array(["a"], pyarrow.large_string()), ["a"]),
    "binary that is text": (lambda: pyarrow.array(["ä".encode(), None]), ["ä", None]),
    "binary that is none": (lambda: pyarrow.array([b"\xff\x00", b"ok"]), ["bad", "ok"]),
    "fixed_size_binary": (lambda: pyarrow.array([b"abcd", b"\0\1\2\3"], pyarrow.binary(4)), ["abcd", "bad"]),
    "date32 beyond the year 9999": (lambda: ints(pyarrow.date32(), 0, 2_932_897), ["1970-01-01", "+10000-01-01"]),
    "date64": (lambda: ints(pyarrow.date64(), 86_400_000), ["1970-01-02"]),
    "time32": (lambda: ints(pyarrow.time32("ms"), 3_600_005), ["01:00:00.005000"]),
    "time64": (lambda: ints(pyarrow.time64("ns"), 1), ["00:00:00.000000001"]),
    "timestamp of pandas": (
        lambda: ints(pyarrow.timestamp("ns"), 1_704_164_645_123_456_789, 1_704_164_645_123_456_000, None),
        ["2024-01-02T03:04:05.123456789", "2024-01-02T03:04:05.123456", None],
    ),
    "timestamp before 1970": (lambda: ints(pyarrow.timestamp("us"), -1), ["1969-12-31T23:59:59.999999"]),
    "timestamp with a zone": (
        lambda: pyarrow.array(
            [datetime.datetime(2024, 7, 1, 12, tzinfo=UTC)], pyarrow.timestamp("us", "Europe/Berlin")
        ),
        ["2024-07-01T14:00:00+02:00"],
    ),
    "timestamp with an offset": (lambda: ints(pyarrow.timestamp("ms", "+05:30"), 0), ["1970-01-01T05:30:00+05:30"]),
    "timestamp beyond the year 9999": (
        lambda: ints(pyarrow.timestamp("ms", "UTC"), BEYOND * 1000),
        ["+10000-01-01T00:00:00+00:00"],
    ),
    "duration": (lambda: ints(pyarrow.duration("ms"), 1500), [1.5]),
    "dictionary": (lambda: pyarrow.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    "list": (lambda: pyarrow.array([[1, None], None, []]), [[1, None], None, []]),
    "fixed_size_list": (lambda: pyarrow.array([[1, 2], None], pyarrow.list_(pyarrow.int8(), 2)), [[1, 2], None]),
    "struct": (lambda: pyarrow.array([{"a": 1, "b": ["x"]}, None]), [{"a": 1, "b": ["x"]}, None]),
    "map": (
        lambda: pyarrow.array([[("k", 1)], None], pyarrow.map_(pyarrow.string(), pyarrow.int8())),
        [[["k", 1]], None],
    ),
    "struct with text in binary": (lambda: pyarrow.array([{"a": b"x"}, {"a": b"\xff"}]), [{"a": "x"}, "bad"]),
    "uuid": (lambda: pyarrow.array([bytes(range(16))], pyarrow.uuid()), ["00010203-0405-0607-0809-0a0b0c0d0e0f"]),
}
"""Every type that Parquet files have, with the forms that docs/batch.md names."""


@pytest.mark.parametrize("kind", PARQUET)
def test_every_type_of_parquet_has_its_form(tmp_path: Path, kind: str) -> None:
    make, expected = PARQUET[kind]
    path = tmp_path / "in.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"v": make()}), path)
    rows = ItemSource([InputFile(str(path), InputRules(format="parquet"))]).items(keep_bad=True)
    found = [row.value["v"] if isinstance(row, Item) else "bad" for row in rows]  # type: ignore[index]
    assert found == expected


def test_the_documentation_has_a_row_for_every_type() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs/batch.md").read_text(encoding="utf-8")
    missing = {kind.split()[0].rstrip(":") for kind in PARQUET} - {word.strip("`,") for word in text.split()}
    assert not missing
