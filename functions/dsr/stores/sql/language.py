"""What the store needs of each database's language: statements, with their values apart."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.engine import Connection

from dsr.datamap.plan import Way
from dsr.stores.base import Record
from dsr.stores.sql.tables import Column, Table

# SQL with `:name` where a value goes, and the values.
Statement = tuple[str, dict[str, Any]]


class AnswerTooLarge(Exception):
    """Fewer rows must be asked for at once."""


@dataclass(frozen=True)
class Search:
    """What is looked for: rows of `table` whose `way.field` is one of `values`, after the key `after`."""

    table: Table
    key: list[Column]
    wanted: list[Column]
    way: Way
    values: list[Any]
    after: list[Any] | None = None


@dataclass(frozen=True)
class Aged:
    """What is looked for by age: rows dated before `before` by the first column of `order`, after `after`."""

    table: Table
    order: list[Column]
    wanted: list[Column]
    before: datetime
    after: list[Any] | None
    limit: int

    def bounds(self, by_kind: Mapping[str, Callable[[datetime], tuple[Any, Any]]]) -> dict[str, Any]:
        """From `first` up to `end` in the form of the dated column. Raises StoreFault where it is no time."""
        dated = self.order[0]
        kind = "text" if dated.text else dated.kind
        if kind not in by_kind:
            raise self.table.fault("unsupported", f"{dated.name} is neither a time nor text")
        first, end = by_kind[kind](self.before)
        return {"first": first, "end": end}


@dataclass(frozen=True)
class Listed:
    """What is gone through: the rows after the key `after`, in the order of their key."""

    table: Table
    key: list[Column]
    wanted: list[Column]
    after: list[Any] | None
    limit: int


@dataclass(frozen=True)
class Change:
    """What is done to rows: deleted, or masked by `masks` (column → value); none whose guards differ."""

    table: Table
    key: list[Column]
    guards: list[Column]
    masks: dict[str, Any]


def keyless(search: Search, match: str, names: Sequence[str], any_of: str) -> str:
    """A statement with a row for it if rows that `match` have no key, or share one.

    `names`: the key's columns as they are spelt; `any_of`: what tells whether a condition holds of any row.
    """
    none = " OR ".join(f"{any_of}({name} IS NULL)" for name in names)
    return (
        f"SELECT 1 FROM {search.table.quoted} WHERE {match} GROUP BY {', '.join(names)}"
        f" HAVING count(*) > 1 OR {none} LIMIT 1"
    )


class Language(Protocol):
    """What differs between databases: how a table is described, and how each statement is spelt."""

    # So many rows at most a page, each in a transaction of its own; 0: a cursor on the server goes through.
    pages: int

    def begin(self, connection: Connection, seconds: int) -> None:
        """Make the transaction at hand as this code expects it. `seconds`: what one statement may take."""
        ...

    def describe(self, connection: Connection, store: str, name: str) -> Table | None:
        """The table that the map calls `name`, or None where there is none."""
        ...

    def page(self, connection: Connection, search: Search, limit: int) -> Sequence[Record]:
        """At most `limit` rows found, in order of the key."""
        ...

    def all(self, connection: Connection, search: Search) -> Iterator[Sequence[Record]]:
        """Every row found, in order of the key, in pieces that fit into memory."""
        ...

    def scans(self, connection: Connection, search: Search) -> bool:
        """Whether the database would read a whole table for it; asked of views, which have no indexes."""
        ...

    def ambiguous(self, connection: Connection, search: Search) -> bool:
        """Whether rows found have no key, or share one; asked of views, which have no constraints."""
        ...

    def aged(self, connection: Connection, aged: Aged) -> Sequence[Record]:
        """The rows so old, the oldest first. Raises StoreFault where the column is no time."""
        ...

    def listed(self, connection: Connection, listed: Listed) -> Sequence[Record]:
        """The next rows by their key."""
        ...

    def some(self, connection: Connection, table: Table, count: int) -> Sequence[Record]:
        """`count` rows, whichever come first."""
        ...

    def begin_change(self, change: Change) -> Statement:
        """How the DELETE, or the UPDATE that masks, begins; `WHERE` follows."""
        ...

    def each(self, change: Change, records: Sequence[dict[str, Any]]) -> Iterator[Statement]:
        """Exactly these records, where the guards still have their values."""
        ...

    def between(self, change: Change, first: dict[str, Any], last: dict[str, Any]) -> Statement | None:
        """All rows from one key to the other with the guards of `first`. None: it cannot say so."""
        ...

    def fault(self, error: BaseException) -> tuple[str, str]:
        """The fault that an error of the driver stands for, and what it names; ("", "") for what may pass."""
        ...
