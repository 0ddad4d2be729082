"""One request, from API Gateway's event to its answer; an error becomes a page and leaves no text behind."""

import time
from typing import Any, Protocol

from dsr.log import describe, logger
from dsr.web.http import Answer, Cookie, Request, read, write
from dsr.web.router import Faults, Route, dispatch

# Shown when not even the page for errors can be made.
_PLAIN = "Something went wrong on our side. Please try again in a few minutes.\n"


class Pages(Protocol):
    """A set of pages: the public ones, the desk's."""

    @property
    def cookie(self) -> Cookie:
        """The cookie of their sessions."""

    def routes(self) -> tuple[Route, ...]:
        """Every path and method."""

    def faults(self) -> Faults:
        """The pages for what goes wrong."""

    def own(self) -> str:
        """The public address of the pages."""


def serve(event: dict[str, Any], pages: Pages) -> dict[str, Any]:
    """The proxy answer to a proxy event; never raises."""
    began = time.monotonic()
    request = read(event, pages.cookie)
    try:
        answer, route = dispatch(request, pages.routes(), pages.faults(), pages.own)
    except Exception as error:  # noqa: BLE001  whatever it is, the person gets a page and Lambda's log no text
        logger.error("the page failed", extra={"method": request.method, **describe(error)})
        answer, route = _broken(request, pages), "failed"
    # The pattern, not the path: that may hold a link's token.
    took = round((time.monotonic() - began) * 1000)
    logger.info("answered", method=request.method, route=route, status=answer.status, ms=took)
    return write(answer, request.method == "HEAD", pages.cookie)


def _broken(request: Request, pages: Pages) -> Answer:
    try:
        return pages.faults().broken(request)
    except Exception as error:  # noqa: BLE001
        logger.error("the page for errors failed too", extra=describe(error))
        return Answer(500, _PLAIN, "text/plain; charset=utf-8")
