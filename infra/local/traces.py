"""Everything that the product leaves behind where no personal value may stand in clear: logs, histories,
queues, tables.

Outside the search lie only the places made for personal content: the mails that were sent, the company's own
stores, and the bundle itself. Staged data is searched too, since it must be encrypted under the case's own
key.
"""

import json
from collections.abc import Iterator
from typing import Any

from infra.local.cloud import Cloud

Trace = tuple[str, str]  # where, and the text that stands there


def traces(cloud: Cloud, product: str = "dsr") -> Iterator[Trace]:
    """All texts, one by one, each with its place."""
    yield from _logs(cloud)
    yield from _executions(cloud)
    yield from _queues(cloud)
    yield from _tables(cloud, product)
    yield from _objects(cloud, product)
    yield from _parameters(cloud)


def _logs(cloud: Cloud) -> Iterator[Trace]:
    logs = cloud.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            name = group["logGroupName"]
            for events in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
                for event in events["events"]:
                    yield f"log {name}", event["message"]


def _executions(cloud: Cloud) -> Iterator[Trace]:
    states = cloud.client("stepfunctions")
    for page in states.get_paginator("list_state_machines").paginate():
        for machine in page["stateMachines"]:
            for listed in states.get_paginator("list_executions").paginate(
                stateMachineArn=machine["stateMachineArn"]
            ):
                for execution in listed["executions"]:
                    arn, where = (
                        execution["executionArn"],
                        f"execution {execution['name']} of {machine['name']}",
                    )
                    yield where, _text(states.describe_execution(executionArn=arn))
                    for events in states.get_paginator("get_execution_history").paginate(executionArn=arn):
                        for event in events["events"]:
                            yield f"{where}, event {event['id']}", _text(event)


def _queues(cloud: Cloud) -> Iterator[Trace]:
    queues = cloud.client("sqs")
    for url in queues.list_queues().get("QueueUrls", []):
        # Nothing is taken: a message stays visible to others. Ten at most are shown at once, some maybe
        # twice.
        seen: set[str] = set()
        while True:
            shown = queues.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
            ).get("Messages", [])
            fresh = [message for message in shown if message["MessageId"] not in seen]
            if not fresh:
                break
            for message in fresh:
                seen.add(message["MessageId"])
                yield f"queue {url.rsplit('/', 1)[-1]}", _text(message)


def _tables(cloud: Cloud, product: str) -> Iterator[Trace]:
    database = cloud.client("dynamodb")
    for page in database.get_paginator("list_tables").paginate():
        for table in page["TableNames"]:
            if not table.startswith(f"{product}-"):
                continue  # the company's own
            for items in database.get_paginator("scan").paginate(TableName=table):
                for item in items["Items"]:
                    yield f"table {table}", _text(item)


def _objects(cloud: Cloud, product: str) -> Iterator[Trace]:
    storage = cloud.client("s3")
    for bucket in storage.list_buckets()["Buckets"]:
        name = bucket["Name"]
        if not name.startswith(f"{product}-"):
            continue
        staging = name.startswith(f"{product}-staging-")
        for page in storage.get_paginator("list_object_versions").paginate(Bucket=name):
            for version in page.get("Versions", []):
                yield f"bucket {name}, a key", version["Key"]
                if staging:
                    content = storage.get_object(
                        Bucket=name, Key=version["Key"], VersionId=version["VersionId"]
                    )
                    yield (
                        f"bucket {name}, an object",
                        content["Body"].read().decode("utf-8", errors="replace"),
                    )


def _parameters(cloud: Cloud) -> Iterator[Trace]:
    for page in cloud.client("ssm").get_paginator("describe_parameters").paginate():
        for parameter in page["Parameters"]:
            value = cloud.client("ssm").get_parameter(Name=parameter["Name"])["Parameter"]["Value"]
            yield f"parameter {parameter['Name']}", value


def _text(value: Any) -> str:
    # Bytes are shown as text: what is encrypted stays unreadable, what is not becomes searchable.
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
