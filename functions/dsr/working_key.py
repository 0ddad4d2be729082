"""A secret key for keyed hashes in this process, from a KMS key that nobody can read out.

One call to KMS for each process and purpose, not one for each value: at ten million values that would be
$30 and hours (KMS: $0.03 per 10,000 calls). The key is HMAC-SHA-256 of the purpose, so every process
derives the same one; who may not call GenerateMac with the KMS key derives none.
"""

from functools import cache

from dsr.aws import client


@cache
def working_key(mac_key: str, purpose: str) -> bytes:
    """32 secret bytes for `purpose` (a fixed word of the code), from the KMS key `mac_key`."""
    answer = client("kms").generate_mac(
        KeyId=mac_key, Message=f"working-key|{purpose}".encode(), MacAlgorithm="HMAC_SHA_256"
    )
    return bytes(answer["Mac"])
