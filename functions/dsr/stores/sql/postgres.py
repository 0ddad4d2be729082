"""PostgreSQL: the database writes each row as JSON, and no Python object is made of what nobody looks at.

The forms are those of `dsr.records.to_line`: decimals and large numbers keep their digits, times their
microseconds and zone, bytes become base64. What JSON has no form for (ranges, geometry, intervals, money)
is the database's own text. All values go to the database as text, cast to the column's type there: so one
statement serves psycopg and the Data API, and no type of Python's stands between two equal values.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from dsr.records import as_text
from dsr.stores.base import Lines
from dsr.stores.sql.language import Aged, Change, Listed, Search, Statement, keyless
from dsr.stores.sql.tables import Column, Table

# By SQLSTATE: what will not pass by trying again.
FAULTS = {
    "42501": "missing_permission",
    "42P01": "missing_collection",
    "3F000": "missing_collection",
    "42703": "missing_field",
    "23502": "unsupported",  # a mask that may not be null
    "23505": "unsupported",  # … that must be unique
    "23514": "unsupported",  # … that a check refuses
    "22001": "unsupported",  # … that is too long
    "42804": "unsupported",
    "428C9": "unsupported",  # a generated column
    "55000": "unsupported",  # a view that cannot be written
    "0A000": "unsupported",
    "25006": "missing_permission",  # the credentials lead to a replica
    "23503": "still_referenced",
    "22P02": "malformed_data",  # a value that is none of the column's type
    "22003": "malformed_data",
    "22007": "malformed_data",
    "22008": "malformed_data",
}
_CHUNK_BYTES = 2 * 1024 * 1024
_FIRST_ROWS, _MOST_ROWS = 500, 2000

# In each transaction anew, since a pool in between (RDS Proxy, PgBouncer) may give it another session and
# takes no settings at the start of one. With row_security off, a policy that would hide rows is an error.
_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "1",
    "row_security": "off",
    "lock_timeout": "30s",
}
_DESCRIBE = """
SELECT json_build_object(
    'identity', n.nspname || '.' || c.relname,
    'kind', c.relkind,
    'width', CASE WHEN c.reltuples > 0
             THEN c.relpages * current_setting('block_size')::bigint / c.reltuples::bigint ELSE 0 END,
    'columns', (
        SELECT json_agg(json_build_object(
            'name', a.attname, 'nullable', NOT a.attnotnull,
            'generated', a.attgenerated <> '' OR a.attidentity = 'a',
            'type', quote_ident(tn.nspname) || '.' || quote_ident(t.typname),
            'kind', CASE WHEN b.typtype IN ('e', 'c') THEN b.typtype::text ELSE b.typname END,
            'array', b.typcategory = 'A', 'category', b.typcategory,
            'length', CASE WHEN b.typname IN ('varchar', 'bpchar') AND greatest(a.atttypmod, t.typtypmod) > 4
                      THEN greatest(a.atttypmod, t.typtypmod) - 4 ELSE 0 END) ORDER BY a.attnum)
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        JOIN pg_namespace tn ON tn.oid = t.typnamespace
        JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'unique', (
        SELECT json_agg((SELECT json_agg(a.attname) FROM pg_attribute a
                         JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, place) USING (attnum)
                         WHERE a.attrelid = c.oid AND k.place <= i.indnkeyatts))
        FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
        AND i.indpred IS NULL AND i.indexprs IS NULL),
    'leading', (
        SELECT json_agg(coalesce(a.attname, pg_get_indexdef(i.indexrelid, 1, true)))
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] AND i.indkey[0] > 0
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'),
    'refers', (
        SELECT json_agg(DISTINCT rn.nspname || '.' || r.relname)
        FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid
        JOIN pg_namespace rn ON rn.oid = r.relnamespace
        WHERE f.conrelid = c.oid AND f.contype = 'f')
)::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(:name) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_TEXTS = ("text", "varchar", "bpchar", "citext", "name")


