"""The list of the erased: keyed hashes of their accounts and of what found their records, with the time.

It is how somebody is recognised who comes back from a restored backup or an import, though nothing is kept
that names them: an entry is an HMAC of a *name* (a field of the data map, or the kind of an identity) and a
value, under a key that is derived once by KMS and never stored. Whoever has the table alone can try nothing.

    id        HMAC-SHA-256 of [name, value], in base64
    at        when the value's records were erased
    case      the case that did it
    expires   when the entry goes by itself (DynamoDB, time to live)
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from dsr.aws import client
from dsr.canonical import canonical
from dsr.datamap.plan import Collection, Plan
from dsr.finds import staged
from dsr.items import from_item, to_item
from dsr.matching import normalise
from dsr.records import as_text, each_at
from dsr.staging import Staging
from dsr.working_key import working_key

_PURPOSE = "suppression"  # of the working key
_WRITES, _READS = 25, 100  # BatchWriteItem, BatchGetItem (AWS)
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds between tries of what DynamoDB left unprocessed

Locator = tuple[str, Any]  # a name and a value


@dataclass(frozen=True)
class Entry:
    """What the list knows of a locator: when it was erased, by which case."""

    at: datetime
    case_id: str


def hashed(key: bytes, locator: Locator) -> str:
    """The id of a locator's entry."""
    name, value = locator
    mac = hmac.new(key, canonical([name, as_text(value)]), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def locators_of(collection: Collection, record: dict[str, Any]) -> Iterator[Locator]:
    """By what the record, or what hangs on it, would be found again. Pure."""
    for name in dict.fromkeys((collection.account, *collection.feeds)):
        if name:
            for value in each_at(record, name):
                if value not in (None, ""):
                    yield f"{collection.path}.{name}", value
    for way in collection.ways:
        if way.identity and way.identity.kind != "sign_in":
            for value in each_at(record, way.field):
                if value not in (None, ""):
                    yield f"identity.{way.identity.kind}", normalise(value, way.identity.normalise)


def erased_locators(plan: Plan, staging: Staging, last_round: int) -> Iterator[Locator]:
    """By what all that a case has erased would be found again, from its snapshot, rounds and all."""
    for collection in plan.collections.values():
        if collection.kept or collection.masks:
            continue  # it is still there, by right
        for record in staged(staging, plan, collection.path, number=last_round):
            yield from locators_of(collection, record["values"])


@dataclass(frozen=True)
class Suppression:
    """The list in `table`, under the KMS key `key`."""

    table: str
    key: str

    def note(
        self,
        locators: Iterable[Locator],
        case_id: str,
        at: datetime,
        days: int,
        begin: int = 0,
        ends_at: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> tuple[int, bool]:
        """Enter these from the one of number `begin` on, until `ends_at` on `clock`; twice it is one entry.

        Returns how many are noted, those before `begin` included, and whether that is all of them.
        """
        expires = int((at + timedelta(days=days)).timestamp())
        said = {"at": at.isoformat(), "case": case_id, "expires": expires}
        key = working_key(self.key, _PURPOSE)
        ids = list(dict.fromkeys(hashed(key, locator) for locator in locators))
        for start in range(begin, len(ids), _WRITES):
            batch = ids[start : start + _WRITES]
            self._put([{"PutRequest": {"Item": to_item({"id": id_, **said})}} for id_ in batch])
            noted = start + len(batch)
            if noted < len(ids) and clock() >= ends_at:  # each call gets further, however little time it has
                return noted, False
        return len(ids), True

    def _put(self, left: list[dict[str, Any]]) -> None:
        for wait in _WAITS:
            answer = client("dynamodb").batch_write_item(RequestItems={self.table: left})
            left = answer.get("UnprocessedItems", {}).get(self.table, [])
            if not left:
                return
            time.sleep(wait)
        raise TimeoutError(f"DynamoDB kept {len(left)} entries of the suppression list unprocessed")

    def entries_of(self, locators: Iterable[Locator]) -> Iterator[tuple[Locator, Entry]]:
        """Those of them that are on the list, in no order."""
        key, rest = working_key(self.key, _PURPOSE), iter(locators)
        while batch := list(islice(rest, _READS)):
            yield from self._get({hashed(key, locator): locator for locator in batch})

    def _get(self, wanted: dict[str, Locator]) -> Iterator[tuple[Locator, Entry]]:
        left: list[dict[str, Any]] = [to_item({"id": id_}) for id_ in wanted]
        for wait in _WAITS:
            answer = client("dynamodb").batch_get_item(RequestItems={self.table: {"Keys": left}})
            for item in map(from_item, answer["Responses"].get(self.table, ())):
                yield wanted[item["id"]], Entry(datetime.fromisoformat(item["at"]), item["case"])
            left = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])
            if not left:
                return
            time.sleep(wait)
        raise TimeoutError(f"DynamoDB kept {len(left)} look-ups of the suppression list unprocessed")


def name_of(plan: Plan, field: str) -> str:
    """Under which name the values of a field (store.collection.field) are listed: where they come from."""
    path, _, name = field.rpartition(".")
    collection = plan.collections.get(path)
    ways = collection.ways if collection else ()
    return next((way.parent for way in ways if way.field == name and way.parent and not way.own), field)
