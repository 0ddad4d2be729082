"""Signing in with the company's own accounts: OpenID Connect, authorization code with PKCE.

Only `sub` is taken from the token, and for the desk its groups; an email in it is no proof of a mailbox.
"""

import base64
import json
import time
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from dsr.errors import Refused
from dsr.parameters import SignIn

TIMEOUT_SECONDS = 5
RECENT_SECONDS = 10 * 60  # how old the sign-in itself may be
SKEW_SECONDS = 60
MOST_BYTES = 64 * 1024


class Stale(Refused):
    """The person signed in too long ago; they must do so again."""


def origin(address: str) -> str:
    """Scheme and host of an address, as a Content-Security-Policy names it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def leave(sign_in: SignIn, back: str, state: str, nonce: str, challenge: str) -> str:
    """Where to send the browser. `prompt` and `max_age` ask for the password even of who is signed in."""
    return f"{sign_in.domain}/oauth2/authorize?" + urlencode(
        {
            "response_type": "code",
            "client_id": sign_in.client_id,
            "redirect_uri": back,
            "scope": "openid",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "prompt": "login",
            "max_age": "0",
        }
    )


def sign_out(sign_in: SignIn, back: str) -> str:
    """Where to send the browser for the sign-in page to forget it too, and to send it `back`."""
    return f"{sign_in.domain}/logout?" + urlencode({"client_id": sign_in.client_id, "logout_uri": back})


def account(sign_in: SignIn, back: str, code: str, verifier: str, nonce: str) -> str:
    """The account that signed in: the `sub` of the ID token that `code` is exchanged for.

    Raises Refused (Stale among them) when the exchange or the token is not as it must be.
    """
    return check(_exchange(sign_in, back, code, verifier), sign_in, nonce, time.time())


def member(sign_in: SignIn, back: str, code: str, verifier: str, nonce: str) -> tuple[str, frozenset[str]]:
    """Like `account`, with the groups that the account belongs to (Cognito's claim `cognito:groups`)."""
    said = _exchange(sign_in, back, code, verifier)
    groups = said.get("cognito:groups")
    known = groups if isinstance(groups, list) else []
    return check(said, sign_in, nonce, time.time()), frozenset(g for g in known if isinstance(g, str))


def _exchange(sign_in: SignIn, back: str, code: str, verifier: str) -> dict[str, Any]:
    parts = urlsplit(sign_in.domain)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1") or str(parts.hostname).endswith(".localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        # Without TLS nobody vouches for the token: its signature is not looked at, see `check`.
        raise Refused("the sign-in domain must be https")
    body = urlencode(
        {
            "grant_type": "authorization_code",
            "client_id": sign_in.client_id,
            "redirect_uri": back,
            "code": code,
            "code_verifier": verifier,
        }
    ).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    request = Request(f"{sign_in.domain}/oauth2/token", body, headers)  # noqa: S310  https, checked above
    try:
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            token = json.loads(answer.read(MOST_BYTES))["id_token"]
        claims = str(token).split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except (URLError, TimeoutError, ValueError, KeyError, IndexError, TypeError) as error:
        raise Refused(f"the code could not be exchanged: {type(error).__name__}") from None
    if not isinstance(said, dict):
        raise Refused("the token holds no claims")
    return said


def check(said: dict[str, Any], sign_in: SignIn, nonce: str, now: float) -> str:
    """The `sub` of an ID token's claims. Raises Refused naming the wrong claim, Stale for an old sign-in.

    The signature is not checked: the token came straight from the token endpoint over TLS, which
    OpenID Connect Core 1.0 section 3.1.3.7 point 6 allows in its place.
    """
    audience = said.get("aud")
    right = {
        "iss": said.get("iss") == sign_in.issuer,
        "aud": audience in (sign_in.client_id, [sign_in.client_id]),
        "azp": said.get("azp", sign_in.client_id) == sign_in.client_id,
        "token_use": said.get("token_use", "id") == "id",
        "nonce": said.get("nonce") == nonce,
        "exp": _number(said.get("exp")) + SKEW_SECONDS > now,
        "iat": _number(said.get("iat")) - SKEW_SECONDS < now,
        "sub": isinstance(said.get("sub"), str) and bool(said.get("sub")),
    }
    if wrong := [claim for claim, fits in right.items() if not fits]:
        raise Refused(f"the token's {', '.join(wrong)} is not as it must be")
    if _number(said.get("auth_time")) + RECENT_SECONDS < now:
        raise Stale("the sign-in itself is too old")
    return str(said["sub"])


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("-inf")
