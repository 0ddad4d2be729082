"""The one logger: JSON lines with allow-listed keys, and never the text of an error.

`from dsr.log import logger`, then `logger.info("a constant sentence", case_id=..., outcome=...)`.
Logs are kept, copied and read by people who may not see the data of a case, so a line holds only
the keys below, with values of harmless characters; what is not listed is dropped and its name
stays (`dropped`), so that the omission shows. Of an error there are its type, the AWS error code
and the places in the code; its text may quote a value (a database's error does) and is withheld.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from pathlib import PurePath
from traceback import extract_tb
from typing import Any

# fmt: off
# What a line may say about the work. Add a key here only if no value of it can name a person.
KEYS = frozenset({
    "case_id", "right", "state", "was", "now", "attempt", "step", "visit", "wave", "store", "kind",
    "collection", "outcome", "reason", "notice", "contact", "contacts", "proof", "records", "bytes",
    "calls", "pages", "ms", "count", "limit", "route", "method", "status", "function", "about",
    "map_version",
})
# What this module says itself: of every line, and of an error (`describe`).
_OWN = frozenset({"level", "message", "location", "timestamp", "error", "error_code", "where"})
# fmt: on
# No '@', no quotes, nothing beyond ASCII: an address or a person's name with an accent cannot pass.
_HARMLESS = re.compile(r"[A-Za-z0-9 _.:/#<>{},+-]{0,300}")


class _Formatter(logging.Formatter):
    """One JSON object a line, of the listed keys alone."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`; its exception reduced to what cannot quote a value."""
        about: dict[str, Any] = dict(getattr(record, "about", {}))
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            about |= describe(record.exc_info[1])
        line = {
            "level": record.levelname,
            "message": record.msg,  # a constant: nothing is filled into it
            "location": f"{record.funcName}:{record.lineno}",
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        }
        line |= {key: _harmless(value) for key, value in about.items() if key in KEYS or key in _OWN}
        if dropped := sorted(about.keys() - KEYS - _OWN):
            line["dropped"] = ",".join(dropped)
        return json.dumps(line)


class Log(logging.Logger):
    """A logger that takes what a line says about the work by name."""

    def tell(self, level: int, message: str, about: dict[str, Any], exc_info: Any = None) -> None:
        """Write the line of whoever called the method that calls this."""
        if self.isEnabledFor(level):
            self._log(level, message, (), exc_info, extra={"about": about}, stacklevel=3)

    def info(self, message: str, **about: Any) -> None:  # type: ignore[override]
        """Something went as it may go."""
        self.tell(logging.INFO, message, about)

    def warning(self, message: str, **about: Any) -> None:  # type: ignore[override]
        """Something went wrong for one person, and is told to them."""
        self.tell(logging.WARNING, message, about)

    def error(self, message: str, **about: Any) -> None:  # type: ignore[override]
        """Something went wrong that somebody should mend."""
        self.tell(logging.ERROR, message, about)


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


logger = Log("dsr", logging.INFO)
_handler = logging.StreamHandler(sys.stdout)  # Lambda keeps what is written there, line by line
_handler.setFormatter(_Formatter())
logger.addHandler(_handler)
