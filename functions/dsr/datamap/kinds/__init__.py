"""The kinds of stores that a data map can name, each in a module of its own.

A new kind is one module here, its row in this table, its store and worker (`dsr.stores.registry`).
"""

from dsr.datamap.kinds import cognito, dynamodb, lake, manual, s3, sql, webhook
from dsr.datamap.kinds.base import Kind

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *(dynamodb.KIND, s3.KIND, sql.KIND, lake.KIND, cognito.KIND),
        *(webhook.KIND, manual.KIND),
    )
}
