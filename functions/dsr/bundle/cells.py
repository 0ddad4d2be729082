"""Records as CSV that no spreadsheet takes for orders, and that can be turned back into what they were.

RFC 4180: comma, CRLF, quotes where needed, UTF-8, one header. Numbers are plain, `true` and `false` are
words, lists and mappings are JSON. Nothing (JSON's null, or no such field) is an empty cell, as an empty text
is: where that matters, the JSON Lines beside it are exact.

Spreadsheets run a cell that begins with = + - @ as a formula, also behind a semicolon, a tab or a line's end
where these separate cells. In front of each such sign in a text stands an apostrophe, and also in front of an
apostrophe in that place. The way back: take away one apostrophe at the beginning of a cell and after each
semicolon, tab and end of line.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dsr.records import to_json_text

# Signs that begin a formula, their full-width forms, what spreadsheets pass over before one, our own mark.
_BEGINS = r"=+\-@\t\r\n＝＋－＠'"
_RISKY = re.compile(rf"(^|[;\t\r\n])(?=[{_BEGINS}])")
_MARKED = re.compile(rf"(^|[;\t\r\n])'(?=[{_BEGINS}])")
# Each begins with one letter, which the search skips to: nearly nothing where there is none.
_ANY_RISKY = [re.compile(rf"{sign}[{_BEGINS}]") for sign in ("\n", ";", r"\t", r"\r")]

_KINDS = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}


def neutral(text: str) -> str:
    """The text as a cell that is a text to every spreadsheet."""
    return _RISKY.sub(r"\1'", text)


def original(cell: str) -> str:
    """The text that `neutral` made the cell from."""
    return _MARKED.sub(r"\1", cell)


def columns_of(
    records: Sequence[dict[str, Any]], names: Iterable[str]
) -> tuple[list[Sequence[Any]], list[set[str]]]:
    """The cells of `records` by column, and the kinds of values in each (JSON's and Table Schema's words)."""
    cells: list[Sequence[Any]] = []
    kinds = []
    for name in names:
        column: list[Any] = [record.get(name) for record in records]
        types = set(map(type, column)) - {type(None)}
        kinds.append({_KINDS[t] for t in types})
        # Numbers need no look, and most columns are of one type.
        if types - {int, float}:
            column = _texts(column, types)
        cells.append(column)
    return cells, kinds


def _texts(column: list[Any], types: set[type]) -> list[Any]:
    if types != {str}:
        column = [_CELLS[type(value)](value) for value in column]
    texts = [value for value in column if type(value) is str and value]
    together = "\n" + "\n".join(texts)
    if any(risky.search(together) for risky in _ANY_RISKY):
        return [neutral(value) if type(value) is str else value for value in column]
    return column


_CELLS: dict[type, Callable[[Any], Any]] = {
    bool: lambda value: "true" if value else "false",
    dict: to_json_text,
    list: to_json_text,
    **{kind: lambda value: value for kind in (str, int, float, type(None))},
}


def lines_of(cells: Sequence[Sequence[Any]]) -> bytes:
    """The lines of a table whose columns are `cells`."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(zip(*cells, strict=True))
    return text.getvalue().encode(errors="replace")


def header_of(names: Sequence[str]) -> bytes:
    """The first line: names of fields are strangers' words too."""
    return lines_of([[neutral(name)] for name in names])
