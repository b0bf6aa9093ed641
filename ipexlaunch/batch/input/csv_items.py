"""Items from rows of CSV (RFC 4180) and TSV (IANA): the first row names the fields, quoted ones may hold newlines."""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain

from ipexlaunch.batch.input.input_rules import BadLine, BadRow, InputRules, ItemMaker
from ipexlaunch.batch.input.read_lines import TO_UTF_8, TooLong, bad_line, not_utf_8, too_long
from ipexlaunch.batch.items import Item
from ipexlaunch.documents.visible_text import quoted
from ipexlaunch.errors import DocumentError
from ipexlaunch.machine.wording import counted


class _Texts:
    """Gives csv.reader its lines, and survives one that cannot be read: a generator would be over then."""

    def __init__(self, lines: Iterable[bytes | TooLong], longest: int) -> None:
        self.place = 0
        """The line that was given last, from 1."""
        self.first: bytes | TooLong = b""
        """What stands in the line that the present row begins on."""
        self._lines = iter(lines)
        self._longest = longest
        self.begin_row()

    def begin_row(self) -> None:
        """The next line begins a row."""
        self.begin = 0
        """The line that the present row begins on."""
        self.size = 0
        """Bytes of the present row so far."""
        self.undecoded = ""
        """What is not UTF-8 in it."""
        self.row: list[bytes] = []
        """The lines of the present row so far."""

    def separator(self) -> str | None:
        """What a first line such as "sep=;" says, which is taken; spreadsheets write it."""
        first = next(self._lines, None)
        if isinstance(first, bytes) and (found := _SEPARATOR.fullmatch(first)):
            self.place = 1
            return found[1].decode("latin-1")
        if first is not None:
            self._lines = chain([first], self._lines)
        return None

    def __iter__(self) -> _Texts:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.place += 1
        if not self.begin:
            self.begin, self.first = self.place, line
        if isinstance(line, TooLong):
            raise _LongLine
        self.size += len(line)
        self.row.append(line)
        if self.size > self._longest:
            raise BadRow(f"its row, which begins here, is longer than {self._longest} bytes", "is a quote missing?")
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError as error:
            where = "" if self.place == self.begin else f" (in line {self.place})"
            self.undecoded = self.undecoded or not_utf_8(line, error) + where
            # The row is read to its end all the same, or the rest of a quoted field would be taken for rows.
            return line.decode(errors="surrogateescape") + "\n"


_SEPARATOR = re.compile(rb"sep=([^\r\n])\r?", re.IGNORECASE)


class _LongLine(Exception):
    pass


def csv_items(
    lines: Iterable[bytes | TooLong], maker: ItemMaker, name: str, first: int = 0, begin: int | None = None
) -> Generator[Item | BadLine, None, int]:
    """Every row as an object of texts, or why it gives no item (empty lines are none); returns the next number.

    Args:
        lines: of the input.
        maker: makes an item of an object; its rules say "csv" or "tsv".
        name: of the input, for messages.
        first: the number of the first row.
        begin: the number of the line behind the header; None where that is the next one.

    Raises:
        DocumentError: the first row is missing or names no fields that can be told apart.
    """
    rules = maker.rules
    texts = _Texts(lines, rules.longest_line_bytes)
    reader, header, delimiter = _opened(texts, rules, name)
    if begin is not None:
        texts.place = begin - 1
    number = first
    while True:
        texts.begin_row()
        try:
            fields = next(reader)
            if not fields:
                continue
            if rules.format == "tsv" and rules.quote is None and _are_rows(texts.row, len(header), delimiter):
                for at, line in enumerate(texts.row):  # each of them may have been a row
                    problem = f"quotes put {len(texts.row)} lines into one row"
                    yield bad_line(number + at, texts.begin + at, line, problem, _NO_QUOTES)
                number += len(texts.row)
                continue
            if texts.undecoded:
                raise BadRow(texts.undecoded, TO_UTF_8)
            if len(fields) != len(header):
                raise BadRow(f"it has {counted(len(fields), 'field')}, the first row has {len(header)}")
            yield maker.item(dict(zip(header, fields, strict=True)), number, texts.begin, texts.size)
        except StopIteration:
            return number
        except _LongLine:
            yield too_long(number, texts.begin, texts.first, rules.longest_line_bytes)
        except BadRow as bad:
            yield bad_line(number, texts.begin, texts.first, bad.problem, bad.hint, bad.id)
        except csv.Error as error:
            if str(error) == _ENDLESS:
                for at, line in enumerate(texts.row):
                    yield bad_line(number + at, texts.begin + at, line, _swallowed(texts, at), _UNQUOTED)
                return number + len(texts.row)
            yield bad_line(number, texts.begin, texts.first, f"it is not CSV ({error})", _UNDOUBLED)
        number += 1


