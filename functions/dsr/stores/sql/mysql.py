"""MySQL and MariaDB: rows by pages of the key, which InnoDB's indexes hold beside what they are made of.

Both compare text by the column's collation. What that folds (capitals, accents, spaces at the end) is more
than our rules do; what is found by an identity is compared again where it is judged.
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from dsr.records import as_text
from dsr.stores.base import Record
from dsr.stores.sql.language import Aged, Change, Listed, Search, Statement, keyless
from dsr.stores.sql.tables import Column, Table

# By error number: what will not pass by trying again.
FAULTS = {
    1044: "missing_permission",
    1142: "missing_permission",
    1143: "missing_permission",
    1227: "missing_permission",
    1290: "missing_permission",  # a server that only reads
    1836: "missing_permission",
    1049: "missing_collection",
    1146: "missing_collection",
    1054: "missing_field",
    1451: "still_referenced",
    1048: "unsupported",  # a mask that may not be null
    1062: "unsupported",  # … that must be unique
    1406: "unsupported",  # … that is too long
    3819: "unsupported",  # … that a check refuses
    4025: "unsupported",
    1906: "unsupported",  # a generated column
    3105: "unsupported",
    1288: "unsupported",  # a view that cannot be written
    1471: "unsupported",
    1395: "unsupported",
    1292: "malformed_data",
    1366: "malformed_data",
}
_PAGE = 2000
_AT_ONCE = 500  # rows named by one statement

_COLUMNS = """
SELECT column_name, data_type, is_nullable, extra, coalesce(character_maximum_length, 0), collation_name
FROM information_schema.columns WHERE table_schema = coalesce(:schema, database()) AND table_name = :name
ORDER BY ordinal_position
"""
_TABLE = """
SELECT table_schema, table_type, coalesce(avg_row_length, 0) FROM information_schema.tables
WHERE table_schema = coalesce(:schema, database()) AND table_name = :name
"""
# MariaDB has no indexes on expressions, and no column that would tell of them.
_INDEXES = """
SELECT index_name, column_name, non_unique, sub_part, {expression} FROM information_schema.statistics
WHERE table_schema = coalesce(:schema, database()) AND table_name = :name AND index_type = 'BTREE'
ORDER BY index_name, seq_in_index
"""
_REFERS = """
SELECT DISTINCT referenced_table_schema, referenced_table_name FROM information_schema.key_column_usage
WHERE table_schema = coalesce(:schema, database()) AND table_name = :name
AND referenced_table_name IS NOT NULL
"""
_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
_BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit")
_WHOLE = ("tinyint", "smallint", "mediumint", "int", "bigint", "year")
_REFERRING = re.compile(r"constraint fails \(`[^`]*`\.`([^`]*)`")


class MySQL:
    """MySQL's language, and MariaDB's."""

    def __init__(self) -> None:
        self.pages = _PAGE

    def begin(self, connection: Connection, seconds: int) -> None:
        """See `Language.begin`."""
        wait = (
            f"max_statement_time = {seconds}" if _maria(connection) else f"max_execution_time = {seconds}000"
        )
        # Strict, so that a mask which does not fit is an error and not cut to size.
        modes = "STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ENGINE_SUBSTITUTION"
        # In text(), a colon that begins no name is escaped.
        connection.execute(
            text(f"SET time_zone = '+00\\:00', sql_mode = '{modes}', innodb_lock_wait_timeout = 30, {wait}")
        )

    def describe(self, connection: Connection, store: str, name: str) -> Table | None:
        """See `Language.describe`."""
        schema, _, plain = name.rpartition(".")
        which = {"schema": schema or None, "name": plain}

        def ask(sql: str) -> list[Any]:
            return [tuple(row) for row in connection.execute(text(sql), which)]

        if not (known := ask(_TABLE)):
            return None
        (home, kind, width) = known[0]
        columns = {c[0]: _column(*c) for c in ask(_COLUMNS)}
        expression = "NULL" if _maria(connection) else "expression"
        indexes: dict[str, list[Any]] = {}
        for index in ask(_INDEXES.format(expression=expression)):
            indexes.setdefault(index[0], []).append(index)
        unique = tuple(
            frozenset(part[1] for part in parts)
            for parts in indexes.values()
            if not parts[0][2] and all(part[1] and part[3] is None for part in parts)
        )
        leading = frozenset(parts[0][1] or _plain(parts[0][4]) for parts in indexes.values())
        return Table(
            store, name, ".".join(_quoted(part) for part in (schema, plain) if part), columns,
            "VIEW" in kind, unique, leading, frozenset(f"{a}.{b}" for a, b in ask(_REFERS)),
            f"{home}.{plain}", int(width),
        )  # fmt: skip

    # -- reading -------------------------------------------------------------------------------------

    def page(self, connection: Connection, search: Search, limit: int) -> list[Record]:
        """See `Language.page`."""
        sql, values = _search(search)
        return _records(search.wanted, connection.execute(text(f"{sql} LIMIT {limit}"), values))

    def all(self, connection: Connection, search: Search) -> Iterator[list[Record]]:
        """See `Language.all`: the one page that it would be."""
        yield self.page(connection, search, _PAGE)

    def scans(self, connection: Connection, search: Search) -> bool:
        """See `Language.scans`."""
        sql, values = _search(search)
        told = connection.execute(text(f"EXPLAIN {sql}"), values).mappings()
        return any(str(row["type"]).lower() in ("all", "index") for row in told if row["type"])

    def ambiguous(self, connection: Connection, search: Search) -> bool:
        """See `Language.ambiguous`."""
        match, values = _match(search)
        sql = keyless(search, match, [_name(c) for c in search.key], "max")
        return connection.execute(text(sql), values).scalar() is not None

    def aged(self, connection: Connection, aged: Aged) -> list[Record]:
        """See `Language.aged`."""
        dated = aged.order[0]
        values = aged.bounds(_BOUNDS)
        where = f"{_name(dated)} >= :first AND {_name(dated)} < :end"
        if aged.after is not None:
            beyond, more = _beyond(aged.table, aged.order, aged.after)
            where, values = f"{where} AND {beyond}", values | more
        sql = (
            f"SELECT {_names(aged.wanted)} FROM {aged.table.quoted} WHERE {where}"
            f" ORDER BY {_names(aged.order)} LIMIT {aged.limit}"
        )
        return _records(aged.wanted, connection.execute(text(sql), values))

    def listed(self, connection: Connection, listed: Listed) -> list[Record]:
        """See `Language.listed`."""
        where, values = "TRUE", dict[str, Any]()
        if listed.after is not None:
            where, values = _beyond(listed.table, listed.key, listed.after)
        order = ", ".join(_name(c) for c in listed.key)
        sql = (
            f"SELECT {_names(listed.wanted)} FROM {listed.table.quoted} WHERE {where}"
            f" ORDER BY {order} LIMIT {listed.limit}"
        )
        return _records(listed.wanted, connection.execute(text(sql), values))

    def some(self, connection: Connection, table: Table, count: int) -> list[Record]:
        """See `Language.some`."""
        wanted = list(table.columns.values())
        rows = connection.execute(text(f"SELECT {_names(wanted)} FROM {table.quoted} LIMIT {count}"))
        return _records(wanted, rows)

    # -- erasing -------------------------------------------------------------------------------------

    def begin_change(self, change: Change) -> Statement:
        """See `Language.begin_change`."""
        return _begin(change)

    def each(self, change: Change, records: Sequence[dict[str, Any]]) -> Iterator[Statement]:
        """See `Language.each`."""
        for start in range(0, len(records), _AT_ONCE):
            yield _named(change, records[start : start + _AT_ONCE])

    def between(self, change: Change, first: dict[str, Any], last: dict[str, Any]) -> Statement | None:
        """See `Language.between`. Of a key of several columns MySQL finds no range by an index."""
        if len(change.key) > 1:
            return None
        key = change.key[0]
        tests = [f"{_name(key)} >= :f", f"{_name(key)} <= :l"]
        values = {
            "f": _value(change.table, key, first[key.name]),
            "l": _value(change.table, key, last[key.name]),
        }
        for n, c in enumerate(change.guards):
            tests.append(f"{_name(c)} = :g{n}")
            values[f"g{n}"] = _value(change.table, c, first[c.name])
        begin, masked = _begin(change)
        return f"{begin} WHERE {' AND '.join(tests)}", values | masked

    # -- errors --------------------------------------------------------------------------------------

    def fault(self, error: BaseException) -> tuple[str, str]:
        """See `Language.fault`. Names alone are told, never the text, which may quote values."""
        number, said = (*error.args, "", "")[:2]
        code = FAULTS.get(number, "") if isinstance(number, int) else ""
        if code == "still_referenced":
            told = _REFERRING.search(str(said))
            return code, f"referenced by table {told[1] if told else 'unknown'}"
        return code, ""


# -- spelling ------------------------------------------------------------------------------------------


def _maria(connection: Connection) -> bool:
    return bool(getattr(connection.dialect, "is_mariadb", False))


def _column(name: str, kind: str, nullable: str, extra: str, length: int, collation: str | None) -> Column:
    texts = kind in _TEXTS
    return Column(
        name, kind, kind, nullable == "YES",
        generated="GENERATED" in extra.upper() and "DEFAULT_GENERATED" not in extra.upper(),
        folds=texts and str(collation).endswith("_ci"), text=texts, length=int(length) if texts else 0,
    )  # fmt: skip


def _plain(expression: str | None) -> str:
    return (expression or "").replace("`", "").replace("\\", "")


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``").replace(":", "\\:") + "`"


def _name(column: Column) -> str:
    return _quoted(column.name)


def _names(columns: list[Column]) -> str:
    return ", ".join(_name(c) for c in columns)


def _search(search: Search) -> Statement:
    where, values = _match(search)
    if search.after is not None:
        beyond, more = _beyond(search.table, search.key, search.after)
        where, values = f"{where} AND {beyond}", values | more
    order = _names(search.key)
    return f"SELECT {_names(search.wanted)} FROM {search.table.quoted} WHERE {where} ORDER BY {order}", values


def _match(search: Search) -> Statement:
    column = search.table.column(search.way.field)
    said = f"lower({_name(column)})" if search.table.folded(search.way) else _name(column)
    values = {f"v{n}": _value(search.table, column, v) for n, v in enumerate(search.values)}
    if len(values) == 1:
        return f"{said} = :v0", values
    return f"{said} IN ({', '.join(f':{name}' for name in values)})", values


def _beyond(table: Table, order: list[Column], after: list[Any]) -> Statement:
    values = {f"a{n}": _value(table, c, v) for n, (c, v) in enumerate(zip(order, after, strict=True))}
    places = ", ".join(f":{name}" for name in values)
    if len(order) == 1:
        return f"{_name(order[0])} > :a0", values
    # The first condition says less and lets an index begin there: of the second MySQL makes no range.
    return f"{_name(order[0])} >= :a0 AND ({_names(order)}) > ({places})", values


def _begin(change: Change) -> Statement:
    if not change.masks:
        return f"DELETE FROM {change.table.quoted}", {}
    sets, values = [], {}
    for n, (name, left) in enumerate(change.masks.items()):
        c = change.table.column(name)
        if left is None:
            sets.append(f"{_name(c)} = NULL")
        else:
            values[f"m{n}"] = _value(change.table, c, left)
            sets.append(f"{_name(c)} = CASE WHEN {_name(c)} IS NULL THEN NULL ELSE :m{n} END")
    return f"UPDATE {change.table.quoted} SET {', '.join(sets)}", values


def _named(change: Change, records: Sequence[dict[str, Any]]) -> Statement:
    """One statement for these records: by the index of their keys, where each guard is equal."""
    values: dict[str, Any] = {}

    def put(column: Column, value: Any) -> str:
        values[f"v{len(values)}"] = _value(change.table, column, value)
        return f":v{len(values) - 1}"

    key = _names(change.key) if len(change.key) == 1 else f"({_names(change.key)})"
    places = []
    for record in records:
        place = ", ".join(put(c, record[c.name]) for c in change.key)
        places.append(place if len(change.key) == 1 else f"({place})")
    tests = [f"{key} IN ({', '.join(places)})"]
    said = [tuple(record.get(c.name) for c in change.guards) for record in records]
    if len(set(map(str, said))) == 1:
        tests += [f"{_name(c)} <=> {put(c, v)}" for c, v in zip(change.guards, said[0], strict=True)]
    else:
        pairs = []
        for record, guards in zip(records, said, strict=True):
            same = [f"{_name(c)} = {put(c, record[c.name])}" for c in change.key]
            same += [f"{_name(c)} <=> {put(c, v)}" for c, v in zip(change.guards, guards, strict=True)]
            pairs.append(f"({' AND '.join(same)})")
        tests.append(f"({' OR '.join(pairs)})")
    begin, masked = _begin(change)
    return f"{begin} WHERE {' AND '.join(tests)}", values | masked


# -- values --------------------------------------------------------------------------------------------


def _records(wanted: list[Column], rows: Any) -> list[Record]:
    names = [c.name for c in wanted]
    special = [(n, _READ[c.kind]) for n, c in enumerate(wanted) if c.kind in _READ]
    records = []
    for row in rows:
        values = list(row)
        for n, read in special:
            if values[n] is not None:
                values[n] = read(values[n])
        records.append(Record(dict(zip(names, values, strict=True))))
    return records


def _instant(value: Any) -> Any:
    """A TIMESTAMP is a moment, here in UTC; a DATETIME has no zone. 0000-00-00 stays as it is."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


