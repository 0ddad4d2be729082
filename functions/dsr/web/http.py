"""A request and an answer of API Gateway's REST proxy, as the pages see them."""

import base64
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from dsr.identity import SESSION_SECONDS

MOST_BODY = 64 * 1024  # bytes of a form; the largest honest one is a few kilobytes


@dataclass(frozen=True)
class Cookie:
    """The session cookie of a set of pages: its name, and how many seconds a browser keeps it."""

    # __Host-: only this host, only over TLS, the whole of it; no neighbour can plant one.
    name: str
    seconds: int


REQUESTERS = Cookie("__Host-dsr", SESSION_SECONDS)


@dataclass(frozen=True)
class Request:
    """One request. `path` is without `base`, the part of the address that belongs to stage or domain."""

    method: str
    path: str
    base: str = ""
    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    source: str = ""  # address of the sender as API Gateway saw it
    parameters: dict[str, str] = field(default_factory=dict)  # from the path
    cookie: str = ""  # the value of our session cookie
    body: bytes = b""  # of a form with files, as it came

    def at(self, parameters: dict[str, str]) -> "Request":
        """The same with the parameters of the path."""
        return replace(self, parameters=parameters)


@dataclass(frozen=True)
class Answer:
    """One answer. `form_to`: origins that a form on the page may lead to, beside our own."""

    status: int = 200
    body: str = ""
    kind: str = "text/html; charset=utf-8"
    location: str = ""
    cookie: str | None = None  # a new value for the session cookie; "" has the browser forget it
    form_to: tuple[str, ...] = ()
    cached: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def see(request: Request, path: str) -> Answer:
    """303: go and GET `path` of ours."""
    return Answer(303, location=request.base + path)


def read(event: dict[str, Any], cookie: Cookie = REQUESTERS) -> Request:
    """The request in a proxy event. A body that is no form, or too large, reads as an empty form."""
    context = event.get("requestContext") or {}
    path = _path(event)
    full = str(context.get("path") or event["path"])
    base = full.removesuffix("/").removesuffix(path.removesuffix("/"))
    many = event.get("multiValueHeaders") or {}
    headers = {name.lower(): str(values[-1]) for name, values in many.items() if values}
    headers |= {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    identity = context.get("identity") or {}
    return Request(
        method=event["httpMethod"],
        path=path,
        base=base,
        query={name: str(value) for name, value in (event.get("queryStringParameters") or {}).items()},
        form=_form(event, headers) if event["httpMethod"] == "POST" else {},
        headers=headers,
        source=str(identity.get("sourceIp") or ""),
        cookie=_cookie(headers.get("cookie", ""), cookie.name),
        body=_files(event, headers),
    )


def _cookie(header: str, wanted: str) -> str:
    # Pair by pair, so that a malformed cookie of somebody else does not hide ours.
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return next((value for name, _, value in pairs if name == wanted), "")


def _path(event: dict[str, Any]) -> str:
    # Behind a custom domain with a base path, `path` has that base in front; the parameters of the
    # API's own resource do not.
    resource, given = str(event.get("resource") or ""), event.get("pathParameters") or {}
    if not resource:
        return unquote(str(event["path"]))
    for name, value in given.items():
        resource = resource.replace("{" + name + "+}", str(value)).replace("{" + name + "}", str(value))
    return unquote(resource) if "{" not in resource else unquote(str(event["path"]))


def _form(event: dict[str, Any], headers: dict[str, str]) -> dict[str, str]:
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode("utf-8", "replace")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if len(body) > MOST_BODY or kind != "application/x-www-form-urlencoded":
        return {}
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}
    return {name: values[0].replace("\x00", "") for name, values in fields.items()}


def _files(event: dict[str, Any], headers: dict[str, str]) -> bytes:
    """The body of a form with files. Only pages that expect one take it apart."""
    body = event.get("body") or ""
    if event["httpMethod"] != "POST" or not headers.get("content-type", "").startswith("multipart/form-data"):
        return b""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "surrogateescape")


# One place for what every answer says to the browser. Sources: OWASP Secure Headers, CSP Level 3.
_FIXED = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}


def write(answer: Answer, head: bool = False, cookie: Cookie = REQUESTERS) -> dict[str, Any]:
    """The proxy answer, with the headers that every answer has. `head`: leave the body out."""
    # A form's own redirect counts as its target in Chromium: the sign-in page and the bucket must be named.
    form_to = " ".join(("'self'", *answer.form_to))
    headers = {
        **_FIXED,
        "Content-Type": answer.kind,
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'self'; img-src 'self'; form-action {form_to}; "
            "base-uri 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "public, max-age=31536000, immutable" if answer.cached else "no-store",
        **answer.headers,
    }
    if answer.location:
        headers["Location"] = quote(answer.location, safe="/:?#[]@!$&'()*+,;=%~-._")
    made: dict[str, Any] = {
        "statusCode": answer.status,
        "headers": headers,
        "body": "" if head else answer.body,
        "isBase64Encoded": False,
    }
    if answer.cookie is not None:
        age = cookie.seconds if answer.cookie else 0
        value = f"{cookie.name}={answer.cookie}; Path=/; Max-Age={age}; Secure; HttpOnly; SameSite=Lax"
        made["multiValueHeaders"] = {"Set-Cookie": [value]}
    return made