def header_lines(lines: Iterable[bytes | TooLong], rules: InputRules, name: str) -> int:
    """How many lines come before the first row: the one that names the fields, and a line "sep=;".

    Args:
        lines: of the input, from its beginning; no more are taken than that.
        rules: how it is read.
        name: of the input, for messages.

    Raises:
        DocumentError: there is no such row, or it names no fields that can be told apart.
    """
    texts = _Texts(lines, rules.longest_line_bytes)
    _opened(texts, rules, name)
    return texts.place


def _opened(texts: _Texts, rules: InputRules, name: str) -> tuple[Iterator[list[str]], list[str], str]:
    """(What gives the rows behind the header, the header, what parts fields)."""
    # The limit of the module is 128 KiB for a field, for the whole process; ours is on the row.
    csv.field_size_limit(max(csv.field_size_limit(), rules.longest_line_bytes))
    usual, separator = "\t" if rules.format == "tsv" else ",", texts.separator()
    delimiter, quote = rules.delimiter or separator or usual, '"' if rules.quote is None else rules.quote
    reader = csv.reader(
        texts,
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=True,
    )
    header = _header(reader, texts, rules, name)
    if len(header) == 1 and rules.delimiter is None and separator is None:
        _refuse_one_field(header[0], usual, name)
    return reader, header, delimiter


def _are_rows(lines: Sequence[bytes], fields: int, delimiter: str) -> bool:
    """Whether each of the lines that quotes put into one row could be a row of its own: most TSV has no quotes."""
    return len(lines) > 1 < fields and all(line.count(delimiter.encode()) == fields - 1 for line in lines)


_NO_QUOTES = "give --quote none where quotes mean nothing, or --quote '\"' if that is one row"

_ENDLESS = "unexpected end of data"
"""What the csv module says of a quote that is open where the input ends."""

_UNDOUBLED = "double a quote inside of a quoted field, or give --quote none where quotes mean nothing"

_UNQUOTED = "close it, or give --quote none where quotes mean nothing"


def _swallowed(texts: _Texts, at: int) -> str:
    """What is wrong with one of the lines after a quote that is never closed: each of them may have been a row."""
    if at:
        return f"it stands behind the quote of line {texts.begin}, which is never closed"
    last = texts.begin + len(texts.row) - 1
    more = f"; lines {texts.begin} to {last} stand behind it" if last > texts.begin else ""
    return f"it is not CSV ({_ENDLESS}): a quote is never closed{more}"


def _refuse_one_field(field: str, usual: str, name: str) -> None:
    """A file of another dialect would be one field a row, and nobody would notice.

    Raises:
        DocumentError: the only field's name has another usual delimiter in it.
    """
    for other in (";", "\t", "|", ","):
        if other != usual and other in field:
            given = {"\t": "tab"}.get(other, f"'{other}'")
            hint = (
                f"give --delimiter {given} if that parts them, else --delimiter {'tab' if usual == chr(9) else usual}"
            )
            raise DocumentError(name, "line 1", f"it names one field, {quoted(field)}", hint)


def _header(reader: Iterator[list[str]], texts: _Texts, rules: InputRules, name: str) -> list[str]:
    try:
        header = next(reader, [])
    except _LongLine:
        bad = too_long(0, texts.begin, TooLong(b""), rules.longest_line_bytes)
        raise DocumentError(name, "line 1", bad.problem, bad.hint) from None
    except BadRow as error:
        raise DocumentError(name, "line 1", error.problem, error.hint) from None
    except csv.Error as error:
        raise DocumentError(name, "line 1", f"it is not CSV ({error})", _UNDOUBLED) from None
    if texts.undecoded:
        raise DocumentError(name, "line 1", texts.undecoded, TO_UTF_8)
    if not header:
        raise DocumentError(name, "line 1", "there is no row that names the fields", "write one, or give --format text")
    twice = sorted({field for field in header if header.count(field) > 1})
    if twice:
        raise DocumentError(name, "line 1", f"it names the field {twice[0]!r} twice", "give each field its own name")
    for field in rules.fields:
        if field not in header:
            raise DocumentError(name, "line 1", f"there is no field {field!r}", f"it has {', '.join(header)}")
    return header
