"""What the company's own site reports: an account that was deleted there opens a deletion case here.

The site's word is proof: its bus takes events only from the site. The locators that the event
carries find what is left, even where the account's own record is gone already.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from dsr import casekey, clock
from dsr.case import Case, Proof, Requester, Right, State, new_case_id
from dsr.casebook import Casebook, now, seal_requester
from dsr.datamap.plan import Plan, load
from dsr.errors import Refused
from dsr.plans import keep
from dsr.settings import read
from dsr.workflow import start

ACCOUNT_DELETED = "account.deleted"


@dataclass(frozen=True)
class Settings:
    """Environment of take_site_event."""

    cases_table: str
    case_keys_table: str
    case_key: str
    staging_bucket: str
    request_workflow: str


def take_site_event(event: dict[str, Any]) -> dict[str, str]:
    """Open the deletion case of an `account.deleted` event. Returns {"case_id"}.

    `event`: as EventBridge delivers it; `detail` has `locators` (values by `store.collection.field`,
    such as {"members.members.member_id": ["m-1"]}) and may have `country`. Only ids are taken, never an
    address or a number that names a person: an event that fails waits in a queue. The same event
    delivered twice (EventBridge: at least once) is one case. Raises Refused for an event without
    locators that the data map knows.
    """
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    requester = read_detail(event["detail"], load())
    # The event's own id, so that a second delivery meets the first one's case.
    case_id = new_case_id(hashlib.sha256(f"site|{event['id']}".encode()).digest()[:10])
    recipient = casekey.create(case_id, settings.case_keys_table, settings.case_key)
    regimes = clock.regimes_for(requester.country)
    at = now()
    case = Case(
        case_id=case_id,
        right=Right.DELETION,
        state=State.RESOLVING,
        version=1,
        received_at=at,
        due_at=clock.deadline(at, regimes),
        updated_at=at,
        regimes=regimes,
        map_version=keep(settings.staging_bucket),
        recipient=recipient,
        sealed=seal_requester(recipient, requester),
        contacts=(Proof.CONFIRMED,) * len(requester.contacts),
        approved=True,
        channel="site",
    )
    book.open(case, "site")
    start(book.get(case_id), settings.request_workflow)
    return {"case_id": case_id}


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
