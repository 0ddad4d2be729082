"""Where cases are kept: one table, a partition per case, every move a conditional write with its event.

Parts of a case: `case` (as it stands), `event#000001` (its history, append-only),
`visit#<id>` (how far one store of it is). A case's version is the number of its last event, so
the condition on the version is what keeps two workers from both making a move. Each event holds the hash
of the one before and its own (`dsr.audit`); the case holds that of the last.
"""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from dsr import events
from dsr.audit import History, chained
from dsr.aws import client
from dsr.case import Attention, Case, Event, Proof, Requester, Right, State, check_move
from dsr.casekey import seal, unseal
from dsr.errors import Conflict, NotFound
from dsr.items import from_item, to_item

WAITS = "waits"  # reason of a visit that another one, named in `about`, must lead to first

_TRIES = 4  # of a write that another one clashed with


def now() -> datetime:
    """The time of a move: UTC, to the millisecond, as it is stored."""
    at = datetime.now(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def work_name(verb: str, number: int) -> str:
    """What visits of a piece of work are filed under: `visit` for the first gathering, else verb@round."""
    return "visit" if verb == "gather" and number == 0 else f"{verb}@{number}"


@dataclass(frozen=True)
class Visit:
    """How far one visit (the collections of one store in one wave) of a case is. No personal data.

    Of a store that answers later also: the name of the question, when it was asked, by when it is to
    answer (`answer_by`, "" for whenever), when it did, with which fixed word. `woken_at`: somebody said
    that the answer is there, and the worker has not looked since.
    """

    visit: str
    store: str = ""
    outcome: str = "pending"  # pending | continue | waiting | done | needs_attention | refused
    counts: dict[str, int] | None = None  # records per collection
    doubtful: dict[str, int] | None = None
    reason: str = ""
    about: str = ""
    calls: int = 0
    question: str = ""
    asked_at: str = ""
    answer_by: str = ""
    answered_at: str = ""
    answer: str = ""
    woken_at: str = ""
    updated_at: datetime | None = None


class Casebook:
    """Reads and writes cases. `cases` and `keys` are table names."""

    def __init__(self, cases: str, keys: str) -> None:
        self.cases = cases
        self.keys = keys

    # -- reading -----------------------------------------------------------------------------

    def get(self, case_id: str) -> Case:
        """The case, read consistently. Raises NotFound."""
        answer = client("dynamodb").get_item(
            TableName=self.cases, Key=_key(case_id, "case"), ConsistentRead=True
        )
        if "Item" not in answer:
            raise NotFound(f"no case {case_id}")
        return _to_case(from_item(answer["Item"]))

    def requester(self, case: Case) -> Requester:
        """The personal content of the case, unsealed. Raises NotFound once its key is destroyed."""
        said = json.loads(unseal(case.case_id, self.keys, case.sealed))
        said |= {name: tuple(said.get(name, ())) for name in ("contacts", "account_contacts")}
        return Requester(**said)

    def parts(self, case_id: str, prefix: str) -> Iterator[dict[str, Any]]:
        """All parts of the case whose name begins with `prefix`, in order, to the last page."""
        pages = (
            client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self.cases,
                KeyConditionExpression="case_id = :c AND begins_with(part, :p)",
                ExpressionAttributeValues=to_item({":c": case_id, ":p": prefix}),
                ConsistentRead=True,
            )
        )
        for page in pages:
            for item in page["Items"]:
                yield from_item(item)

    def events(self, case_id: str) -> list[Event]:
        """The whole history of the case, oldest first."""
        return [_to_event(item) for item in self.parts(case_id, "event#")]

    def history(self, case_id: str) -> History:
        """The case as the audit trail has it: what it says of its last event, and all its events."""
        try:
            case = self.get(case_id)
        except NotFound:
            return History(case_id, 0, "", tuple(self.events(case_id)))
        return History(case_id, case.version, case.head, tuple(self.events(case_id)))

    def visits(self, case_id: str, work: str = "visit") -> dict[str, Visit]:
        """Every visit of one piece of `work` (`visit`, or as `work_name` says) of the case, by its id."""
        found = {}
        for item in self.parts(case_id, f"{work}#"):
            at = item.pop("updated_at", None)
            visit = item.pop("part").removeprefix(f"{work}#")
            item.pop("case_id")
            found[visit] = Visit(visit=visit, updated_at=datetime.fromisoformat(at) if at else None, **item)
        return found

    def open_cases(self, after: dict[str, str] | None = None) -> Iterator[Case]:
        """Every case that something is still to be done for, by deadline; from an index: may lag a moment.

        `after`: those behind that place (`place_of`) alone.
        """
        begin = {"ExclusiveStartKey": to_item({**after, "part": "case", "open": "yes"})} if after else {}
        pages = (
            client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self.cases,
                IndexName="open-cases",
                KeyConditionExpression="#open = :yes",
                ExpressionAttributeNames={"#open": "open"},
                ExpressionAttributeValues=to_item({":yes": "yes"}),
                **begin,
            )
        )
        for page in pages:
            for item in page["Items"]:
                yield _to_case(from_item(item))

    @staticmethod
    def place_of(case: Case) -> dict[str, str]:
        """Where the case stands among the open ones, for `open_cases`."""
        return {"case_id": case.case_id, "due_at": case.due_at.isoformat()}

    def clock_place(self) -> dict[str, str]:
        """Where the last look at the open cases had to stop; empty if it came to the end."""
        found = client("dynamodb").get_item(TableName=self.cases, Key=to_item(_CLOCK), ConsistentRead=True)
        place: dict[str, str] = from_item(found.get("Item", {})).get("place", {})
        return place

    def keep_clock_place(self, place: dict[str, str]) -> None:
        """Keep it for the next look."""
        client("dynamodb").put_item(TableName=self.cases, Item=to_item({**_CLOCK, "place": place}))

    # -- writing -----------------------------------------------------------------------------

    def open(self, case: Case, channel: str, actor: str = "requester") -> bool:
        """Store a new case with its first event; False if it is already there (the same submission twice)."""
        dynamodb = client("dynamodb")
        about = {"right": case.right.value, "channel": channel} | ({"dry_run": "yes"} if case.dry_run else {})
        events.check("received", actor, about)
        event = chained(
            Event(case.case_id, 1, case.received_at, "received", actor, case.state, case.state, about),
            "",
        )
        puts = [
            _put(self.cases, _from_case(replace(case, head=event.hash)), "attribute_not_exists(case_id)"),
            _put(self.cases, _from_event(event), "attribute_not_exists(case_id)"),
        ]
        for attempt in range(_TRIES):
            try:
                dynamodb.transact_write_items(TransactItems=puts)
            except dynamodb.exceptions.TransactionCanceledException as error:
                if _condition_failed(error):
                    return False
                # The same submission, sent twice at the same instant: one of the two gets through.
                if not _clashed(error) or attempt == _TRIES - 1:
                    raise
                time.sleep(0.02 * 2**attempt)
            else:
                break
        return True

    def move(
        self,
        case: Case,
        to: State,
        name: str,
        actor: str,
        about: dict[str, str] | None = None,
        **changes: Any,
    ) -> Case:
        """Move the case and append the event, both or neither; returns the case as it now stands.

        `to` may be the state it is in (an event without a move). `changes` are fields of Case.
        Raises Conflict when the case is no longer as given, or may not go there, and ValueError for what
        an event may not say.
        """
        about = about or {}
        events.check(name, actor, about)
        if to is not case.state:
            check_move(case.state, to)
        at = now()
        if case.token and changes.get("token") == "":
            changes["woken"] = case.token
        event = chained(
            Event(case.case_id, case.version + 1, at, name, actor, case.state, to, about), case.head
        )
        moved = replace(case, state=to, version=event.number, updated_at=at, head=event.hash, **changes)
        dynamodb = client("dynamodb")
        # The workflow stores its waiting token without an event; the second condition keeps a writer
        # who read the case just before from putting the token out again.
        put = _put(self.cases, _from_case(moved), "version = :was AND #token = :token")
        put["Put"]["ExpressionAttributeNames"] = {"#token": "token"}
        put["Put"]["ExpressionAttributeValues"] = to_item({":was": case.version, ":token": case.token})
        try:
            dynamodb.transact_write_items(
                TransactItems=[put, _put(self.cases, _from_event(event), "attribute_not_exists(part)")]
            )
        except dynamodb.exceptions.TransactionCanceledException as error:
            if _condition_failed(error) or _clashed(error):
                raise Conflict(f"case {case.case_id} was moved by somebody else") from None
            raise
        return moved

    def seal_requester(self, case: Case, requester: Requester) -> bytes:
        """The sealed form of `requester`, to be given to `move` as `sealed`."""
        return seal_requester(case.recipient, requester)

    def note_visit(self, case_id: str, visit: Visit, work: str = "visit") -> None:
        """Store how far a visit is; the last writer wins, since a visit has one worker at a time."""
        client("dynamodb").put_item(TableName=self.cases, Item=to_item(_from_visit(case_id, visit, work)))

    def note_waiting(self, case_id: str, visit: Visit, work: str, seen: str) -> bool:
        """Store that a visit waits; False, and nothing stored, if it was woken after `seen` (`woken_at`)."""
        dynamodb = client("dynamodb")
        try:
            dynamodb.put_item(
                TableName=self.cases,
                Item=to_item(_from_visit(case_id, visit, work)),
                ConditionExpression="attribute_not_exists(woken_at) OR woken_at IN (:none, :seen)",
                ExpressionAttributeValues=to_item({":none": "", ":seen": seen}),
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def keep_part(self, case_id: str, part: str, values: dict[str, Any]) -> None:
        """Store a part of the case that is none of its moves, for `parts`; the last writer wins."""
        client("dynamodb").put_item(
            TableName=self.cases, Item=to_item({**values, "case_id": case_id, "part": part})
        )

    def wake_visit(self, case_id: str, visit: str, work: str) -> None:
        """Note on the visit that its answer is there, whether or not it waits yet."""
        client("dynamodb").update_item(
            TableName=self.cases,
            Key=_key(case_id, f"{work}#{visit}"),
            UpdateExpression="SET woken_at = :now",
            ExpressionAttributeValues=to_item({":now": f"{now().isoformat()} {secrets.token_hex(4)}"}),
        )


def _from_visit(case_id: str, visit: Visit, work: str) -> dict[str, Any]:
    item = {k: v for k, v in asdict(visit).items() if k not in ("visit", "updated_at")}
    return item | {"case_id": case_id, "part": f"{work}#{visit.visit}", "updated_at": now().isoformat()}


def seal_requester(recipient: str, requester: Requester) -> bytes:
    """The personal content of a case, sealed for its key."""
    return seal(recipient, json.dumps(asdict(requester)).encode())


def _key(case_id: str, part: str) -> dict[str, Any]:
    return to_item({"case_id": case_id, "part": part})


def _put(table: str, values: dict[str, Any], condition: str) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": to_item(values), "ConditionExpression": condition}}


def _condition_failed(error: Any) -> bool:
    reasons = error.response.get("CancellationReasons", [])
    return any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons)


