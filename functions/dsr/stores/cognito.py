"""Cognito user pools: users by their subject id, federated ones included."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.stores.base import Cursor, Page, Record, beyond, each_value
from dsr.treatments import Masks

_FAULTS = {
    "ResourceNotFoundException": "missing_collection",
    "AccessDeniedException": "missing_permission",
    "NotAuthorizedException": "missing_permission",
}
_MOST = 60  # users a call (AWS)
# What ListUsers can filter by exactly (Amazon Cognito, ListUsers, Filter).
_FILTERS = {"sub", "username", "email", "phone_number", "preferred_username"}


class CognitoStore:
    """The user pool of one store."""

    def __init__(self, store: StorePlan) -> None:
        self._store = store
        self._pool = store.connection["user_pool"]

    erase_at_once = 20  # one call, or a few, each

    def find(
        self,
        collection: Collection,
        way: Way,
        values: Sequence[Any],
        after: Cursor,
        whole: bool = True,  # noqa: ARG002  a pool answers with whole users only
    ) -> Iterator[Page]:
        """See `base.Store.find`."""
        if way.field not in _FILTERS:
            raise StoreFault("unsupported", f"{collection.path}.{way.field}: a pool is not searched by it")
        for index, value, start in each_value(values, after):
            while True:
                quoted = str(value).replace("\\", "\\\\").replace('"', '\\"')
                answer = self._call(
                    collection,
                    "list_users",
                    UserPoolId=self._pool,
                    Filter=f'{way.field} = "{quoted}"',
                    **({"PaginationToken": start} if start else {}),
                )
                start = answer.get("PaginationToken")
                # The filter's own reading of case is not relied on: the value must be the value.
                users = [u for u in map(_values, answer["Users"]) if u.get(way.field) == value]
                yield Page([Record(u) for u in users], beyond(values, index, start))
                if not start:
                    break

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: Masks) -> None:
        """See `base.Store.erase`. Links to other providers go first: they would outlive the user."""
        if masks:
            raise StoreFault("unsupported", f"{collection.path}: a user is deleted or kept, not masked")
        for record in records:
            for identity in record.get("identities", ()):
                user = {
                    "ProviderName": identity["providerName"],
                    "ProviderAttributeName": "Cognito_Subject",
                    "ProviderAttributeValue": identity["userId"],
                }
                self._of_user(collection, "admin_disable_provider_for_user", User=user)
            self._of_user(collection, "admin_delete_user", Username=record["username"])

    def listing(
        self,
        collection: Collection,
        fields: Sequence[str],  # noqa: ARG002  a pool answers with whole users only
        after: Cursor,
    ) -> Iterator[Page]:
        """See `base.ListingStore.listing`. Sixty users a page (ListUsers)."""
        while True:
            begin = {"PaginationToken": after} if after else {}
            answer = self._call(collection, "list_users", UserPoolId=self._pool, Limit=_MOST, **begin)
            after = answer.get("PaginationToken")
            yield Page([Record(_values(user)) for user in answer["Users"]], after)
            if not after:
                return

    def sample(self, collection: Collection, count: int) -> list[Record]:
        """See `base.Store.sample`."""
        answer = self._call(collection, "list_users", UserPoolId=self._pool, Limit=min(count, _MOST))
        return [Record(_values(user)) for user in answer["Users"]]

    def freeze(self, collection: Collection, records: Sequence[dict[str, Any]]) -> None:
        """See `base.Store.freeze`. Disabled first, so that no new session begins between the two."""
        for record in records:
            self._of_user(collection, "admin_disable_user", Username=record["username"])
            self._of_user(collection, "admin_user_global_sign_out", Username=record["username"])

    def _of_user(self, collection: Collection, verb: str, **arguments: Any) -> None:
        try:
            self._call(collection, verb, UserPoolId=self._pool, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] != "UserNotFoundException":
                raise  # a user that is gone already is what was wanted

    def _call(self, collection: Collection, verb: str, **arguments: Any) -> dict[str, Any]:
        try:
            return getattr(client_as(self._store.access, "cognito-idp"), verb)(**arguments)  # type: ignore[no-any-return]
        except ClientError as error:
            code = _FAULTS.get(error.response["Error"]["Code"])
            if code:
                raise StoreFault(code, f"{collection.path}: {error.operation_name}") from None
            raise


def _values(user: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {a["Name"]: a["Value"] for a in user.get("Attributes", ())}
    if "identities" in values:
        values["identities"] = json.loads(values["identities"])
    return values | {
        "username": user["Username"],
        "status": user["UserStatus"],
        "enabled": user["Enabled"],
        "created_at": user["UserCreateDate"],
        "updated_at": user["UserLastModifiedDate"],
    }