class Postgres:
    """PostgreSQL's language. See `Language.pages`."""

    def __init__(self, pages: int = 0, at_once: int = 0) -> None:
        self.pages = pages
        self._at_once = at_once  # rows that one statement names; 0: all

    def describe(self, connection: Connection, store: str, name: str) -> Table | None:
        """See `Language.describe`. One statement asks for everything."""
        quoted = ".".join(_quoted(part) for part in _parts(name))
        said = connection.execute(text(_DESCRIBE), {"name": quoted.replace("\\:", ":")}).scalar()
        if said is None:
            return None
        told = json.loads(said)
        columns = {
            c["name"]: Column(
                c["name"], c["type"], c["kind"], c["nullable"], c["generated"],
                folds=c["kind"] == "citext", array=c["array"], text=c["kind"] in _TEXTS, length=c["length"],
            )
            for c in told["columns"] or ()
        }  # fmt: skip
        return Table(
            store, name, quoted, columns, told["kind"] == "v",
            tuple(frozenset(names) for names in told["unique"] or ()),
            frozenset(map(_plain, told["leading"] or ())), frozenset(told["refers"] or ()), told["identity"],
            told["width"],
        )  # fmt: skip

    def begin(self, connection: Connection, seconds: int) -> None:
        """See `Language.begin`."""
        settings = _SETTINGS | {"statement_timeout": f"{seconds}s"}
        calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
        connection.execute(text(f"SELECT {calls}"))

    # -- reading -------------------------------------------------------------------------------------

    def page(self, connection: Connection, search: Search, limit: int) -> Lines:
        """See `Language.page`."""
        sql, values = _search(search)
        return _lines(connection, (_as_json(f"{sql} LIMIT {limit}"), values))

    def all(self, connection: Connection, search: Search) -> Iterator[Lines]:
        """See `Language.all`. One statement, whose rows wait in the server until they are fetched."""
        sql, values = _search(search)
        statement = text(_as_json(sql)).execution_options(stream_results=True)
        rows = _fitting(search.table.width) if search.table.width else _FIRST_ROWS
        with connection.execute(statement, values) as result:
            found = result.scalars()
            while lines := found.fetchmany(rows):
                yield Lines(lines)
                # By what they measured so far: many small rows at once, few large ones.
                each = sum(map(len, lines)) / len(lines) + 1
                rows = _fitting(each)

    def scans(self, connection: Connection, search: Search) -> bool:
        """See `Language.scans`. With sequential scans priced out, one that stays is the only way there is."""
        sql, values = _search(search)
        connection.execute(text("SELECT set_config('enable_seqscan', 'off', true)"))
        said: Any = connection.execute(text(f"EXPLAIN (FORMAT JSON) {sql}"), values).scalar()
        connection.execute(text("SELECT set_config('enable_seqscan', 'on', true)"))
        return _reads_all((json.loads(said) if isinstance(said, str) else said)[0]["Plan"])

    def ambiguous(self, connection: Connection, search: Search) -> bool:
        """See `Language.ambiguous`."""
        match, values = _match(search)
        sql = keyless(search, match, [_name(c) for c in search.key], "bool_or")
        return connection.execute(text(sql), values).scalar() is not None

    def aged(self, connection: Connection, aged: Aged) -> Lines:
        """See `Language.aged`."""
        dated = aged.order[0]
        values = aged.bounds(_BOUNDS)
        where = f"{_name(dated)} >= {_cast('first', dated)} AND {_name(dated)} < {_cast('end', dated)}"
        if aged.after is not None:
            # The first condition says the same of the time alone, for an index on nothing else.
            beyond, more = _beyond(aged.order, aged.after)
            where += f" AND {_name(dated)} >= {_cast('a0', dated)} AND {beyond}"
            values |= more
        order = _order(aged.order)
        sql = (
            f"SELECT {_forms(aged.wanted)} FROM {aged.table.quoted} AS t WHERE {where}"
            f" ORDER BY {order} LIMIT {aged.limit}"
        )
        return _lines(connection, (_as_json(sql), values))

    def listed(self, connection: Connection, listed: Listed) -> Lines:
        """See `Language.listed`."""
        where, values = _beyond(listed.key, listed.after) if listed.after is not None else ("TRUE", {})
        sql = (
            f"SELECT {_forms(listed.wanted)} FROM {listed.table.quoted} AS t WHERE {where}"
            f" ORDER BY {_order(listed.key)} LIMIT {listed.limit}"
        )
        return _lines(connection, (_as_json(sql), values))

    def some(self, connection: Connection, table: Table, count: int) -> Lines:
        """See `Language.some`."""
        sql = f"SELECT {_forms(list(table.columns.values()))} FROM {table.quoted} LIMIT {count}"
        return _lines(connection, (_as_json(sql), {}))

    # -- erasing -------------------------------------------------------------------------------------

    def begin_change(self, change: Change) -> Statement:
        """See `Language.begin_change`."""
        if not change.masks:
            return f"DELETE FROM {change.table.quoted} AS t", {}
        sets, values = [], {}
        for n, (name, left) in enumerate(change.masks.items()):
            c = change.table.column(name)
            if left is None:
                sets.append(f"{_name(c)} = NULL")
            else:
                values[f"m{n}"] = as_text(left)
                sets.append(
                    f"{_name(c)} = CASE WHEN t.{_name(c)} IS NULL THEN NULL ELSE {_cast(f'm{n}', c)} END"
                )
        return f"UPDATE {change.table.quoted} AS t SET {', '.join(sets)}", values

    def each(self, change: Change, records: Sequence[dict[str, Any]]) -> Iterator[Statement]:
        """See `Language.each`. One array a column: the statement is the same for any number of rows."""
        step = self._at_once or len(records)
        for start in range(0, len(records), step):
            yield self._each(change, records[start : start + step])

    def _each(self, change: Change, records: Sequence[dict[str, Any]]) -> Statement:
        first, (begin, values) = records[0], self.begin_change(change)
        # A guard that is the same in all is compared with one value, and no array beside the keys.
        alike = [c for c in change.guards if all(r.get(c.name) == first.get(c.name) for r in records)]
        differing = [c for c in change.guards if c not in alike]
        tests = []
        for n, c in enumerate(alike):
            if first.get(c.name) is None:
                tests.append(f"t.{_name(c)} IS NULL")
            else:
                values[f"g{n}"] = as_text(first[c.name])
                tests.append(f"t.{_name(c)} = {_cast(f'g{n}', c)}")
        joined = [*change.key, *differing]
        values |= {f"v{n}": _array([r.get(c.name) for r in records]) for n, c in enumerate(joined)}
        if len(joined) == 1:
            key = joined[0]
            tests.append(f"t.{_name(key)} = ANY (CAST(:v0 AS {key.type}[]))")
            return f"{begin} WHERE {' AND '.join(tests)}", values
        for n, c in enumerate(joined):
            # Guards are equal also where both are null: who a record belongs to may be told by another.
            same = "=" if c in change.key else "IS NOT DISTINCT FROM"
            tests.append(f"t.{_name(c)} {same} chosen.c{n}")
        arrays = ", ".join(f"CAST(:v{n} AS {c.type}[])" for n, c in enumerate(joined))
        names = ", ".join(f"c{n}" for n in range(len(joined)))
        word = "FROM" if change.masks else "USING"
        chosen = f"{word} unnest({arrays}) AS chosen ({names})"
        return f"{begin} {chosen} WHERE {' AND '.join(tests)}", values

    def between(self, change: Change, first: dict[str, Any], last: dict[str, Any]) -> Statement | None:
        """See `Language.between`."""
        begin, values = self.begin_change(change)
        tests = []
        for n, c in enumerate(change.guards):
            values[f"g{n}"] = as_text(first[c.name])
            tests.append(f"t.{_name(c)} = {_cast(f'g{n}', c)}")
        names = ", ".join(f"t.{_name(c)}" for c in change.key)
        for sign, word, end in ((">=", "f", first), ("<=", "l", last)):
            values |= {f"{word}{n}": as_text(end[c.name]) for n, c in enumerate(change.key)}
            ends = ", ".join(_cast(f"{word}{n}", c) for n, c in enumerate(change.key))
            tests.append(f"({names}) {sign} ({ends})")
        return f"{begin} WHERE {' AND '.join(tests)}", values

    # -- errors --------------------------------------------------------------------------------------

    def fault(self, error: BaseException) -> tuple[str, str]:
        """See `Language.fault`. Names alone are told, never the text, which may quote values."""
        state = getattr(error, "sqlstate", None) or ""
        told = getattr(error, "diag", None)
        code = FAULTS.get(state, "")
        if code == "still_referenced":
            return code, f"referenced by table {getattr(told, 'table_name', None) or 'unknown'}"
        if name := getattr(told, "column_name", None) or getattr(told, "constraint_name", None):
            return code, str(name)
        return code, ""


