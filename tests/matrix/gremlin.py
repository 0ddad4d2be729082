"""Every call to AWS and to a database, counted; one of them fails in a chosen way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any
from unittest import mock

import psycopg
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ReadTimeoutError


class Killed(BaseException):
    """The process is gone: nothing after this line ran. No `except Exception` may catch it."""


class Way(StrEnum):
    """How a call fails."""

    THROTTLED = "throttled"
    BROKEN = "500"
    LOST_BEFORE = "timeout before the effect"
    LOST_AFTER = "timeout after the effect"
    KILLED_BEFORE = "killed before the effect"
    KILLED_AFTER = "killed after the effect"


AFTER = frozenset({Way.LOST_AFTER, Way.KILLED_AFTER})


class Gremlin:
    """Counts calls; the one at `at` (from 0) fails in `way`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.at, self.way, self.struck = -1, Way.BROKEN, False

    def aim(self, at: int, way: Way) -> None:
        """Let the call `at`, counted from now, fail."""
        self.calls, self.at, self.way, self.struck = [], at, way, False

    def around(self, name: str, call: Callable[[], Any], failure: Callable[[str, Way], Exception]) -> Any:
        """Make the call, unless it is the one."""
        here = len(self.calls) == self.at and not self.struck
        self.calls.append(name)
        if not here:
            return call()
        self.struck = True
        result = call() if self.way in AFTER else None
        if self.way in (Way.KILLED_BEFORE, Way.KILLED_AFTER):
            raise Killed(name)
        del result
        raise failure(name, self.way)


def _aws(name: str, way: Way) -> Exception:
    if way in (Way.LOST_BEFORE, Way.LOST_AFTER):
        return ReadTimeoutError(endpoint_url=f"https://{name}")
    code = "ThrottlingException" if way is Way.THROTTLED else "InternalServerError"
    status = {"HTTPStatusCode": 400 if way is Way.THROTTLED else 500}
    answer: Any = {"Error": {"Code": code, "Message": way.value}, "ResponseMetadata": status}
    return ClientError(answer, name)


def _database(name: str, way: Way) -> Exception:
    return psycopg.OperationalError(f"{name}: {way.value}")


@contextmanager
def loose(gremlin: Gremlin) -> Iterator[Gremlin]:
    """Every call goes by the gremlin."""
    ask, execute, commit = BaseClient._make_api_call, psycopg.Cursor.execute, psycopg.Connection.commit

    def api_call(self: Any, operation: str, arguments: Any) -> Any:
        name = f"{self.meta.service_model.service_name}:{operation}"
        return gremlin.around(name, lambda: ask(self, operation, arguments), _aws)

    def statement(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        text = query if isinstance(query, str) else type(query).__name__
        name = f"sql:{text.split(maxsplit=1)[0]}"
        return gremlin.around(name, lambda: execute(self, query, *arguments, **named), _database)

    def end(self: Any) -> Any:
        return gremlin.around("sql:COMMIT", lambda: commit(self), _database)

    with (
        mock.patch.object(BaseClient, "_make_api_call", api_call),
        mock.patch.object(psycopg.Cursor, "execute", statement),
        mock.patch.object(psycopg.Connection, "commit", end),
    ):
        yield gremlin
