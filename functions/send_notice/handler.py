"""Mail a notice of a case to its requester, or text them the code for their phone number."""

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
    text_messages: str = "false"
    throttle_texts: int = 5  # a day to one number
    most_texts: int = 100  # an hour


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
        texts=told.text_messages == "true",
        most_texts=told.throttle_texts,
        most_texts_of_all=told.most_texts,
    )


@step
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Takes {case_id, notice, contact?}; returns {outcome: done, sent: the number of messages}."""
    sent = _notices().send(event["case_id"], event["notice"], event.get("contact"))
    return {"outcome": "done", "sent": sent}