def _fitting(each: float) -> int:
    """How many rows of this length to fetch at once."""
    return max(1, min(_MOST_ROWS, round(_CHUNK_BYTES / each)))


# -- spelling ------------------------------------------------------------------------------------------


def _parts(name: str) -> list[str]:
    schema, _, plain = name.rpartition(".")
    return [schema, plain] if schema else [plain]


def _quoted(name: str) -> str:
    # A colon would begin the name of a value.
    return '"' + name.replace('"', '""').replace(":", "\\:") + '"'


def _name(column: Column) -> str:
    return _quoted(column.name)


def _order(columns: list[Column]) -> str:
    # By the column: its name alone would mean the form that is selected under it, which is text.
    return ", ".join(f"t.{_name(c)}" for c in columns)


def _cast(value: str, column: Column) -> str:
    return f"CAST(:{value} AS {column.type})"


def _plain(expression: str) -> str:
    """What an index begins with, less the casts that PostgreSQL adds: lower(email::text) → lower(email)."""
    bare = re.sub(r"::\w+( varying)?", "", expression).replace('"', "")
    return re.sub(r"^lower\(\((\w+)\)\)$", r"lower(\1)", bare)


def _search(search: Search) -> Statement:
    """Rows found, each column in its form, in order of the key."""
    where, values = _match(search)
    if search.after is not None:
        beyond, more = _beyond(search.key, search.after)
        where, values = f"{where} AND {beyond}", values | more
    order = _order(search.key)
    return (
        f"SELECT {_forms(search.wanted)} FROM {search.table.quoted} AS t WHERE {where} ORDER BY {order}",
        values,
    )


