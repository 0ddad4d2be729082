"""The secret of one question: its recipient signs the answer with it, and nobody has to keep it.

It is the keyed hash of the question's name by a key of KMS that cannot be read out. So the function that
takes answers in makes it anew, and needs no recipient's own secret; and whoever knows one question's
secret can answer that question alone.
"""

from dsr.aws import client


def callback_secret(mac_key: str, name: str) -> bytes:
    """The secret of the question of that name."""
    made: bytes = client("kms").generate_mac(
        KeyId=mac_key, MacAlgorithm="HMAC_SHA_256", Message=f"answer|{name}".encode()
    )["Mac"]
    return made
