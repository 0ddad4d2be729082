"""The one logger: JSON lines with allow-listed keys, and never the text of an error.

`from dsr.log import logger`, then `logger.info("a constant sentence", case_id=..., outcome=...)`.
Logs are kept, copied and read by people who may not see the data of a case, so a line holds only
the keys below, with values of harmless characters; what is not listed is dropped and its name
stays (`dropped`), so that the omission shows. Of an error there are its type, the AWS error code
and the places in the code; its text may quote a value (a database's error does) and is withheld.
"""

import logging
import re
from pathlib import PurePath
from traceback import extract_tb
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

# fmt: off
# What a line may say about the work. Add a key here only if no value of it can name a person.
KEYS = frozenset({
    "case_id", "right", "state", "was", "now", "attempt", "step", "visit", "wave", "store", "kind",
    "collection", "outcome", "reason", "notice", "contact", "contacts", "proof", "records", "bytes",
    "calls", "pages", "ms", "count", "limit", "route", "method", "status", "function", "about",
    "map_version",
})
# What Powertools and this module add themselves.
_OWN = frozenset({
    "level", "location", "message", "timestamp", "service", "cold_start", "function_name",
    "function_request_id", "xray_trace_id", "error", "error_code", "where", "dropped",
})
# fmt: on
# No '@', no quotes, nothing beyond ASCII: an address or a person's name with an accent cannot pass.
_HARMLESS = re.compile(r"[A-Za-z0-9 _.:/#<>{},+-]{0,300}")


class _Formatter(LambdaPowertoolsFormatter):
    """Powertools' JSON formatter, narrowed to the listed keys."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`; its exception reduced to what cannot quote a value."""
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            values = record.__dict__ | describe(record.exc_info[1]) | {"exc_info": None, "exc_text": None}
            record = logging.makeLogRecord(values)
        return super().format(record)

    def serialize(self, log: Any) -> str:
        """JSON of the listed keys alone."""
        kept = {key: _harmless(value) for key, value in log.items() if key in KEYS or key in _OWN}
        kept["message"] = log.get("message", "")
        if dropped := sorted(log.keys() - KEYS - _OWN):
            kept["dropped"] = ",".join(str(name) for name in dropped)
        return super().serialize(kept)


def _harmless(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if _HARMLESS.fullmatch(text) else "withheld"


def describe(error: BaseException) -> dict[str, str]:
    """What may be said of an error: its type, AWS's error code, and `where`: file:line, outermost first."""
    said = {"error": type(error).__name__}
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        said["error_code"] = str(answer.get("Error", {}).get("Code", ""))
    frames = extract_tb(error.__traceback__)[-8:]
    said["where"] = " > ".join(f"{PurePath(f.filename).name}:{f.lineno}" for f in frames)
    return said


# utc: a line of the local cloud and one of Lambda compare.
logger = Logger(service="dsr", logger_formatter=_Formatter(utc=True, serialize_stacktrace=False))