def _match(search: Search) -> Statement:
    column = search.table.column(search.way.field)
    said, kind = _name(column), column.type
    if search.table.folded(search.way):
        said, kind = f"lower({said})", "text"
    # One value by itself: an index on the value and the key then also gives the order.
    if len(search.values) == 1:
        return f"{said} = CAST(:v AS {kind})", {"v": as_text(search.values[0])}
    return f"{said} = ANY (CAST(:v AS {kind}[]))", {"v": _array(search.values)}


def _beyond(order: list[Column], after: list[Any]) -> Statement:
    names = ", ".join(_name(c) for c in order)
    places = ", ".join(_cast(f"a{n}", c) for n, c in enumerate(order))
    return f"({names}) > ({places})", {f"a{n}": as_text(v) for n, v in enumerate(after)}


def _as_json(sql: str) -> str:
    return f"SELECT row_to_json(r)::text FROM ({sql}) r"


def _lines(connection: Connection, statement: Statement) -> Lines:
    sql, values = statement
    return Lines(connection.execute(text(sql), values).scalars().all())


def _forms(columns: list[Column]) -> str:
    return ", ".join(f"{_form(c)} AS {_name(c)}" for c in columns)


def _clocked(form: str) -> str:
    # No colon: what reads the names of values out of a statement may take one for their sign.
    return f"to_char({{c}}, replace('{form}', '§', chr(58)))"


_WHOLE_SECOND = "CASE WHEN date_trunc('second', {c}) = {c} OR {c} < '0001-01-01' THEN to_json({c})"
# By type, `{c}` being the column. Where to_json writes what dsr.records writes, there is no row.
_FORMS = {
    "numeric": "{c}::text",
    "float4": "CASE WHEN {c} IN ('NaN', 'Infinity', '-Infinity')"
    " THEN to_json(replace(lower({c}::text), 'infinity', 'inf'))"
    " WHEN {c}::text ~ '^-?[0-9]+$' THEN ({c}::text || '.0')::json ELSE to_json({c}) END",
    # to_json drops the zeros at the end of a fraction.
    "timestamptz": _WHOLE_SECOND
    + " ELSE to_json("
    + _clocked('YYYY-MM-DD"T"HH24§MI§SS.US"+00§00"')
    + ") END",
    "timestamp": _WHOLE_SECOND + " ELSE to_json(" + _clocked('YYYY-MM-DD"T"HH24§MI§SS.US') + ") END",
    "time": "CASE WHEN date_trunc('second', {c}) = {c}::interval THEN {c}::text"
    " ELSE " + _clocked("HH24§MI§SS.US") + " END",
    "bytea": "translate(encode({c}, 'base64'), E'\\n', '')",
    # Of a json column its own text; a line feed in it can only stand between the words.
    "json": "translate({c}::text, E'\\n\\r', '  ')::json",
    "c": "{c}::text",  # a composite: numbers in it would lose digits
    "_numeric": "{c}::text[]",
    "_bytea": "{c}::text[]",
}
_FORMS["float8"] = _FORMS["float4"]


def _form(column: Column) -> str:
    return _FORMS.get(column.kind, "{c}").replace("{c}", _name(column))


def _array(values: Sequence[Any]) -> str:
    """The text of an array. Whatever is no text keeps its JSON form, which PostgreSQL reads."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    said = value if isinstance(value, str) else as_text(value)
    return '"' + said.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _instant(before: datetime) -> str:
    return before.astimezone(UTC).replace(tzinfo=None).isoformat()


# From where to where to look, by the type of the column; what Python cannot hold lies outside.
_BOUNDS: dict[str, Callable[[datetime], tuple[str, str]]] = {
    "timestamptz": lambda before: ("0001-01-01T00:00:00Z", f"{_instant(before)}Z"),
    "timestamp": lambda before: ("0001-01-01T00:00:00", _instant(before)),
    "date": lambda before: ("0001-01-01", before.date().isoformat()),
    # ISO 8601 text sorts by its own zone's day, which is up to 14 hours from UTC's.
    "text": lambda before: ("0001", (before + timedelta(days=1)).date().isoformat()),
}


def _reads_all(plan: dict[str, Any]) -> bool:
    """Whether any node of a plan reads a table without looking for something by an index."""
    kind = plan["Node Type"]
    here = kind == "Seq Scan" or (
        kind in ("Index Scan", "Index Only Scan", "Bitmap Index Scan") and "Index Cond" not in plan
    )
    return here or any(_reads_all(inner) for inner in plan.get("Plans", ()))
