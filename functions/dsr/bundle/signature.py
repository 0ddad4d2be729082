"""The signature of a bundle: over the manifest as it stands in the zip, so that openssl can check it.

`manifest.json` names every other file with its size and SHA-256; `manifest.sig` is the signature of its
bytes: ECDSA on P-256 with SHA-256, DER-encoded, by the key that also signs certificates.
"""

import hashlib

from dsr.aws import client
from dsr.certificate import ALGORITHM

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"


def sign_manifest(manifest: bytes, signing_key: str) -> bytes:
    """The signature of these bytes by the KMS key. The same bytes get another one each time: ECDSA draws."""
    answer = client("kms").sign(
        KeyId=signing_key,
        # KMS takes at most 4,096 bytes of a message, and a manifest is longer: its hash is signed.
        Message=hashlib.sha256(manifest).digest(),
        MessageType="DIGEST",
        SigningAlgorithm=ALGORITHM,
    )
    return bytes(answer["Signature"])
