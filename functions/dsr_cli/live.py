"""`dsr map check --live`: whether the stores are as the map says, and the roles let the workers in.

A look-up for a value that nobody has goes through the store's own code, so that what is missing is
told by the fault that a case would end in: a table, an index, a column, a permission.
"""

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dsr.aws import Access, client, client_as
from dsr.datamap.kinds import KINDS
from dsr.datamap.plan import Collection, Plan, Store, Way
from dsr.errors import StoreFault
from dsr.stores.base import CheckingStore
from dsr.stores.registry import open_store

# What no record has, as a text, a number, a uuid, a time.
_NOBODY = (
    *("nobody-dsr-map-check@invalid.example", -987654321),
    *("00000000-0000-0000-0000-00000000d5e0", "1801-01-01T00:00:00+00:00"),
)


def live_faults(plan: Plan) -> Iterator[str]:
    """One line for each thing that is not as the map says; and for what could not be looked at."""
    for store in plan.stores.values():
        kind = KINDS[store.kind]
        if kind.asks:
            continue
        if kind.workers and store.role:
            yield from _role_faults(plan, store)
        yield from _store_faults(plan, _reachable(store))
        yield from _expiry_faults(plan, store)


def _reachable(store: Store) -> Store:
    """The store under its role; with the caller's own credentials where the role does not trust them."""
    try:
        client_as(store.access, "sts")
    except ClientError:
        return replace(store, role="")
    return store


def _store_faults(plan: Plan, store: Store) -> Iterator[str]:
    opened = open_store(store)
    for collection in plan.collections.values():
        if collection.store != store.name:
            continue
        if isinstance(opened, CheckingStore):
            yield from (_told(collection, fault) for fault in opened.check(collection))
            continue
        for way in collection.ways:
            try:
                _ask(opened, collection, way)
            except StoreFault as fault:
                yield _told(collection, fault)
            except (ClientError, BotoCoreError) as error:
                yield f"{collection.path}: cannot be asked by `{way.field}`: {type(error).__name__}"


def _told(collection: Collection, fault: StoreFault) -> str:
    return f"{collection.path}: {fault.code.replace('_', ' ')}: {fault.about}"


def _ask(opened: Any, collection: Collection, way: Way) -> None:
    """Look for nobody, by a value of whatever type the store holds there."""
    for nobody in _NOBODY:
        try:
            list(opened.find(collection, way, [nobody], None, whole=False))
            return
        except ValueError:  # the column holds something else
            continue
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise


# -- what deletes by itself -----------------------------------------------------------------------------


_NOT_THERE = frozenset({"ResourceNotFoundException", "ResourceNotFound", "NoSuchBucket"})


def _expiry_faults(plan: Plan, store: Store) -> Iterator[str]:
    """Where a store deletes by itself and the map does not say so, or the other way round."""
    own = replace(store, role="").access  # the workers need no right to know
    for collection in (c for c in plan.collections.values() if c.store == store.name):
        try:
            found = _expires_by(own, store, collection)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in _NOT_THERE:  # that is told already
                yield f"{collection.path}: its own expiry cannot be read: {code}"
            continue
        if found != collection.expires_by:
            is_so, said = (f"by {found}" if found else "nothing"), collection.expires_by or "nothing"
            yield f"{collection.path}: deletes {is_so} by itself, and `expires_by` says {said}"


def _expires_by(access: Access, store: Store, collection: Collection) -> str:
    if store.kind == "dynamodb":
        answer = client_as(access, "dynamodb").describe_time_to_live(TableName=collection.options["table"])
        return "ttl" if answer["TimeToLiveDescription"].get("TimeToLiveStatus") == "ENABLED" else ""
    if store.kind != "s3":
        return collection.expires_by
    try:
        rules = client_as(access, "s3").get_bucket_lifecycle_configuration(Bucket=store.connection["bucket"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
            return ""
        raise
    begins = collection.options["key_template"].partition("{")[0]
    return "lifecycle" if any(_expires(rule, begins) for rule in rules["Rules"]) else ""


def _expires(rule: dict[str, Any], begins: str) -> bool:
    """Whether the rule deletes current objects of that prefix, or some of them."""
    where = rule.get("Filter", {})
    prefix = rule.get("Prefix") or where.get("Prefix") or where.get("And", {}).get("Prefix") or ""
    reaches = begins.startswith(prefix) or prefix.startswith(begins)
    when = rule.get("Expiration", {})
    return rule["Status"] == "Enabled" and reaches and bool(when.get("Days") or when.get("Date"))


# -- roles ----------------------------------------------------------------------------------------------


def _role_faults(plan: Plan, store: Store) -> Iterator[str]:
    """What the deployed role lacks of what the map needs: by its own policies, as IAM would read them."""
    name, account = store.role.rsplit("/", 1)[-1], store.role.split(":")[4]
    iam = client("iam")
    try:
        granted = list(_granted(iam, name))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchEntity":
            yield f"{store.name}: there is no role {name}: deploy roles.template.json"
        else:
            yield f"{store.name}: the role {name} cannot be read: {code}"
        return
    collections = [c for c in plan.collections.values() if c.store == store.name]
    for statement in KINDS[store.kind].statements(store, collections):
        for resource in (_plain(r, account) for r in statement["Resource"]):
            lacking = [a for a in statement["Action"] if not _allows(granted, a, resource)]
            if lacking:
                yield (
                    f"{store.name}: the role {name} lacks {', '.join(lacking)} on {resource}: "
                    "deploy roles.template.json again"
                )


def _granted(iam: Any, name: str) -> Iterator[dict[str, Any]]:
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=name):
        for policy in page["PolicyNames"]:
            document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            yield from _listed(document["Statement"])


def _plain(resource: Any, account: str) -> str:
    text = str(resource["Fn::Sub"] if isinstance(resource, dict) else resource)
    return text.replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", account)


def _allows(statements: list[dict[str, Any]], action: str, resource: str) -> bool:
    fitting = [
        s
        for s in statements
        if any(fnmatchcase(action.lower(), a.lower()) for a in _listed(s.get("Action", ())))
        and any(r == resource or fnmatchcase(resource, r) for r in _listed(s.get("Resource", ())))
    ]
    return any(s["Effect"] == "Allow" for s in fitting) and not any(s["Effect"] == "Deny" for s in fitting)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
