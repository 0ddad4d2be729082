"""Webhook recipients in the data map: asked by a signed message, docs/stores/webhook.md."""

from typing import Literal

from pydantic import Field as Described
from pydantic import field_validator, model_validator

from dsr.datamap.kinds.base import Kind, Statement, allow
from dsr.datamap.kinds.outside import ToldStore
from dsr.datamap.parts import MapCollection, Name, OwnedStore, RegionConnection, safe_url
from dsr.datamap.plan import Collection, Store


class WebhookConnection(RegionConnection):
    """Where messages go, and what signs them: a shared secret, or a key of KMS."""

    url: str = Described(description="https; plain http only to 127.0.0.1, for trying it out")
    secret: str | None = Described(
        None, description="the name in Secrets Manager of what both sides sign with: whsec_ and base64"
    )
    key: str | None = Described(
        None, pattern=r"^arn:", description="instead: the ARN of a KMS key, ECC_NIST_P256, that signs"
    )

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        return safe_url(url)

    @model_validator(mode="after")
    def _signs_once(self) -> "WebhookConnection":
        if bool(self.secret) == bool(self.key):
            raise ValueError("give either `secret` or `key`: what messages are signed with")
        return self


class WebhookStore(OwnedStore, ToldStore):
    """A recipient that answers messages."""

    kind: Literal["webhook"]
    connection: WebhookConnection
    collections: dict[Name, MapCollection] = Described(min_length=1)


def _statements(store: Store, _: list[Collection]) -> list[Statement]:
    if key := store.connection.get("key"):
        return [allow(["kms:Sign"], [{"Fn::Sub": key}])]
    # Secrets Manager adds a dash and six characters to the name.
    secret = (
        f"arn:${{AWS::Partition}}:secretsmanager:{store.connection['region']}:${{AWS::AccountId}}"
        f":secret:{store.connection['secret']}-??????"
    )
    return [allow(["secretsmanager:GetSecretValue"], [{"Fn::Sub": secret}])]


KIND = Kind(WebhookStore, asks=True, workers=("store-webhook",), statements=_statements)
