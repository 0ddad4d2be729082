"""The staging area of a case: small sealed objects in S3, one prefix per case, gone when the case is done."""

import json
from collections.abc import Iterator
from typing import Any

from dsr.aws import client
from dsr.case import Case
from dsr.casekey import seal, unseal


class Staging:
    """Sealed objects of one case. `bucket` is the staging bucket, `keys` the table of wrapped case keys."""

    def __init__(self, bucket: str, keys: str, case: Case) -> None:
        self._bucket = bucket
        self._keys = keys
        self._case = case
        self._prefix = f"cases/{case.case_id}/"

    def put(self, name: str, content: bytes) -> None:
        """Store `content` under `name`, replacing what was there."""
        client("s3").put_object(
            Bucket=self._bucket, Key=self._prefix + name, Body=seal(self._case.recipient, content)
        )

    def get(self, name: str) -> bytes | None:
        """What is stored under `name`, or None."""
        s3 = client("s3")
        try:
            sealed = s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        return unseal(self._case.case_id, self._keys, sealed)

    def put_json(self, name: str, value: Any) -> None:
        """Store a JSON value under `name`."""
        self.put(name, json.dumps(value).encode())

    def get_json(self, name: str) -> Any:
        """The JSON value under `name`, or None."""
        content = self.get(name)
        return None if content is None else json.loads(content)

    def names(self, prefix: str) -> Iterator[str]:
        """The names beginning with `prefix`, in order, to the last page."""
        pages = (
            client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"].removeprefix(self._prefix)

    def remove(self, prefix: str) -> None:
        """Remove everything under `prefix`, every version of it."""
        remove_versions(self._bucket, self._prefix + prefix)


def remove_versions(bucket: str, prefix: str) -> int:
    """Remove all versions and delete markers under `prefix`; returns how many.

    A plain delete on a versioned bucket only adds a marker; at most 1,000 per call (S3).
    Raises RuntimeError if S3 refuses any of them.
    """
    s3 = client("s3")
    removed = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        found = [
            {"Key": v["Key"], "VersionId": v["VersionId"]}
            for v in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        ]
        if found:
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
            if answer.get("Errors"):
                raise RuntimeError(f"S3 kept {len(answer['Errors'])} of {len(found)} objects")
            removed += len(found)
    return removed
