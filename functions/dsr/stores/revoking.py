"""Tokens of sign-ins with somebody else: revoked where they were given out, as RFC 7009 has it."""

import json
import time
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from dsr.errors import StoreFault
from dsr.posting import Posted, TooMuch, Unreachable, Unsafe, post
from dsr.settings import read

WAITS = (1.0, 3.0)  # seconds before each further try
_MOST_BYTES = 64 * 1024
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Settings:
    """Environment of the worker. `local_recipients`: plain HTTP and private addresses are called too."""

    local_recipients: str = "false"


def revoke(url: str, token: str, where: str) -> None:
    """Have the token revoked; one that is no longer valid is what was wanted.

    `where` names the field. Raises StoreFault where the provider does not take it back.
    """
    host, said = urlsplit(url).hostname, ""
    for wait in (*WAITS, None):
        try:
            answer = _post(url, token)
            if answer.status == 200 or _is_invalid(answer):
                return
            said = f"{host} answers {answer.status}"
            if answer.status not in _AGAIN:
                break
        except Unreachable as error:
            said = f"{host}: {error}"
        except (Unsafe, TooMuch) as error:
            raise StoreFault("not_revoked", f"{where}: {host}: {error}") from None
        if wait is not None:
            time.sleep(wait)
    raise StoreFault("not_revoked", f"{where}: {said}")


def _post(url: str, token: str) -> Posted:
    body = urlencode({"token": token, "token_type_hint": "refresh_token"}).encode()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded", "User-Agent": "dsr", "Connection": "close",
    }  # fmt: skip
    return post(url, headers, body, _MOST_BYTES, read(Settings).local_recipients == "true")


def _is_invalid(answer: Posted) -> bool:
    """Whether it says that the token is none: 200 by RFC 7009, 2.2; some say 400 `invalid_token`."""
    if answer.status != 400:
        return False
    try:
        said = json.loads(answer.body)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("error") == "invalid_token"
