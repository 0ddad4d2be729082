"""Recipients reached by webhook: a signed message to their address, answered at once or later."""

import base64
import hashlib
import json
import ssl
import time
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client_as
from dsr.callbacks import callback_secret
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.parameters import public_url
from dsr.posting import Posted, TooMuch, Unreachable, Unsafe, post
from dsr.questions import MOST_BYTES, Question
from dsr.settings import read
from dsr.signatures import headers, read_secrets, secret_text, sign, signed_content

WAITS = (1.0, 3.0, 9.0)  # seconds before each further try
_MOST_WAIT = 20  # of what `Retry-After` asks for
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_FAULTS = {
    "ResourceNotFoundException": "missing_connection",
    "AccessDeniedException": "missing_permission",
    "AccessDenied": "missing_permission",
    "NotFoundException": "missing_connection",
}


@dataclass(frozen=True)
class Settings:
    """Environment of the worker. `local_recipients`: plain HTTP and private addresses are called too."""

    mac_key: str
    public_url_parameter: str
    local_recipients: str = "false"


class WebhookRecipient:
    """The recipient of one store."""

    trusting: ssl.SSLContext | None = None  # for tests that run a server with a certificate of their own

    def __init__(self, store: StorePlan) -> None:
        self._store = store
        self._url = str(store.connection["url"])
        # A controller answers for what they hold: they are told, not examined.
        self.verifies = store.recipient["role"] == "processor"

    def ask(self, question: Question, message: dict[str, Any]) -> bytes | None:
        """Send the question; returns the answer if it comes at once, None if it comes later.

        Raises StoreFault where trying again at once does not help.
        """
        settings = read(Settings)
        callback = {
            "url": f"{public_url(settings.public_url_parameter)}/answers/{question.name}",
            "secret": secret_text(callback_secret(settings.mac_key, question.name)),
        }
        body = json.dumps({**message, "callback": callback}, ensure_ascii=False).encode()
        answer = self._post(question.name, body, settings.local_recipients == "true")
        if answer.status == 202:
            return None
        if answer.status == 200:
            return answer.body
        if 300 <= answer.status < 400:
            raise StoreFault("unsafe_address", f"{self._store.name}: redirects, which are not followed")
        raise StoreFault("unreachable", f"{self._store.name}: answers {answer.status}")

    def _post(self, name: str, body: bytes, local: bool) -> Posted:
        """The answer, of the last of several tries. Raises StoreFault."""
        waits = iter((*WAITS, None))
        for wait in waits:
            try:
                answer = post(
                    self._url, self._headers(name, body), body, MOST_BYTES, local, trusting=self.trusting
                )
                if answer.status not in _AGAIN or wait is None:
                    return answer
                wait = max(wait, min(answer.retry_after, _MOST_WAIT))
            except Unsafe as error:
                raise StoreFault("unsafe_address", f"{self._store.name}: {error}") from None
            except TooMuch:
                said = f"{self._store.name}: an answer of more than {MOST_BYTES} bytes comes in pages"
                raise StoreFault("malformed_data", said) from None
            except Unreachable as error:
                if wait is None:
                    raise StoreFault("unreachable", f"{self._store.name}: {error}") from None
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _headers(self, name: str, body: bytes) -> dict[str, str]:
        timestamp = int(time.time())
        return {
            "Content-Type": "application/json",
            "User-Agent": "dsr",
            "Connection": "close",
            **headers(name, timestamp, self._signatures(name, timestamp, body)),
        }

    def _signatures(self, name: str, timestamp: int, body: bytes) -> list[str]:
        try:
            if key := self._store.connection.get("key"):
                signed = client_as(self._store.access, "kms").sign(
                    KeyId=key,
                    # KMS takes at most 4,096 bytes of a message: its hash is signed.
                    Message=hashlib.sha256(signed_content(name, timestamp, body)).digest(),
                    MessageType="DIGEST",
                    SigningAlgorithm="ECDSA_SHA_256",
                )["Signature"]
                return ["v1ecdsa," + base64.b64encode(signed).decode()]
            held = client_as(self._store.access, "secretsmanager").get_secret_value(
                SecretId=self._store.connection["secret"]
            )
            return [sign(secret, name, timestamp, body) for secret in read_secrets(held["SecretString"])]
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _FAULTS:
                raise StoreFault(_FAULTS[code], f"{self._store.name}: {error.operation_name}") from None
            raise
        except ValueError:
            raise StoreFault("missing_connection", f"{self._store.name}: the secret is none") from None
