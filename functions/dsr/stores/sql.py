"""SQL databases through SQLAlchemy Core: keyset pages over a declared index, nothing read twice.

The credentials lie in Secrets Manager and are read under the store's access role.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError
from sqlalchemy import (
    Column,
    MetaData,
    RowMapping,
    Select,
    Table,
    bindparam,
    create_engine,
    func,
    inspect,
    select,
    tuple_,
)
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, NoSuchTableError, OperationalError

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.records import to_line
from dsr.stores.base import Cursor, Page, Record

_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_INSUFFICIENT_PRIVILEGE = "42501"  # SQLSTATE
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

    def find(self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor) -> Iterator[Page]:
        """See `base.Store.find`. The cursor is [index of the batch of values, key of the last record]."""
        table = self._table(collection)
        column = _column(table, collection, way.field)
        self._check_index(collection, way)
        key = [_column(table, collection, name) for name in collection.key]
        matched = func.lower(column) if way.identity and way.identity.normalise == "lower" else column
        batch, last = after if after is not None else (0, None)
        with self._connection(collection) as connection:
            while batch * _VALUES < len(values):
                some = list(values[batch * _VALUES : (batch + 1) * _VALUES])
                query = (
                    select(table)
                    .where(matched.in_(bindparam("some", _typed(column, some), expanding=True)))
                    .order_by(*key)
                    .limit(_PAGE)
                )
                if last is not None:
                    query = query.where(
                        tuple_(*key) > tuple(_typed_one(c, v) for c, v in zip(key, last, strict=True))
                    )
                rows = [dict(row) for row in _ask(connection, query, collection)]
                more = len(rows) == _PAGE
                last = json.loads(to_line({"k": [rows[-1][c.name] for c in key]}))["k"] if more else None
                batch += not more
                end = batch * _VALUES >= len(values)
                yield Page([Record(row) for row in rows], None if end else [batch, last])

    def _connection(self, collection: Collection) -> Connection:
        try:
            return self._open(collection).connect()
        except OperationalError as error:
            # A refused login is a fault of the set-up; a database that does not answer may answer later.
            if getattr(error.orig, "sqlstate", None) in ("28P01", "28000", "3D000"):
                raise StoreFault(
                    "missing_connection", f"{collection.store}: login or database refused"
                ) from None
            raise

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


def _ask(connection: Connection, query: Select[Any], collection: Collection) -> Iterable[RowMapping]:
    try:
        return connection.execute(query).mappings()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
            about = f"{collection.store}: table {collection.options['table']}"
            raise StoreFault("missing_permission", about) from None
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
    return value if isinstance(value, kind) or kind is object else _cast(kind, value)


def _cast(kind: type[Any], value: Any) -> Any:
    return kind.fromisoformat(value) if hasattr(kind, "fromisoformat") else kind(value)
