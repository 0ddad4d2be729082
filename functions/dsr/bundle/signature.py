"""The signature of a bundle: over the manifest as it stands in the zip, so that openssl can check it.

`manifest.json` names every other file with its size and SHA-256 (of a very large one the SHA-256 of each
piece, or its CRC-32 where S3 copied it); `manifest.sig` is the signature of its bytes: ECDSA on P-256 with
SHA-256, DER-encoded, by the key that also signs certificates.
"""

import hashlib

from dsr.signing_key import sign_digest

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"


def sign_manifest(manifest: bytes, signing_keys: str) -> bytes:
    """The signature of these bytes by the key. The same bytes get another one each time: ECDSA draws."""
    return sign_digest(hashlib.sha256(manifest).digest(), signing_keys)
