"""Mail a notice of a case to its requester."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from dsr import parameters, settings
from dsr.boundary import step
from dsr.casebook import Casebook
from dsr.datamap import plan
from dsr.front_door import FrontDoor
from dsr.notices.send import Notices


@dataclass(frozen=True)
class SendNotice:
    """What this function is told by its environment."""

    cases_table: str
    case_keys_table: str
    front_door_table: str
    mac_key: str
    public_url_parameter: str
    sender: str
    identity_days: int = 14
    throttle_address: int = 5  # codes an hour


@cache
def _notices() -> Notices:
    told = settings.read(SendNotice)
    return Notices(
        book=Casebook(told.cases_table, told.case_keys_table),
        door=FrontDoor(told.front_door_table, told.mac_key),
        controller=lambda: plan.load().controller,
        public_url=lambda: parameters.public_url(told.public_url_parameter),
        sender=told.sender,
        identity_days=told.identity_days,
        most_codes=told.throttle_address,
    )


@step
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Takes {case_id, notice, contact?}; returns {outcome: done, sent: the number of mails}."""
    sent = _notices().send(event["case_id"], event["notice"], event.get("contact"))
    return {"outcome": "done", "sent": sent}
