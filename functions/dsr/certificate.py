"""The certificate of a deletion: what went, what stays and why, signed so that anyone can check it. Pure.

The signed bytes are the canonical JSON of `certificate`: keys sorted, no white space, UTF-8 (the form
of RFC 8785 for texts and whole numbers, which is all there is in it). The signature is ECDSA on P-256
with SHA-256, DER-encoded, in base64.
"""

import base64
import json
from datetime import datetime
from typing import Any

from dsr.case import Case
from dsr.errors import DsrError

ALGORITHM = "ECDSA_SHA_256"


class CertificateError(DsrError):
    """The certificate does not hold; the message says why."""


def certificate_of(
    case: Case, controller: dict[str, str], erased: dict[str, int], certified_at: datetime
) -> dict[str, Any]:
    """The content: no personal data. `erased`: records that went or were masked, by collection path."""
    collections = []
    for path in sorted(case.plan.keys() | erased.keys()):
        planned = case.plan.get(path, {"treatment": "delete", "records": 0})
        store, _, name = path.partition(".")
        entry = {
            "store": store,
            "collection": name,
            "treatment": planned["treatment"],
            "found": planned["records"],
            "erased": erased.get(path, 0),
            "remaining": 0,
        }
        if planned["treatment"] == "keep":
            entry |= {"kept": planned["records"], "reason": planned["reason"], "law": planned["law"]}
            entry |= {"until": planned.get("until", "")}
        elif planned["treatment"] != "delete":
            entry |= {"fields": list(planned.get("fields", ()))}
        collections.append(entry)
    return {
        "kind": "deletion",
        "version": 1,
        "case": case.case_id,
        "controller": controller["name"],
        "map_version": case.map_version,
        "requested_at": case.received_at.isoformat(),
        "confirmed_at": case.confirmed_at.isoformat() if case.confirmed_at else "",
        "verified_at": certified_at.isoformat(),
        "verification": {
            "method": "every collection was read again by every locator",
            "rounds": case.round + 1,
        },
        "outcome": "erased_in_part" if any("kept" in c for c in collections) else "erased",
        "collections": collections,
    }


def canonical(certificate: dict[str, Any]) -> bytes:
    """The bytes that are signed."""
    return json.dumps(certificate, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def document(certificate: dict[str, Any], signature: bytes) -> bytes:
    """The file that the person gets."""
    signed = {"algorithm": ALGORITHM, "value": base64.b64encode(signature).decode()}
    return json.dumps(
        {"certificate": certificate, "signature": signed}, ensure_ascii=False, indent=1
    ).encode()


def to_pem(key: bytes) -> str:
    """A public key as KMS gives it (DER, SubjectPublicKeyInfo) in the PEM form of RFC 7468."""
    text = base64.b64encode(key).decode()
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"


def verify(content: bytes, pem: bytes) -> dict[str, Any]:
    """The certificate in the file `content`, if the key signed it. Raises CertificateError."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        said = json.loads(content)
        certificate, signature = said["certificate"], said["signature"]
        value = base64.b64decode(signature["value"], validate=True)
    except (ValueError, KeyError, TypeError):
        raise CertificateError("the file is no certificate of this product") from None
    if signature.get("algorithm") != ALGORITHM:
        raise CertificateError(
            f"the signature is of the kind {signature.get('algorithm')!r}, not {ALGORITHM}"
        )
    try:
        public_key_of(pem).verify(value, canonical(certificate), ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise CertificateError("the signature does not fit: another key, or the file was changed") from None
    return dict(certificate)


def public_key_of(pem: bytes) -> Any:
    """The key that certificates and bundles are checked with. Raises CertificateError."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except ValueError:
        raise CertificateError("the key is no public key in PEM form") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateError("the key is of another kind than is signed with here")
    return key
