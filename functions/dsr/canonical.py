"""The one form of a JSON value whose bytes are hashed and signed. Pure.

Keys sorted, no white space, UTF-8: the form of RFC 8785 for texts, whole numbers, lists and mappings, which
is all there is in what we hash and sign. Every language can make it.
"""

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """The bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """SHA-256 of the bytes, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()
