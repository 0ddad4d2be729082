"""The key of one case: what lies under it becomes unreadable everywhere on the day it is destroyed.

The framing is age (https://age-encryption.org/v1) by the pyrage library: X25519 and
ChaCha20-Poly1305, each sealed text complete or refused. The secret half is wrapped by KMS under
the case id as encryption context and kept in a table without point-in-time recovery or backups.
The public half stands on the case: functions that only write need no right to the secret.
"""

from functools import lru_cache
from typing import Any

from pyrage import decrypt, encrypt, x25519  # type: ignore[import-untyped]

from dsr.aws import client
from dsr.errors import NotFound


def create(case_id: str, table: str, kms_key: str) -> str:
    """Make, wrap and store the key of a case; returns its public half. A second call returns the first's."""
    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    wrapped = client("kms").encrypt(
        KeyId=kms_key, Plaintext=str(identity).encode(), EncryptionContext={"case": case_id}
    )["CiphertextBlob"]
    dynamodb = client("dynamodb")
    try:
        dynamodb.put_item(
            TableName=table,
            Item={"case_id": {"S": case_id}, "wrapped": {"B": wrapped}, "recipient": {"S": recipient}},
            ConditionExpression="attribute_not_exists(case_id)",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return str(_item(case_id, table)["recipient"]["S"])
    return recipient


def _item(case_id: str, table: str) -> dict[str, Any]:
    item = client("dynamodb").get_item(TableName=table, Key={"case_id": {"S": case_id}}, ConsistentRead=True)
    if "Item" not in item:
        raise NotFound(f"the key of case {case_id} is destroyed or was never made")
    return dict(item["Item"])


@lru_cache(maxsize=16)
def _identity(case_id: str, table: str) -> x25519.Identity:
    wrapped = _item(case_id, table)["wrapped"]["B"]
    plain = client("kms").decrypt(CiphertextBlob=wrapped, EncryptionContext={"case": case_id})["Plaintext"]
    return x25519.Identity.from_str(plain.decode())


def seal(recipient: str, content: bytes) -> bytes:
    """`content` readable only with the secret half of `recipient`."""
    return bytes(encrypt(content, [x25519.Recipient.from_str(recipient)]))


def unseal(case_id: str, table: str, sealed: bytes) -> bytes:
    """What was sealed for the case. Raises NotFound without its key, pyrage.DecryptError if altered."""
    return bytes(decrypt(sealed, [_identity(case_id, table)]))


def destroy(case_id: str, table: str) -> None:
    """Destroy the key: everything sealed for the case is unreadable from now on, wherever copies lie."""
    client("dynamodb").delete_item(TableName=table, Key={"case_id": {"S": case_id}})
    _identity.cache_clear()
