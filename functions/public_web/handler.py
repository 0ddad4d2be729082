"""The public pages: form, proof of identity, progress, download, deletion."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from dsr import settings
from dsr.casebook import Casebook
from dsr.datamap import plan
from dsr.front_door import FrontDoor
from dsr.requests import Requests
from dsr.web.frame import Frame
from dsr.web.public import PublicPages
from dsr.web.serve import serve


@dataclass(frozen=True)
class PublicWeb:
    """What this function is told by its environment."""

    cases_table: str
    case_keys_table: str
    front_door_table: str
    case_key: str
    mac_key: str
    request_workflow: str
    send_notice_function: str
    bundles_bucket: str
    public_url_parameter: str
    sign_in_parameter: str
    signing_keys: str
    cooling_hours: int = 72
    link_seconds: int = 300
    throttle_source: int = 30  # requests and codes an hour
    text_messages: str = "false"
    throttle_texts: int = 5  # requests an hour that name a phone number


@cache
def _pages() -> PublicPages:
    told = settings.read(PublicWeb)
    door = FrontDoor(told.front_door_table, told.mac_key)
    requests = Requests(
        book=Casebook(told.cases_table, told.case_keys_table),
        door=door,
        case_key=told.case_key,
        request_workflow=told.request_workflow,
        send_notice=told.send_notice_function,
        bundles=told.bundles_bucket,
        link_seconds=told.link_seconds,
        cooling_hours=told.cooling_hours,
    )
    frame = Frame(
        plan=plan.load,
        public_url_parameter=told.public_url_parameter,
        sign_in_parameter=told.sign_in_parameter,
        requests=requests,
        door=door,
        most_per_source=told.throttle_source,
        signing_keys=told.signing_keys,
        texts=told.text_messages == "true",
        most_texts_per_source=told.throttle_texts,
    )
    return PublicPages(frame)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one request of API Gateway's REST proxy."""
    return serve(event, _pages())
