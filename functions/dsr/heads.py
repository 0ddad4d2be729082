"""The daily head of the audit trail: the last event of every case that moved, signed, put under lock.

    heads/000001.json       the signed head: its number, what it covers, its parts, the hash of the last one
    parts/‹sha256›.txt      a line for each case: reference, number and hash of its last event

Cases are read in the order of their last event, from where the head before ended: a case that never moves
is not read again. A head that ran out of time covers less, and the next one goes on.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dsr import casebook
from dsr.audit import SignedHead, part_name, part_of
from dsr.aws import client
from dsr.canonical import digest
from dsr.errors import Conflict
from dsr.items import from_item, to_item
from dsr.settings import read
from dsr.signing_key import sign

_PART = 10_000  # cases
_RESERVE_SECONDS = 30
# What is younger is looked at again by the next head: the index lags, and clocks differ a little.
_SETTLED = timedelta(minutes=5)


@dataclass(frozen=True)
class Settings:
    """Environment of sign_heads."""

    cases_table: str
    proof_bucket: str
    signing_keys: str


def sign_heads(_: dict[str, Any], context: Any) -> dict[str, int]:
    """Write the next head. Returns its number and how many cases it lists."""
    settings = read(Settings)
    ends_at = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _RESERVE_SECONDS
    return write_head(
        settings.cases_table, Locked(settings.proof_bucket), settings.signing_keys, casebook.now(), ends_at
    )


def write_head(
    cases: str, locked: "Locked", keys: str, at: datetime, ends_at: float, size: int = _PART
) -> dict[str, int]:
    """The head after the last one in the bucket. `cases`: the table; `size` of a part.

    `ends_at` is on the monotonic clock.

    Raises Conflict where somebody else wrote it meanwhile.
    """
    last = locked.last()
    since, until = (last["until"], "") if last else ("", "")
    parts: list[dict[str, Any]] = []
    lines: list[tuple[str, int, str]] = []
    late = False
    for case_id, version, last_hash, moved_at in moved(cases, since):
        lines.append((case_id, version, last_hash))
        until = moved_at
        if len(lines) == size:
            parts.append(locked.put_part(lines))
            lines.clear()
            late = time.monotonic() >= ends_at
            if late:
                break
    if lines:
        parts.append(locked.put_part(lines))
    settled = (at - _SETTLED).isoformat()
    until = max(since, min(until, settled) if late else settled)
    head: dict[str, Any] = {
        "kind": "audit_head",
        "version": 1,
        "number": last["number"] + 1 if last else 1,
        "taken_at": at.isoformat(),
        "since": since,
        "until": until,
        "cases": sum(part["cases"] for part in parts),
        "parts": parts,
        "previous": digest(last) if last else "",
    }
    locked.put_head(head["number"], sign("head", head, keys))
    return {"number": head["number"], "cases": head["cases"]}


def moved(cases: str, since: str) -> Iterator[tuple[str, int, str, str]]:
    """Every case whose last event is not older than `since` (ISO 8601; "": every case), oldest first.

    Each as (reference, number and hash of its last event, its time); from an index: may lag a moment.
    """
    pages = (
        client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=cases,
            IndexName="chained-cases",
            KeyConditionExpression="#chain = :yes AND updated_at >= :since",
            ExpressionAttributeNames={"#chain": "chain"},
            ExpressionAttributeValues=to_item({":yes": "yes", ":since": since or "0"}),
        )
    )
    for page in pages:
        for item in map(from_item, page["Items"]):
            yield item["case_id"], item["version"], item["head"], item["updated_at"]


@dataclass(frozen=True)
class Locked:
    """The bucket under Object Lock."""

    bucket: str

    def last(self) -> dict[str, Any] | None:
        """The content of the last head, or None before the first."""
        keys = self._oldest("heads/")
        return dict(json.loads(self._get(max(keys)))["head"]) if keys else None

    def heads(self) -> Iterator[SignedHead]:
        """Every head with its parts, in order."""
        for key in sorted(self._oldest("heads/")):
            content = self._get(key)
            listed = [part["sha256"] for part in json.loads(content)["head"]["parts"]]
            yield SignedHead(content, {name: self._get(f"parts/{name}.txt") for name in listed})

    def put_part(self, lines: list[tuple[str, int, str]]) -> dict[str, Any]:
        """Store a part; returns how the head names it."""
        part = part_of(lines)
        name = part_name(part)
        self._put(f"parts/{name}.txt", part)
        return {"sha256": name, "cases": len(lines)}

    def put_head(self, number: int, content: bytes) -> None:
        """Store a head. Raises Conflict if there is one of that number."""
        s3 = client("s3")
        try:
            s3.put_object(
                Bucket=self.bucket, Key=f"heads/{number:06d}.json", Body=content,
                IfNoneMatch="*", ChecksumAlgorithm="SHA256",
            )  # fmt: skip
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise Conflict(f"head {number} was written by somebody else") from None
            raise

    def _put(self, key: str, content: bytes) -> None:
        # An object under lock must come with a checksum (PutObject, Amazon S3 API).
        client("s3").put_object(Bucket=self.bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256")

    def _get(self, key: str) -> bytes:
        version = self._oldest(key)[key]
        answer = client("s3").get_object(Bucket=self.bucket, Key=key, VersionId=version)
        return bytes(answer["Body"].read())

    def _oldest(self, prefix: str) -> dict[str, str]:
        """The first version of every object, by key: what was put above it later, a delete marker too, counts
        for nothing, and the first one cannot be taken away."""
        pages = client("s3").get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        # Newest first (ListObjectVersions, Amazon S3 API): the last one of a key stays.
        return {v["Key"]: v["VersionId"] for page in pages for v in page.get("Versions", ())}
