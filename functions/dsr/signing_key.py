"""The keys that sign certificates and heads: the first signs, all can be checked with.

SIGNING_KEYS    KMS keys, the newest first: earlier ones stay listed as long as what they signed counts
"""

import hashlib
from functools import cache
from typing import Any

from dsr.aws import client
from dsr.canonical import canonical
from dsr.signing import ALGORITHM, document, key_id, to_pem


def sign(name: str, content: dict[str, Any], keys: str) -> bytes:
    """The signed file of `content` under `name`. `keys`: KMS keys, comma between, the first signs."""
    signature = sign_digest(hashlib.sha256(canonical(content)).digest(), keys)
    return document(name, content, signature, key_id(_public(_signer(keys))))


def sign_digest(sha256: bytes, keys: str) -> bytes:
    """The signature of what has this hash: KMS takes at most 4,096 bytes of a message itself."""
    answer = client("kms").sign(
        KeyId=_signer(keys), Message=sha256, MessageType="DIGEST", SigningAlgorithm=ALGORITHM
    )
    return bytes(answer["Signature"])


def _signer(keys: str) -> str:
    return keys.split(",", maxsplit=1)[0]


@cache
def _public(key: str) -> bytes:
    """The public half in DER. It never changes, so each worker asks once."""
    return bytes(client("kms").get_public_key(KeyId=key)["PublicKey"])


def public_keys(keys: str) -> str:
    """All public keys in one PEM file, the newest first, each under a line that says its id."""
    parts = []
    for number, key in enumerate(keys.split(",")):
        der = _public(key)
        since = "signs now" if number == 0 else "signed before"
        parts.append(f"Key {key_id(der)} ({since})\n{to_pem(der)}")
    return "\n".join(parts)
