"""Signed files: a JSON content and the signature over its canonical form, checked with a public key. Pure.

The signature is ECDSA on P-256 with SHA-256, DER-encoded, in base64; `key_id` says which key it is of. What
is signed, and how anybody checks it without this product: docs/proof.md.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from dsr.canonical import canonical
from dsr.errors import DsrError

ALGORITHM = "ECDSA_SHA_256"
_BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")


class SignatureError(DsrError):
    """The file does not hold; the message says why."""


def key_id(key: bytes) -> str:
    """What a public key (DER, SubjectPublicKeyInfo) is called: the beginning of its SHA-256, in hex."""
    return hashlib.sha256(key).hexdigest()[:16]


def document(name: str, content: dict[str, Any], signature: bytes, key: str) -> bytes:
    """The file: `content` under `name`, with the signature of the key called `key`."""
    signed = {"algorithm": ALGORITHM, "key_id": key, "value": base64.b64encode(signature).decode()}
    return json.dumps({name: content, "signature": signed}, ensure_ascii=False, indent=1).encode()


def to_pem(key: bytes) -> str:
    """A public key as KMS gives it (DER, SubjectPublicKeyInfo) in the PEM form of RFC 7468."""
    text = base64.b64encode(key).decode()
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"


def keys_of(pem: bytes) -> Iterator[bytes]:
    """The public keys of a file that holds one or several, in DER."""
    for block in _BLOCK.findall(pem.decode("utf-8", "replace")):
        try:
            yield base64.b64decode("".join(block.split()), validate=True)
        except ValueError:
            continue


def verify(name: str, content: bytes, pem: bytes) -> dict[str, Any]:
    """What stands under `name` in the file, if one of the keys in `pem` signed it. Raises SignatureError."""
    said, signature, value = _read(name, content)
    wanted = str(signature.get("key_id", ""))
    given = list(keys_of(pem))
    if given and wanted not in map(key_id, given):
        named = ", ".join(map(key_id, given))
        raise SignatureError(f"the signature is of another key, {wanted or 'unnamed'}; given: {named}")
    if not fits(canonical(said), value, pem, wanted):
        raise SignatureError("the signature does not fit: another key, or the file was changed")
    return said


def fits(content: bytes, signature: bytes, pem: bytes, wanted: str = "") -> bool:
    """Whether one of the keys in `pem`, or the one called `wanted`, signed these bytes.

    Raises SignatureError where there is no key, or another kind of key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    given = list(keys_of(pem))
    if not given:
        raise SignatureError("the key is no public key in PEM form")
    for der in given:
        if wanted not in ("", key_id(der)):
            continue
        try:
            key = load_der_public_key(der)
        except ValueError:
            raise SignatureError("the key is no public key in PEM form") from None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise SignatureError("the key is of another kind than is signed with here")
        try:
            key.verify(signature, content, ec.ECDSA(SHA256()))
        except InvalidSignature:
            continue
        return True
    return False


def _read(name: str, content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    try:
        whole = json.loads(content)
        said, signature = dict(whole[name]), dict(whole["signature"])
        value = base64.b64decode(signature["value"], validate=True)
    except (ValueError, KeyError, TypeError):
        raise SignatureError(f"the file is no {name} of this product") from None
    if signature.get("algorithm") != ALGORITHM:
        raise SignatureError(f"the signature is of the kind {signature.get('algorithm')!r}, not {ALGORITHM}")
    return said, signature, value
