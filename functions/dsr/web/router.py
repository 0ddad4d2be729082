"""From a request to the function that answers it: one table of routes, one check against forgery.

Small on purpose: Powertools' event handler adds 72 ms to a cold start, more than half of what the
budget allows for all of our own code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from dsr.web.http import Answer, Request

Page = Callable[[Request], Answer]


@dataclass(frozen=True)
class Route:
    """`method` and `pattern` (segments; `{name}` takes one) to the function. A GET changes nothing."""

    method: str
    pattern: str
    page: Page

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters of `path` if it fits the pattern, else None."""
        ours, theirs = self.pattern.strip("/").split("/"), path.strip("/").split("/")
        if len(ours) != len(theirs):
            return None
        taken: dict[str, str] = {}
        for mine, given in zip(ours, theirs, strict=True):
            if mine.startswith("{"):
                taken[mine[1:-1]] = given
            elif mine != given:
                return None
        return taken


@dataclass(frozen=True)
class Faults:
    """The pages for what goes wrong: no route, not this method, another site's form, an error of ours."""

    not_found: Page
    wrong_method: Page
    forged: Page
    broken: Page


def dispatch(
    request: Request, routes: Sequence[Route], faults: Faults, own: Callable[[], str]
) -> tuple[Answer, str]:
    """The answer of the first route that fits, and its pattern. HEAD is a GET without its body.

    `own` gives the public address; it is asked only when a POST names another origin than the host.
    """
    method = "GET" if request.method == "HEAD" else request.method
    fitting = [(route, taken) for route in routes if (taken := route.match(request.path)) is not None]
    if not fitting:
        return faults.not_found(request), "none"
    for route, taken in fitting:
        if route.method == method:
            if method != "GET" and is_forged(request, own):
                return faults.forged(request), route.pattern
            return route.page(request.at(taken)), route.pattern
    allowed = ", ".join(sorted({route.method for route, _ in fitting}))
    return replace(faults.wrong_method(request), headers={"Allow": allowed}), fitting[0][0].pattern


def is_forged(request: Request, own: Callable[[], str]) -> bool:
    """Whether a page of somebody else made the browser send this.

    The session cookie is SameSite=Lax, so a foreign page's POST comes without it; this refuses the
    POST itself. `Origin: null` is what our own pages send under `Referrer-Policy: no-referrer` and
    says nothing; browsers that send it also send Sec-Fetch-Site. A program sends neither.
    """
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get("origin", "null")
    if origin == "null":
        return False
    theirs = urlsplit(origin).netloc
    return theirs != request.headers.get("host", "") and theirs != urlsplit(own()).netloc
