"""The desk: what waits, one case, the decisions of agents and approvers."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from dsr import settings
from dsr.casebook import Casebook
from dsr.datamap import plan
from dsr.web.desk.door import DeskDoor
from dsr.web.desk.frame import DeskFrame
from dsr.web.desk.pages import DeskPages
from dsr.web.serve import serve


@dataclass(frozen=True)
class DeskWeb:
    """What this function is told by its environment."""

    cases_table: str
    case_keys_table: str
    front_door_table: str
    mac_key: str
    staging_bucket: str
    request_workflow: str
    case_key: str
    public_url_parameter: str
    sign_in_parameter: str


@cache
def _pages() -> DeskPages:
    told = settings.read(DeskWeb)
    frame = DeskFrame(
        plan=plan.load,
        public_url_parameter=told.public_url_parameter,
        sign_in_parameter=told.sign_in_parameter,
        book=Casebook(told.cases_table, told.case_keys_table),
        door=DeskDoor(told.front_door_table, told.mac_key),
        staging_bucket=told.staging_bucket,
        workflow=told.request_workflow,
        case_key=told.case_key,
    )
    return DeskPages(frame)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one request of API Gateway's REST proxy."""
    return serve(event, _pages())
