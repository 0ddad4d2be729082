"""Which module serves which kind of store. Imports stay in the worker of their kind."""

from importlib import import_module

from dsr.datamap.plan import Store as StorePlan
from dsr.stores.base import Store

_KINDS = {
    "dynamodb": ("dsr.stores.dynamodb", "DynamoDBStore"),
    "s3": ("dsr.stores.s3", "S3Store"),
    "sql": ("dsr.stores.sql", "SQLStore"),
    "webhook": ("dsr.stores.webhook", "WebhookRecipient"),
    "manual": ("dsr.stores.manual", "ManualRecipient"),
    "cognito": ("dsr.stores.cognito", "CognitoStore"),
    "lake": ("dsr.stores.lake.store", "LakeStore"),
}


def open_store(plan: StorePlan) -> Store:
    """The store of that plan, opened once per worker. Raises KeyError for a kind that is not known."""
    key = (plan.name, plan.role, str(sorted(plan.connection.items())))
    if key not in _open:
        module, name = _KINDS[plan.kind]
        _open[key] = getattr(import_module(module), name)(plan)
    return _open[key]


_open: dict[tuple[str, str, str], Store] = {}
