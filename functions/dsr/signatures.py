"""Signatures of messages to and from recipients, as the Standard Webhooks specification has them. Pure.

Signed is `id.timestamp.body`; three headers carry id, seconds since 1970 and the signature. A shared
secret signs by HMAC-SHA256 (`v1,` and base64). A key of KMS signs by ECDSA on P-256 with SHA-256, which
the specification does not know: `v1ecdsa,` and base64 of the DER form.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping

from dsr.errors import Refused

TOLERANCE = 300  # seconds that a timestamp may be off
PREFIX = "whsec_"
FEWEST_BYTES = 24  # of a secret, by the specification


def secret_text(secret: bytes) -> str:
    """A secret as both sides write it down."""
    return PREFIX + base64.b64encode(secret).decode()


def read_secrets(text: str) -> list[bytes]:
    """The secrets in `text`, apart by white space: while one is replaced, both sign. Raises ValueError."""
    found = [base64.b64decode(word.removeprefix(PREFIX), validate=True) for word in text.split()]
    if not found or any(len(secret) < FEWEST_BYTES for secret in found):
        raise ValueError(f"a secret is {PREFIX} and the base64 of at least {FEWEST_BYTES} bytes")
    return found


def signed_content(name: str, timestamp: int, body: bytes) -> bytes:
    """What is signed."""
    return f"{name}.{timestamp}.".encode() + body


def sign(secret: bytes, name: str, timestamp: int, body: bytes) -> str:
    """The signature by a shared secret."""
    digest = hmac.digest(secret, signed_content(name, timestamp, body), hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def headers(name: str, timestamp: int, signatures: list[str]) -> dict[str, str]:
    """The headers of a signed message."""
    return {
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def verify(secret: bytes, name: str, given: Mapping[str, str], body: bytes, now: float) -> None:
    """Raises Refused unless the message of that name was signed by the secret, and lately.

    `given`: the headers, names in lower case. Compared in constant time.
    """
    timestamp = given.get("webhook-timestamp", "")
    if given.get("webhook-id", "") != name:
        raise Refused("webhook-id is not the name of the question")
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise Refused("webhook-timestamp is not a number of seconds")
    if abs(now - int(timestamp)) > TOLERANCE:
        raise Refused(f"webhook-timestamp is more than {TOLERANCE} seconds off")
    right = sign(secret, name, int(timestamp), body).encode()
    fits = [hmac.compare_digest(right, s.encode()) for s in given.get("webhook-signature", "").split()[:8]]
    if not any(fits):
        raise Refused("webhook-signature does not fit")
