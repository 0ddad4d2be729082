"""Cognito in the data map: the users of a pool."""

from typing import Literal

from pydantic import Field as Described

from dsr.datamap.kinds.base import Kind, Statement, allow
from dsr.datamap.parts import MapCollection, Name, OwnedStore, RegionConnection
from dsr.datamap.plan import Collection, Store


class CognitoConnection(RegionConnection):
    """Which user pool."""

    user_pool: str = Described(description="its id")


class CognitoStore(OwnedStore):
    """A user pool."""

    kind: Literal["cognito"]
    connection: CognitoConnection
    collections: dict[Name, MapCollection] = Described(min_length=1)


def _statements(store: Store, _: list[Collection]) -> list[Statement]:
    pool = (
        f"arn:${{AWS::Partition}}:cognito-idp:{store.connection['region']}:${{AWS::AccountId}}"
        f":userpool/{store.connection['user_pool']}"
    )
    actions = ("ListUsers", "AdminDisableUser", "AdminUserGlobalSignOut", "AdminDisableProviderForUser")
    return [allow([f"cognito-idp:{action}" for action in (*actions, "AdminDeleteUser")], [{"Fn::Sub": pool}])]


KIND = Kind(CognitoStore, freezes=True, workers=("store-cognito",), statements=_statements)
