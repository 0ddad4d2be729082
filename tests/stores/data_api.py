"""A stand-in for the RDS Data API that runs each statement on a real PostgreSQL. No Aurora can run here.

What it keeps of the service is documented (Amazon Aurora: Data API limitations, troubleshooting;
ExecuteStatement): text goes as text and is cast by nobody, arrays are refused, an answer ends at 1 MiB, a row
at 64 KB with the transaction gone, a transaction is known by its id, errors carry the SQLSTATE in their text.
"""

import json
import re
import secrets
from typing import Any

import psycopg
from botocore.exceptions import ClientError

ANSWER_BYTES, ROW_BYTES = 1024 * 1024, 64 * 1024
CLUSTER = "arn:aws:rds:us-east-1:123456789012:cluster:shop"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/db-AbCdEf"


class DataAPI:
    """boto3's client of `rds-data`, as far as the store uses it."""

    def __init__(self, uri: str, user: str = "") -> None:
        self._uri, self._user = uri, user
        self._open: dict[str, psycopg.Connection[Any]] = {}
        self.calls: list[str] = []

    def begin_transaction(self, **target: str) -> dict[str, str]:
        self._note("begin_transaction", target)
        name = secrets.token_hex(8)
        self._open[name] = psycopg.connect(self._uri, **({"user": self._user} if self._user else {}))
        return {"transactionId": name}

    def commit_transaction(self, transactionId: str, **target: str) -> dict[str, str]:  # noqa: N803  boto3's
        self._note("commit_transaction", target)
        self._end(transactionId, commit=True)
        return {"transactionStatus": "Transaction Committed"}

    def rollback_transaction(self, transactionId: str, **target: str) -> dict[str, str]:  # noqa: N803
        self._note("rollback_transaction", target)
        self._end(transactionId)
        return {"transactionStatus": "Rollback Complete"}

    def execute_statement(
        self, sql: str, parameters: list[Any], transactionId: str,  # noqa: N803
        includeResultMetadata: bool = False, **target: str,  # noqa: N803
    ) -> dict[str, Any]:  # fmt: skip
        self._note("execute_statement", target)
        connection = self._of(transactionId)
        values = {p["name"]: _plain(p["value"]) for p in parameters}
        # The service binds what it is given as text.
        spelt = re.sub(r"(?<![:\w]):([a-z]\w*)", r"%(\1)s::text", sql.replace("%", "%%"))
        try:
            cursor = connection.execute(spelt, values)  # type: ignore[call-overload]
        except psycopg.Error as error:
            self._end(transactionId)
            said = f"ERROR: {error.diag.message_primary}\n  Position: 1; SQLState: {error.sqlstate}"
            raise _error("DatabaseErrorException", said) from None
        if cursor.description is None:
            return {"numberOfRecordsUpdated": cursor.rowcount, "records": []}
        records = [[_field(value) for value in row] for row in cursor.fetchall()]
        for record in records:
            if len(json.dumps(record)) > ROW_BYTES:
                self._end(transactionId)
                raise _error("DatabaseErrorException", "Packet for query is too large")
        if len(json.dumps(records)) > ANSWER_BYTES:
            self._end(transactionId)
            raise _error("BadRequestException", "Database returned more than the allowed response size limit")
        columns = [{"label": c.name, "typeName": "text"} for c in cursor.description]
        return {"records": records, "columnMetadata": columns if includeResultMetadata else []}

    def _note(self, call: str, target: dict[str, str]) -> None:
        self.calls.append(call)
        assert target["resourceArn"] == CLUSTER
        assert target["secretArn"] == SECRET

    def _of(self, transaction: str) -> psycopg.Connection[Any]:
        if transaction not in self._open:
            raise _error("TransactionNotFoundException", f"Transaction {transaction} is not found")
        return self._open[transaction]

    def _end(self, transaction: str, commit: bool = False) -> None:
        connection = self._of(transaction)
        del self._open[transaction]
        if commit:
            connection.commit()
        connection.close()


def _plain(field: dict[str, Any]) -> Any:
    ((kind, value),) = field.items()
    if kind == "arrayValue":
        raise _error("BadRequestException", "Array parameters are not supported")
    return None if kind == "isNull" else value


def _field(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"isNull": True}
        case bool():
            return {"booleanValue": value}
        case int():
            return {"longValue": value}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
    raise _error(
        "UnsupportedResultException", f"The result contains the unsupported type {type(value).__name__}"
    )


def _error(code: str, said: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": said}}, "ExecuteStatement")
