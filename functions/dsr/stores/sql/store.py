"""The verbs of a SQL database: pages by key over declared indexes, erasing by what was found, no silence."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.records import to_line
from dsr.stores.base import Cursor, Expired, Page, Record, expiring, sort_out
from dsr.stores.sql.connecting import Connector, refusal
from dsr.stores.sql.language import Aged, AnswerTooLarge, Change, Language, Listed, Search, Statement
from dsr.stores.sql.tables import Column, Table, in_order
from dsr.treatments import Masks

_VALUES = 500  # looked up by one statement
_LISTED = 5000  # rows a page of a whole table

# Seconds a statement may take. A page over an index is far below; the longest is the first sort of one
# person's rows where no index holds them in order of the key. The languages wait 30 for locks.
_TIMEOUT = 60
# Seconds between tries to connect, and of silence after which it is no longer taken for a restart. Until
# then the step fails, and the workflow calls again.
_PAUSES = (1, 2, 4)
_SILENT = 20
_PAGE_BYTES = 4 * 1024 * 1024  # of rows at once, as far as the database tells how long they are


class SQLStore:
    """The database of one store, and its replica where copies are read from one."""

    erase_at_once = 50_000

    def __init__(self, store: StorePlan) -> None:
        self._store = store
        replicated = store.connection.keys() & {"read_endpoint", "replica_secret"}
        self._connectors = {replica: Connector(store, replica) for replica in {False, bool(replicated)}}
        self._open: dict[bool, tuple[Engine, Language]] = {}
        self._tables: dict[str, Table] = {}
        self._silent_since = 0.0  # when a server first gave no answer, and has not since

    # -- finding -------------------------------------------------------------------------------------

    def find(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, whole: bool = True
    ) -> Iterator[Page]:
        """See `base.Store.find`. The cursor is [index of the batch of values, key of the last record].

        Copies may come from a replica. What is read to be erased, or to see whether it is, never does.
        """
        table = self._table(collection)
        key = table.chosen(collection.key)
        table.check_key(collection)
        table.check_way(way)
        if not whole:  # before anything is erased, and better before the person is asked
            table.check_masks(collection.masks)
        wanted = list(table.columns.values()) if whole else table.chosen(_locating(collection))
        batch, last = after if after is not None else (0, None)
        while batch * _VALUES < len(values):
            some = list(values[batch * _VALUES : (batch + 1) * _VALUES])
            search = Search(table, key, wanted, way, some, last)
            end = (batch + 1) * _VALUES >= len(values)
            held: Sequence[Record] | None = None
            for rows in self._found(search, whole):
                if held:
                    yield Page(held, [batch, _key(key, held[-1])])
                held = rows
            yield Page(held or [], None if end else [batch + 1, None])
            batch, last = batch + 1, None

    def _found(self, search: Search, whole: bool) -> Iterator[Sequence[Record]]:
        """Every row of one search, in pieces."""
        if search.table.view:
            self._check_view(search, whole)
        _, language = self._opened(whole)
        limit = language.pages
        if limit and search.table.width:
            limit = max(1, min(limit, _PAGE_BYTES // search.table.width))
        if not limit:
            with self._transaction(search.table.about, whole) as (connection, language):
                yield from language.all(connection, search)
            return
        while True:
            try:
                with self._transaction(search.table.about, whole) as (connection, language):
                    rows = language.page(connection, search, limit)
            except AnswerTooLarge:
                if limit == 1:
                    raise search.table.fault("unsupported", "a row too large for an answer") from None
                limit = max(1, limit // 4)
                continue
            if rows:
                yield rows
                search = replace(search, after=_key(search.key, rows[-1]))
            if len(rows) < limit:
                return

    def _check_view(self, search: Search, whole: bool) -> None:
        table = search.table
        with self._transaction(table.about, whole) as (connection, language):
            if language.scans(connection, search):
                raise table.fault(
                    "missing_index", f"the view reads a whole table to find by {search.way.field}"
                )
            if language.ambiguous(connection, search):
                raise table.fault("unsupported", "rows of the view have no key, or share one")

    # -- erasing -------------------------------------------------------------------------------------

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: Masks) -> None:
        """See `base.Store.erase`. One transaction a call."""
        if not records:
            return
        table = self._table(collection)
        table.check_masks(masks)
        with self._transaction(table.about) as (connection, language):
            for left, some in _by_what_is_left(table, records, masks):
                for statement in language.each(_change(table, collection, left), some):
                    _run(connection, statement)

    def erase_lines(self, collection: Collection, lines: Sequence[bytes], masks: Masks) -> None:
        """See `base.LinesStore.erase_lines`.

        Where references alone lead here, all rows of one owner between two keys are that person's: one range
        takes them, provided it holds as many as are listed. If not (something came, went or changed hands
        meanwhile) the range is undone, and exactly what is listed goes.
        """
        if not lines:
            return
        table = self._table(collection)
        table.check_masks(masks)
        alike = all(way.identity is None for way in collection.ways)
        alike = alike and all(treatment.is_constant for treatment in masks.values())
        if alike and self._erase_range(_change(table, collection, _constant(masks)), lines):
            return
        self.erase(collection, [r["values"] for r in json.loads(b"[" + b",".join(lines) + b"]")], masks)

    def _erase_range(self, change: Change, lines: Sequence[bytes]) -> bool:
        first, last = (json.loads(line)["values"] for line in (lines[0], lines[-1]))
        owners = [(first.get(c.name), last.get(c.name)) for c in change.guards]
        if not owners or any(a is None or a != b for a, b in owners):
            return False
        with self._transaction(change.table.about) as (connection, language):
            statement = language.between(change, first, last)
            if statement is None:
                return False
            if _run(connection, statement) == len(lines):
                return True
            connection.rollback()
        return False

    def erase_order(self, collections: Sequence[Collection]) -> list[Collection]:
        """See `base.OrderingStore.erase_order`: what refers by a foreign key goes first."""
        by_name = {c.name: c for c in collections}
        return [by_name[n] for n in in_order({n: self._table(c) for n, c in by_name.items()}, list(by_name))]

    # -- expiring, sampling, checking ----------------------------------------------------------------

    def expired(
        self,
        collection: Collection,
        before: datetime,
        after: Cursor,
        limit: int,
        since: str = "",  # noqa: ARG002  the index leads to the oldest at once
    ) -> Expired:
        """See `base.ExpiringStore.expired`. The cursor is the time and the key of the last record."""
        table = self._table(collection)
        table.check_key(collection)
        dated = table.column(collection.retention["from"])
        table.check_dated(dated)
        order = [dated, *table.chosen(collection.key)]
        wanted = table.chosen(expiring(collection))
        with self._transaction(table.about) as (connection, language):
            read = language.aged(connection, Aged(table, order, wanted, before, after, limit))
        records, undated = sort_out(collection, [record.values for record in read], before)
        return Expired(records, _key(order, read[-1]) if len(read) == limit else None, undated)

    def listing(self, collection: Collection, fields: Sequence[str], after: Cursor) -> Iterator[Page]:
        """See `base.ListingStore.listing`. Along the primary key; the cursor is the key of the last row."""
        table = self._table(collection)
        table.check_key(collection)
        key = table.chosen(collection.key)
        wanted = table.chosen(tuple(dict.fromkeys((*collection.key, *fields))))
        while True:
            with self._transaction(table.about, replica=True) as (connection, language):
                rows = list(language.listed(connection, Listed(table, key, wanted, after, _LISTED)))
            after = _key(key, rows[-1]) if len(rows) == _LISTED else None
            yield Page(rows, after)
            if after is None:
                return

    def sample(self, collection: Collection, count: int) -> list[Record]:
        """See `base.Store.sample`. A table without rows tells its columns all the same."""
        table = self._table(collection)
        with self._transaction(table.about, replica=True) as (connection, language):
            return list(language.some(connection, table, count)) or [Record(dict.fromkeys(table.columns))]

    def check(self, collection: Collection) -> list[StoreFault]:
        """See `base.CheckingStore.check`."""
        try:
            table = self._table(collection)
        except StoreFault as fault:
            return [fault]
        checks: list[Callable[[], Any]] = [
            lambda: table.chosen(dict.fromkeys(name.partition(".")[0] for name in collection.fields)),
            lambda: table.check_key(collection),
            lambda: table.check_masks(collection.masks),
            *(partial(table.check_way, way) for way in collection.ways),
            lambda: self._check_rights(table, collection),
        ]
        faults = []
        for check in checks:
            try:
                check()
            except StoreFault as fault:
                faults.append(fault)
        return faults

    def _check_rights(self, table: Table, collection: Collection) -> None:
        """Raises StoreFault unless the database would let us: it is asked how it would, and does nothing."""
        with self._transaction(table.about) as (connection, language):
            language.some(connection, table, 0)
            # What is kept goes as well, when its time is over.
            changes = [dict.fromkeys(collection.masks), dict.fromkeys(collection.restrict.get("set", ()))]
            for left in changes if changes[1] else changes[:1]:
                sql, values = language.begin_change(Change(table, table.chosen(collection.key), [], left))
                connection.execute(text(f"EXPLAIN {sql} WHERE 1 = 0"), values)

    def close(self) -> None:
        """Give the connections back; the next verb makes new ones."""
        for engine, _ in self._open.values():
            engine.dispose()

    # -- the database --------------------------------------------------------------------------------

    def _opened(self, replica: bool) -> tuple[Engine, Language]:
        which = replica and True in self._connectors
        if which not in self._open:
            self._open[which] = self._connectors[which].engine()
        return self._open[which]

    @contextmanager
    def _transaction(self, about: str, replica: bool = False) -> Iterator[tuple[Connection, Language]]:
        """A transaction, committed unless something is raised. Raises StoreFault for what will not pass."""
        language: Language | None = None
        try:
            with self._connect(replica) as (connection, language), connection.begin():
                language.begin(connection, _TIMEOUT)
                yield connection, language
        except DBAPIError as error:
            if language is None or error.orig is None:
                raise
            code, told = language.fault(error.orig)
            if not code:
                raise
            raise StoreFault(code, f"{about}: {told}" if told else about) from None

    @contextmanager
    def _connect(self, replica: bool) -> Iterator[tuple[Connection, Language]]:
        which = replica and True in self._connectors
        engine, language = self._opened(replica)
        with self._patiently(engine, self._connectors[which]) as connection:
            yield connection, language

    def _patiently(self, engine: Engine, connector: Connector) -> Connection:
        """A connection. Raises StoreFault where the login is refused, or nobody has answered for long."""
        refused = ""
        for pause in (*_PAUSES, 0):
            try:
                connection = engine.connect()
            except OperationalError as error:
                again, refused = refused, refusal(error.orig or error)
                if refused and refused == again:
                    raise StoreFault("missing_connection", f"{self._store.name}: {refused}") from None
                if refused:
                    connector.forget()  # the password may have been changed: the secret is read again
                    continue
                self._silent_since = self._silent_since or time.monotonic()
                if not pause and time.monotonic() - self._silent_since < _SILENT:
                    raise
                time.sleep(pause)
            else:
                self._silent_since = 0.0
                return connection
        raise StoreFault("missing_connection", f"{self._store.name}: no answer from {connector.server()}")

    def _table(self, collection: Collection) -> Table:
        name = collection.options["table"]
        if name not in self._tables:
            with self._transaction(f"{collection.store}: table {name}") as (connection, language):
                found = language.describe(connection, collection.store, name)
            if found is None:
                raise StoreFault("missing_collection", f"{collection.store}: table {name}")
            self._tables[name] = found
        return self._tables[name]


def _change(table: Table, collection: Collection, left: dict[str, Any]) -> Change:
    return Change(table, table.chosen(collection.key), table.chosen(collection.guards), left)


def _constant(masks: Masks) -> dict[str, Any]:
    return {name: treatment.masking.to for name, treatment in masks.items()}


def _by_what_is_left(
    table: Table, records: Sequence[dict[str, Any]], masks: Masks
) -> Iterator[tuple[dict[str, Any], Sequence[dict[str, Any]]]]:
    """What the masks leave, by column, each with the records of which it is left: mostly alike."""
    if all(treatment.is_constant for treatment in masks.values()):
        yield _constant(masks), records
        return
    groups: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for record in records:
        left = {}
        for name, treatment in masks.items():
            value, banded = record.get(name), treatment.masking.how == "generalise"
            if banded and isinstance(value, str) and not table.column(name).text:
                value = Decimal(value)  # staged as text, so that it keeps its digits
            try:
                left[name] = treatment.masking.to if treatment.is_constant else treatment.apply(value)
            except ValueError as error:
                raise table.fault("malformed_data", f"column {name}: {error}") from None
        groups.setdefault(str(left), (left, []))[1].append(record)
    yield from groups.values()


def _run(connection: Connection, statement: Statement) -> int:
    """Execute it; returns how many rows it changed."""
    sql, values = statement
    return connection.execute(text(sql), values).rowcount


def _key(columns: Sequence[Column], record: Record) -> list[Any]:
    """The values of these columns as JSON has them: a place to go on from."""
    found = json.loads(to_line({"at": [record.values[c.name] for c in columns]}))
    return list(found["at"])


def _locating(collection: Collection) -> list[str]:
    """The columns that erasing needs of a record; of a field within a JSON column the whole of it."""
    return list(dict.fromkeys(name.partition(".")[0] for name in collection.locating))
