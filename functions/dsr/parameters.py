"""Values that an operator may change without a deployment: SSM parameters, kept for a minute per worker."""

import json
import time
from dataclasses import dataclass

from dsr.aws import client
from dsr.errors import SettingMissing

KEPT_SECONDS = 60
_kept: dict[str, tuple[float, str]] = {}


def parameter(name: str) -> str:
    """The text of the parameter `name`, at most a minute old. Raises botocore's ParameterNotFound."""
    known = _kept.get(name)
    if known and known[0] > time.monotonic():
        return known[1]
    text = str(client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
    _kept[name] = (time.monotonic() + KEPT_SECONDS, text)
    return text


def public_url(name: str) -> str:
    """The address that people reach the public pages at, without a slash at its end."""
    return parameter(name).strip().rstrip("/")


@dataclass(frozen=True)
class SignIn:
    """The company's sign-in: `domain` is the base of its hosted pages, `issuer` what its tokens name."""

    domain: str
    client_id: str
    issuer: str


def sign_in(name: str) -> SignIn | None:
    """The sign-in of account holders, or None where none is configured (`{}`). Raises SettingMissing."""
    said = json.loads(parameter(name) or "{}")
    if not said:
        return None
    try:
        return SignIn(said["domain"].rstrip("/"), said["client_id"], said["issuer"])
    except KeyError as missing:
        raise SettingMissing(f"the parameter {name} lacks {missing}") from None
