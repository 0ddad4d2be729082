"""Aurora PostgreSQL through the RDS Data API: no network, no driver, one HTTPS call a statement.

A driver in the sense of PEP 249 with what SQLAlchemy needs of it, so that the store is the same: each
transaction is one of the Data API, values go as text (it takes no arrays), answers are lines of text. What
it limits (1 MiB an answer, 64 KB a row, 45 seconds a statement; AWS, Data API limitations) shows as
`AnswerTooLarge`, or as an error that may pass.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from sqlalchemy.dialects.postgresql.base import PGDialect

from dsr.errors import StoreFault
from dsr.stores.sql.language import AnswerTooLarge

_STATE = re.compile(r"SQLState:\s*(\w{5})", re.IGNORECASE)
_TABLE = re.compile(r'on table "([^"]+)"(?!.*on table ")', re.DOTALL)
_TOO_LARGE = ("response size limit", "exceeded size limit", "packet for query is too large")
# By the service's own error. What is not here, such as a cluster that wakes up, may pass.
_REFUSED = {
    "AccessDeniedException": ("missing_permission", "rds-data"),
    "ForbiddenException": ("missing_permission", "rds-data"),
    "HttpEndpointNotEnabledException": ("missing_connection", "the cluster's Data API is not enabled"),
    "DatabaseNotFoundException": ("missing_connection", "cluster or database not found"),
    "InvalidResourceStateException": ("missing_connection", "the cluster takes no statements"),
    "InvalidSecretException": ("missing_connection", "secret"),
    "SecretsErrorException": ("missing_connection", "secret"),
    "UnsupportedResultException": ("unsupported", "a type that the Data API cannot answer with"),
}

apilevel, threadsafety, paramstyle = "2.0", 1, "named"


class Error(Exception):
    """An error of the database, by its SQLSTATE; its text is not kept, since it may quote values."""

    def __init__(self, sqlstate: str = "", table: str = "") -> None:
        super().__init__(f"SQLSTATE {sqlstate or 'unknown'}")
        self.sqlstate = sqlstate
        self.diag = SimpleNamespace(table_name=table, column_name=None, constraint_name=None)


class DatabaseError(Error):
    """The name by which SQLAlchemy knows it."""


class OperationalError(DatabaseError):
    """What may pass: the call timed out, the transaction is gone, the cluster wakes up."""


InterfaceError = InternalError = ProgrammingError = IntegrityError = DataError = NotSupportedError = (
    DatabaseError
)


class Dialect(PGDialect):
    """PostgreSQL's dialect over this driver."""

    driver = "data_api"
    default_paramstyle = "named"
    supports_statement_cache = True

    def initialize(self, connection: Any) -> None:  # noqa: ARG002
        """Nothing is asked at first: each question would be a call."""
        self.server_version_info = (13, 0)
        self.default_schema_name = "public"


class Connection:
    """One session; a transaction begins with its first statement."""

    def __init__(self, make: Callable[[], Any], store: str, target: Mapping[str, str]) -> None:
        self._make, self._store, self._target = make, store, dict(target)
        self._transaction = ""

    def cursor(self) -> "Cursor":
        """A cursor on this session."""
        return Cursor(self)

    def commit(self) -> None:
        """End the transaction, if one is open."""
        self._end("commit_transaction")

    def rollback(self) -> None:
        """Undo the transaction, if one is open."""
        try:
            self._end("rollback_transaction")
        except OperationalError:
            return  # it is gone already: the Data API undoes what nobody ends

    def close(self) -> None:
        """Nothing is held here."""
        self.rollback()

    def _end(self, verb: str) -> None:
        if not self._transaction:
            return
        which = {name: self._target[name] for name in ("resourceArn", "secretArn")}
        transaction, self._transaction = self._transaction, ""
        self.call(verb, **which, transactionId=transaction)

    def execute(self, sql: str, values: Mapping[str, Any]) -> Any:
        """One statement's answer."""
        if not self._transaction:
            self._transaction = self.call("begin_transaction", **self._target)["transactionId"]
        parameters = [{"name": name, "value": _field(value)} for name, value in values.items()]
        return self.call(
            "execute_statement", **self._target, sql=sql, parameters=parameters,
            transactionId=self._transaction, includeResultMetadata=True,
        )  # fmt: skip

    def call(self, verb: str, **arguments: Any) -> Any:
        """Call the Data API. Raises StoreFault, AnswerTooLarge, or an `Error`."""
        client = self._make()
        try:
            return getattr(client, verb)(**arguments)
        except ClientError as error:
            told, code = error.response["Error"].get("Message", ""), error.response["Error"]["Code"]
            if any(words in told.lower() for words in _TOO_LARGE):
                raise AnswerTooLarge from None
            if state := _STATE.search(told):
                table = _TABLE.search(told)
                raise DatabaseError(state[1], table[1] if table else "") from None
            if code in _REFUSED:
                fault, about = _REFUSED[code]
                raise StoreFault(fault, f"{self._store}: {about}") from None
            raise OperationalError from None


class Cursor:
    """The rows of one statement, which came with its answer."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def execute(self, sql: str, values: Mapping[str, Any] | None = None) -> None:
        """Run one statement."""
        answer = self._connection.execute(sql, values or {})
        columns = answer.get("columnMetadata")
        self.description = (
            [(c["label"], None, None, None, None, None, None) for c in columns] if columns else None
        )
        self._rows = [tuple(map(_value, record)) for record in answer.get("records", ())]
        self.rowcount = len(self._rows) if columns else answer.get("numberOfRecordsUpdated", 0)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int | None = None) -> Sequence[tuple[Any, ...]]:
        """The next rows."""
        taken, self._rows = self._rows[:size], self._rows[size or len(self._rows) :]
        return taken

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        """All rows that are left."""
        return self.fetchmany()

    def close(self) -> None:
        """Let the rows go."""
        self._rows = []


def _field(value: Any) -> dict[str, Any]:
    if value is None:
        return {"isNull": True}
    return {"longValue": value} if isinstance(value, int) else {"stringValue": str(value)}


def _value(field: dict[str, Any]) -> Any:
    return None if field.get("isNull") else next(iter(field.values()))
