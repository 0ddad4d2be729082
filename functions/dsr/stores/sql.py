"""SQL databases through SQLAlchemy Core: keyset pages over a declared index, nothing read twice.

The credentials lie in Secrets Manager and are read under the store's access role.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from sqlalchemy import (
    ARRAY,
    Column,
    CursorResult,
    Delete,
    Executable,
    MetaData,
    Table,
    Update,
    bindparam,
    case,
    column,
    create_engine,
    delete,
    func,
    inspect,
    literal,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, NoSuchTableError, OperationalError

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.records import to_line
from dsr.stores.base import REDACTED, Cursor, Expired, Page, Record, expiring, sort_out

_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
# By SQLSTATE. A column that may not be null cannot be masked with null; a row that others refer to
# cannot go before them.
_FAULTS = {
    "42501": "missing_permission",
    "42P01": "missing_collection",
    "42703": "missing_field",
    "23502": "unsupported",
    "23503": "still_referenced",
}
# libpq tells no SQLSTATE of a connection that was refused, only PostgreSQL's words. In another language
# than this they are not known: then it is tried again, and the case stops without saying why.
_REFUSALS = (
    "password authentication failed",
    "is not permitted to log in",
    "no pg_hba.conf entry",
    "permission denied for database",
    "does not exist",
)
_PAGE = 2000
_VALUES = 500  # looked up by one statement

# Seconds a statement may take: a page over an index is far below, a forgotten lock is not waited out.
_TIMEOUT = 60


class SQLStore:
    """The database of one store."""

    def __init__(self, store: StorePlan) -> None:
        self._store = store
        self._engine: Engine | None = None
        self._tables: dict[str, Table] = {}

    erase_at_once = 10_000

    def find(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, whole: bool = True
    ) -> Iterator[Page]:
        """See `base.Store.find`. The cursor is [index of the batch of values, key of the last record]."""
        table = self._table(collection)
        searched = _column(table, collection, way.field)
        self._check_index(collection, way)
        key = [_column(table, collection, name) for name in collection.key]
        wanted = [table] if whole else [_column(table, collection, name) for name in collection.locating]
        lower = way.identity and way.identity.normalise == "lower"
        matched = func.lower(searched) if lower else searched
        batch, last = after if after is not None else (0, None)
        with self._connection(collection) as connection:
            while batch * _VALUES < len(values):
                some = list(values[batch * _VALUES : (batch + 1) * _VALUES])
                query = (
                    select(*wanted)
                    .where(matched.in_(bindparam("some", _typed(searched, some), expanding=True)))
                    .order_by(*key)
                    .limit(_PAGE)
                )
                if last is not None:
                    query = query.where(
                        tuple_(*key) > tuple(_typed_one(c, v) for c, v in zip(key, last, strict=True))
                    )
                found = _ask(connection, query, collection)
                names = list(found.keys())
                rows = [dict(zip(names, row, strict=True)) for row in found.all()]
                more = len(rows) == _PAGE
                last = json.loads(to_line({"k": [rows[-1][c.name] for c in key]}))["k"] if more else None
                batch += not more
                end = batch * _VALUES >= len(values)
                yield Page([Record(row) for row in rows], None if end else [batch, last])

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: dict[str, str]) -> None:
        """See `base.Store.erase`. One statement and one transaction a call."""
        if not records:
            return
        table = self._table(collection)
        named = [_column(table, collection, name) for name in (*collection.key, *collection.guards)]
        # One array a column: the statement is the same for any number of rows, so it is made once.
        arrays = [
            bindparam(f"all_{c.name}", [_typed_one(c, r.get(c.name)) for r in records], type_=ARRAY(c.type))
            for c in named
        ]
        columns = [column(c.name, c.type) for c in named]
        chosen = func.unnest(*arrays).table_valued(*columns, name="chosen").render_derived()
        same = [table.c[name] == chosen.c[name] for name in collection.key]
        # Equal also where both are null: who a record belongs to may be told by another field.
        same += [table.c[name].is_not_distinct_from(chosen.c[name]) for name in collection.guards]
        change: Update | Delete
        if masks:
            change = update(table).values(
                {
                    _column(table, collection, name): masked_expression(table.c[name], treatment)
                    for name, treatment in masks.items()
                }
            )
        else:
            change = delete(table)
        with self._connection(collection) as connection:
            _ask(connection, change.where(*same), collection)
            connection.commit()

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
        wanted = [_column(table, collection, name) for name in expiring(collection)]
        dated = _column(table, collection, collection.retention["from"])
        if dated.name not in table.info["leading"]:
            about = f"{collection.store}: table {table.name}: index on {dated.name}"
            raise StoreFault("missing_index", about)
        order = [dated, *(_column(table, collection, name) for name in collection.key)]
        first, end = _bounds(collection, dated, before)
        query = select(*wanted).where(dated >= first, dated < end)
        if after is not None:
            last = tuple(_typed_one(c, v) for c, v in zip(order, after, strict=True))
            # The first condition says the same of the time alone, for an index on nothing else.
            query = query.where(dated >= last[0], tuple_(*order) > last)
        with self._connection(collection) as connection:
            read = _ask(connection, query.order_by(*order).limit(limit), collection).mappings().all()
        records, undated = sort_out(collection, [dict(row) for row in read], before)
        if len(read) < limit:
            return Expired(records, None, undated)
        place = json.loads(to_line({"at": [read[-1][c.name] for c in order]}))["at"]
        return Expired(records, place, undated)

    def _connection(self, collection: Collection) -> Connection:
        known = self._engine is not None
        try:
            return self._open(collection).connect()
        except OperationalError as error:
            # A refused login is a fault of the set-up; a database that does not answer may answer later.
            if not any(words in str(error.orig) for words in _REFUSALS):
                raise
        self._engine = None
        if known:  # the password may have been changed since: the secret is read again
            return self._connection(collection)
        raise StoreFault("missing_connection", f"{collection.store}: login or database refused")

    def _open(self, collection: Collection) -> Engine:
        if self._engine is None:
            secret = self._secret(collection)
            driver = _DRIVERS.get(secret.get("engine", ""))
            if driver is None:
                raise StoreFault("unsupported", f"{collection.store}: engine in the secret")
            url = URL.create(
                driver,
                secret["username"],
                secret["password"],
                secret["host"],
                int(secret["port"]),
                secret["dbname"],
            )
            self._engine = create_engine(
                url,
                pool_size=1,
                pool_pre_ping=True,
                pool_recycle=300,
                hide_parameters=True,  # SQLAlchemy would put the values into its exceptions' texts
                native_inet_types=False,  # as text: Python's own classes take long and write some otherwise
                connect_args={"connect_timeout": 5, "options": f"-c statement_timeout={_TIMEOUT * 1000}"},
            )
        return self._engine

    def _secret(self, collection: Collection) -> dict[str, Any]:
        try:
            secrets = client_as(self._store.access, "secretsmanager")
            answer = secrets.get_secret_value(SecretId=self._store.connection["secret"])
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ResourceNotFoundException":
                raise StoreFault("missing_connection", f"{collection.store}: secret") from None
            if code in ("AccessDenied", "AccessDeniedException"):
                raise StoreFault(
                    "missing_permission", f"{collection.store}: {error.operation_name}"
                ) from None
            raise
        return json.loads(answer["SecretString"])  # type: ignore[no-any-return]

    def _table(self, collection: Collection) -> Table:
        name = collection.options["table"]
        if name not in self._tables:
            schema, _, plain = name.rpartition(".")
            with self._connection(collection) as connection:
                try:
                    self._tables[name] = Table(
                        plain, MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False
                    )
                except NoSuchTableError:
                    raise StoreFault("missing_collection", f"{collection.store}: table {name}") from None
                self._tables[name].info["leading"] = set(_leading(connection, plain, schema or None))
        return self._tables[name]

    def _check_index(self, collection: Collection, way: Way) -> None:
        """Raises StoreFault unless an index begins with what is searched: no query may read a whole table."""
        table = self._table(collection)
        lower = bool(way.identity and way.identity.normalise == "lower")
        wanted = f"lower({way.field})" if lower else way.field
        if wanted not in table.info["leading"]:
            raise StoreFault("missing_index", f"{collection.store}: table {table.name}: index on {wanted}")


def masked_expression(column: Column[Any], treatment: str) -> Any:
    """The new value of a masked column; nothing stays nothing."""
    return null() if treatment == "null" else case((column.is_not(None), literal(REDACTED)), else_=null())


def _bounds(collection: Collection, dated: Column[Any], before: datetime) -> tuple[Any, Any]:
    """From where to where to look in the column that dates a record; what Python cannot hold lies outside."""
    kind = dated.type.python_type
    if kind is datetime:
        zone = UTC if getattr(dated.type, "timezone", False) else None
        return datetime.min.replace(tzinfo=zone), before.astimezone(UTC).replace(tzinfo=zone)
    if kind is date:
        return date.min, before.date()
    if kind is str:
        # ISO 8601 text sorts by its own zone's day, which is up to 14 hours from UTC's.
        return "0001", (before + timedelta(days=1)).date().isoformat()
    raise StoreFault("unsupported", f"{collection.path}.{dated.name}: neither a time nor text")


def _ask(connection: Connection, statement: Executable, collection: Collection) -> CursorResult[Any]:
    try:
        return connection.execute(statement)
    except DBAPIError as error:
        code = _FAULTS.get(getattr(error.orig, "sqlstate", None) or "")
        if code:
            raise StoreFault(code, f"{collection.store}: table {collection.options['table']}") from None
        raise


def _leading(connection: Connection, table: str, schema: str | None) -> Iterator[str]:
    """What each index of the table begins with: a column, or an expression in plain form."""
    inspector = inspect(connection)
    if columns := inspector.get_pk_constraint(table, schema)["constrained_columns"]:
        yield columns[0]
    for index in inspector.get_indexes(table, schema):
        if index.get("dialect_options", {}).get("postgresql_where"):
            continue  # a partial index does not hold every record
        first = index["column_names"][0]
        if first is not None:
            yield first
        elif index.get("expressions"):
            yield index["expressions"][0].replace("::text", "").replace("(", "(", 1).replace('"', "")


def _column(table: Table, collection: Collection, name: str) -> Column[Any]:
    if name not in table.columns:
        raise StoreFault("missing_field", f"{collection.store}: column {table.name}.{name}")
    return table.columns[name]


def _typed(column: Column[Any], values: list[Any]) -> list[Any]:
    return [_typed_one(column, v) for v in values]


def _typed_one(column: Column[Any], value: Any) -> Any:
    """A value that went through JSON, in the type of its column: uuid, integer, decimal, date or text."""
    kind = column.type.python_type
    if value is None:
        return None
    return value if isinstance(value, kind) or kind is object else _cast(kind, value)


def _cast(kind: type[Any], value: Any) -> Any:
    return kind.fromisoformat(value) if hasattr(kind, "fromisoformat") else kind(value)
