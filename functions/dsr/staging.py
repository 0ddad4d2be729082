"""The staging area of a case: small sealed objects in S3, one prefix per case, gone when the case is done."""

import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client
from dsr.case import Case
from dsr.casekey import seal, unseal
from dsr.errors import Conflict

# Of a conditional write: the condition failed, another write is under way, what it names is gone.
OVERTAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")


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
        return self._read(name)[0]

    def _read(self, name: str) -> tuple[bytes | None, str]:
        s3 = client("s3")
        try:
            answer = s3.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except s3.exceptions.NoSuchKey:
            return None, ""
        return unseal(self._case.case_id, self._keys, answer["Body"].read()), answer["ETag"]

    def put_json(self, name: str, value: Any) -> None:
        """Store a JSON value under `name`."""
        self.put(name, json.dumps(value).encode())

    def get_json(self, name: str) -> Any:
        """The JSON value under `name`, or None."""
        return self.read_json(name)[0]

    def read_json(self, name: str) -> tuple[Any, str]:
        """The JSON value under `name`, or None, and its tag for `replace_json`."""
        content, tag = self._read(name)
        return None if content is None else json.loads(content), tag

    def replace_json(self, name: str, value: Any, tag: str) -> str:
        """Store a JSON value under `name` where `tag` still stands there ("": nothing); returns its tag.

        Raises Conflict if somebody else wrote or removed it meanwhile.
        """
        sealed = seal(self._case.recipient, json.dumps(value).encode())
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            answer = client("s3").put_object(
                Bucket=self._bucket, Key=self._prefix + name, Body=sealed, **condition
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in OVERTAKEN:
                raise Conflict(f"{name} of case {self._case.case_id} was written by somebody else") from None
            raise
        return str(answer["ETag"])

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
    removed, more = 0, True
    while more:
        # Always the first page: a marker would name a version that is gone by then.
        page = s3.list_object_versions(Bucket=bucket, Prefix=prefix)
        found = [
            {"Key": v["Key"], "VersionId": v["VersionId"]}
            for v in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        ]
        if found:
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
            if answer.get("Errors"):
                raise RuntimeError(f"S3 kept {len(answer['Errors'])} of {len(found)} objects")
            removed += len(found)
        more = page["IsTruncated"] and bool(found)
    return removed
