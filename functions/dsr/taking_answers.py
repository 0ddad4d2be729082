"""Answers that recipients send later: signed with their question's secret, kept sealed, the case woken.

Whoever has no signature learns nothing: it is checked before anything is looked up. What is kept is read
by the worker of the recipient alone.
"""

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

from dsr.answers import Answers
from dsr.callbacks import callback_secret
from dsr.case import Case
from dsr.casebook import Casebook
from dsr.errors import NotFound, Refused
from dsr.log import describe, logger
from dsr.questions import MOST_BYTES, Malformed, Name, Said, complete, read_answer, read_name
from dsr.settings import read
from dsr.signatures import verify
from dsr.staging import Staging
from dsr.waking import asks_for, wake_visit

Reply = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Settings:
    """Environment of take_answer."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str
    mac_key: str


def take_answer(event: dict[str, Any]) -> dict[str, Any]:
    """Take one page of an answer. `event`: of API Gateway's REST proxy, `POST /answers/{question}`.

    Returns the proxy answer: 200 kept, 401 not signed, 404, 410 nobody waits for it, 413, 422 and what is
    wrong with it.
    """
    try:
        status, said = _take(event)
    except Exception as error:  # noqa: BLE001  whatever it is, its text stays out of the answer and the log
        logger.error("an answer could not be taken", extra=describe(error))
        status, said = 500, {"error": "something went wrong on our side; send it again"}
    logger.info("answer", status=status)
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": json.dumps(said),
        "isBase64Encoded": False,
    }


def _take(event: dict[str, Any]) -> Reply:
    name = read_name(str((event.get("pathParameters") or {}).get("question", "")))
    if name is None:
        return 404, {"error": "no question has such a name"}
    settings, body = read(Settings), _body(event)
    headers = {n.lower(): str(v) for n, v in (event.get("headers") or {}).items()}
    try:
        verify(callback_secret(settings.mac_key, str(name)), str(name), headers, body, time.time())
    except Refused as error:
        return 401, {"error": str(error)}
    if len(body) > MOST_BYTES:
        return 413, {"error": f"more than {MOST_BYTES} bytes: answer in pages"}
    book = Casebook(settings.cases_table, settings.case_keys_table)
    try:
        case = book.get(name.case_id)
    except NotFound:
        return 410, {"error": "nobody waits for this answer any more"}
    answers = Answers(book, Staging(settings.staging_bucket, settings.case_keys_table, case), case)
    if answers.whole(name):
        return 200, {"status": "answered before"}
    asked = _asked(book, case, name)
    if asked is None:
        return 410, {"error": "nobody waits for this answer any more"}
    try:
        said = read_answer(name.verb, body)
        complete(said, asked)
    except Malformed as error:
        return 422, {"error": str(error)}
    return _keep(book, case, answers, name, said)


def _keep(book: Casebook, case: Case, answers: Answers, name: Name, said: Said) -> Reply:
    part = answers.add(name, said)
    if said.more:
        return 200, {"status": "page kept"}
    pages = {**answers.pages(name), said.page: part}
    last = 1 if said.cannot else said.page
    if missing := [str(n) for n in range(1, last + 1) if n not in pages]:
        return 422, {"error": f"pages are missing: {', '.join(missing[:20])}; send them, then the last again"}
    parts = [part] if said.cannot else [pages[n] for n in range(1, last + 1)]
    if not answers.finish(name, parts, "recipient"):
        return 200, {"status": "answered before"}
    wake_visit(book, case.case_id, name.visit, name.work, "recipient")
    return 200, {"status": "answered"}


def _asked(book: Casebook, case: Case, name: Name) -> set[str] | None:
    """The collections that this very question asks about; None if nobody asks it (any more)."""
    if not asks_for(case, name.visit, name.work):
        return None
    visit = book.visits(case.case_id, name.work).get(name.visit)
    if visit is None or visit.outcome == "done" or visit.question != str(name):
        return None
    return set(visit.counts or {})


def _body(event: dict[str, Any]) -> bytes:
    body = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