_READ: dict[str, Callable[[Any], Any]] = {"timestamp": _instant, "json": json.loads}


def _value(table: Table, column: Column, value: Any) -> Any:
    """A value that went through JSON in the form in which MySQL compares it without converting the column."""
    if value is None:
        return None
    try:
        if column.kind in _WHOLE:
            return int(value)
        if column.kind == "decimal":
            return Decimal(str(value))
        if column.kind in ("float", "double"):
            return float(value)
        if column.kind in _BYTES:
            return value if isinstance(value, bytes) else b64decode(value)
        if column.kind in ("datetime", "timestamp"):
            at = datetime.fromisoformat(str(value))
            return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
        if column.kind == "time":
            return timedelta(seconds=float(str(value).removeprefix("PT").removesuffix("S")))
    except (ValueError, DecimalException):
        about = f"a value that is no {column.kind}, looked for in column {column.name}"
        raise table.fault("malformed_data", about) from None
    return as_text(value)


_BOUNDS: dict[str, Callable[[datetime], tuple[Any, Any]]] = {
    "timestamp": lambda before: (datetime(1970, 1, 1, 0, 0, 1), before.astimezone(UTC).replace(tzinfo=None)),  # noqa: DTZ001
    "datetime": lambda before: (datetime(1, 1, 1), before.astimezone(UTC).replace(tzinfo=None)),  # noqa: DTZ001
    "date": lambda before: ("0001-01-01", before.date().isoformat()),
    # ISO 8601 text sorts by its own zone's day, which is up to 14 hours from UTC's.
    "text": lambda before: ("0001", (before + timedelta(days=1)).date().isoformat()),
}
