"""The public half of the key that signs certificates, as everybody may fetch it."""

from functools import cache

from dsr.aws import client
from dsr.certificate import to_pem


@cache
def public_key(key: str) -> str:
    """The public key of the KMS key `key` in PEM form. It never changes, so each worker asks once."""
    return to_pem(client("kms").get_public_key(KeyId=key)["PublicKey"])
