"""What the company's own systems report: an account that was deleted, a collection that was restored.

The site's word is proof: its bus takes events only from the site. The locators that an event carries find
what is left, even where the account's own record is gone already. Of a restored collection those
count that are on the list of the erased: each person who came back is erased again by a case of its own.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr.case import Requester
from dsr.casebook import Casebook
from dsr.datamap.plan import Plan, load
from dsr.errors import Refused
from dsr.opening import Opening
from dsr.plans import keep
from dsr.settings import read
from dsr.suppression import Suppression, name_of
from dsr.workflow import start

ACCOUNT_DELETED, COLLECTION_RESTORED = "account.deleted", "collection.restored"


@dataclass(frozen=True)
class Settings:
    """Environment of take_site_event."""

    cases_table: str
    case_keys_table: str
    case_key: str
    staging_bucket: str
    request_workflow: str
    suppression_table: str
    suppression_key: str


def take_event(event: dict[str, Any]) -> dict[str, Any]:
    """Do what an event of the site's bus asks for, by its type."""
    if event.get("detail-type") == COLLECTION_RESTORED:
        return {"case_ids": take_restored(event)}
    return {**take_site_event(event)}


def take_site_event(event: dict[str, Any]) -> dict[str, str]:
    """Open the deletion case of an `account.deleted` event. Returns {"case_id"}.

    `event`: as EventBridge delivers it; `detail` has `locators` (values by `store.collection.field`,
    such as {"members.members.member_id": ["m-1"]}) and may have `country`. Only ids are taken, never an
    address or a number that names a person: an event that fails waits in a queue. The same event
    delivered twice (EventBridge: at least once) is one case. Raises Refused for an event without
    locators that the data map knows.
    """
    # The event's own id, so that a second delivery meets the first one's case.
    return {"case_id": _open(read(Settings), f"site|{event['id']}", read_detail(event["detail"], load()))}


def take_restored(event: dict[str, Any]) -> list[str]:
    """Open a deletion case for each erased person who came back with a restored or imported collection.

    `event`: `detail` has `locators` as `account.deleted` has, of whatever was restored, erased or not: what
    is not on the list is forgotten at once. Returns the cases. Raises Refused for an event without
    locators that the data map knows.
    """
    settings, plan = read(Settings), load()
    given = read_detail(event["detail"], plan).locators
    locators = ((name_of(plan, field), value) for field, values in given.items() for value in values)
    came_back: dict[str, tuple[datetime, dict[str, list[str]]]] = {}
    for (name, value), entry in Suppression(settings.suppression_table, settings.suppression_key).entries_of(
        locators
    ):
        at, held = came_back.setdefault(entry.case_id, (entry.at, {}))
        held.setdefault(name, []).append(value)
        came_back[entry.case_id] = (max(at, entry.at), held)
    return [
        _open(settings, f"restore|{event['id']}|{case_id}", Requester((), locators=held), at)
        for case_id, (at, held) in sorted(came_back.items())
    ]


def _open(settings: Settings, seed: str, requester: Requester, erased_at: datetime | None = None) -> str:
    """Open and start the case of an event; `seed` names it. `erased_at`: when its person was erased
    before."""
    book = Casebook(settings.cases_table, settings.case_keys_table)
    version = keep(settings.staging_bucket)
    opening = Opening(book, settings.case_key, version)
    channel = "restore" if erased_at else "site"
    case = opening.open(seed, requester, channel, erased_at=erased_at)
    start(case, settings.request_workflow)
    return case.case_id


def read_detail(detail: dict[str, Any], plan: Plan) -> Requester:
    """Who the event is about. Raises Refused for locators that find nothing anywhere. Pure."""
    known = {
        f"{c.path}.{name}"
        for c in plan.collections.values()
        for name, f in c.fields.items()
        if not f.category.startswith("user.contact")
    }
    locators = {
        name: [str(v) for v in values if str(v)]
        for name, values in (detail.get("locators") or {}).items()
        if name in known and isinstance(values, list)
    }
    if not any(locators.values()):
        raise Refused("the event has no locators that the data map knows")
    return Requester((), country=str(detail.get("country") or ""), locators=locators)