def _clashed(error: Any) -> bool:
    """Whether another transaction was on the same item at that instant; nothing retries it by itself."""
    reasons = error.response.get("CancellationReasons", [])
    return any(reason.get("Code") == "TransactionConflict" for reason in reasons)


_LISTS = ("regimes", "risk", "notices", "waiting_for", "tasks", "followed_by", "adding")
_CLOCK = {"case_id": "clock", "part": "place"}
_TIMES = ("received_at", "due_at", "updated_at", "signed_in_at", "expires_at", "confirmed_at",
    "erased_at", "check_at", "checked_at", "supplement_at",
)  # fmt: skip


def _from_case(case: Case) -> dict[str, Any]:
    values: dict[str, Any] = asdict(case)
    for name in _TIMES:
        values[name] = values[name] and values[name].isoformat()
    values |= {name: list(values[name]) for name in (*_LISTS, "contacts", "attention")}
    values |= {"part": "case"}
    if not case.rests:
        values["open"] = "yes"  # the sparse index of cases that something is still to be done for
    values["chain"] = "yes"  # the index of all cases by their last event, for the daily heads
    return values


def _to_case(values: dict[str, Any]) -> Case:
    for name in ("part", "open", "chain"):
        values.pop(name, None)
    for name in _TIMES:
        values[name] = datetime.fromisoformat(values[name]) if values.get(name) else None
    values["right"] = Right(values["right"])
    values["state"] = State(values["state"])
    values["resume"] = State(values["resume"]) if values.get("resume") else None
    values["contacts"] = tuple(Proof(p) for p in values["contacts"])
    values["attention"] = tuple(Attention(**a) for a in values["attention"])
    for name in _LISTS:
        values[name] = tuple(values.get(name) or ())
    return Case(**values)


def _from_event(event: Event) -> dict[str, Any]:
    return {
        "case_id": event.case_id,
        "part": f"event#{event.number:06d}",
        "at": event.at.isoformat(),
        "name": event.name,
        "actor": event.actor,
        "was": event.was.value,
        "now": event.now.value,
        "about": event.about,
        "previous": event.previous,
        "hash": event.hash,
    }


def _to_event(item: dict[str, Any]) -> Event:
    return Event(
        item["case_id"],
        int(item["part"].removeprefix("event#")),
        datetime.fromisoformat(item["at"]),
        item["name"],
        item["actor"],
        State(item["was"]),
        State(item["now"]),
        item.get("about", {}),
        item.get("previous", ""),
        item.get("hash", ""),
    )
