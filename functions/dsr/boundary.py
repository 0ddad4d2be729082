"""The edge of every function that the workflow calls: nothing personal leaves by an exception.

Libraries put values into their messages (a database quotes the text it could not read), and an
uncaught exception's text lands in the function's log and in the execution's history. So the edge
lets out only the exception's class and the line it came from.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from dsr.log import describe, logger

T = TypeVar("T")


class StepFailed(Exception):
    """A step did not get through; trying again may help. Its text names a class and a line, no values."""


def step(handler: Callable[[dict[str, Any], Any], T]) -> Callable[[dict[str, Any], Any], T]:
    """Wrap a workflow function's handler: log that it ran, and let no text of foreign exceptions out."""

    @functools.wraps(handler)
    def run(event: dict[str, Any], context: Any) -> T:
        about = {
            name: event[name] for name in ("case_id", "visit", "notice") if isinstance(event.get(name), str)
        }
        try:
            result = handler(event, context)
        except Exception as error:  # noqa: BLE001  the edge: re-raised below without its text
            told = describe(error)
            logger.error("step failed", extra=about | told)
            raise StepFailed(" ".join(told.values())) from None
        outcome = result.get("outcome") if isinstance(result, dict) else None
        logger.info("step done", extra=about | ({"outcome": outcome} if isinstance(outcome, str) else {}))
        return result

    return run
