"""The lines of progress on a page, and whether the page renews itself to show them."""

from dataclasses import dataclass
from typing import Any

from dsr.case import Case
from dsr.web.http import Request

REFRESH_SECONDS = 5


@dataclass(frozen=True)
class Place:
    """A line: the records of one visit, a mark for the style sheet, and the word for how far it is."""

    title: str
    mark: str
    word: str


def refreshing(request: Request, case: Case, running: bool) -> dict[str, Any]:
    """What the page needs to renew itself while something is `running`, until told not to."""
    wanted = running and "still" not in request.query
    return {
        "refresh": REFRESH_SECONDS if wanted else 0,
        "here": f"{request.base}/requests/{case.case_id}",
    }
