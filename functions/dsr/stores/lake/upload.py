"""An object written anew: by parts if large, by copy what stays the same, and only over what was read."""

from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

from dsr.datamap.plan import Collection
from dsr.stores.lake.objects import Bucket, LakeObject

# S3: parts of 5 MiB to 5 GiB, the last may be smaller; at most 10,000 of them; objects of 5 GB in one put.
LEAST_PART = 5 * 1024 * 1024
_PART = 8 * 1024 * 1024
_COPY = 128 * 1024 * 1024  # a copy of this much answers well within the client's patience
_MOST_PARTS = 10_000
_AT_ONCE = 4

# What an object says of itself besides its content, by HeadObject's words and CreateMultipartUpload's.
_KEPT = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata",
    "StorageClass", "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled", "WebsiteRedirectLocation",
)  # fmt: skip


class Upload:
    """The new content of `of`, put in its place by `finish` if nobody has written it meanwhile."""

    def __init__(self, bucket: Bucket, collection: Collection, of: LakeObject, head: dict[str, Any]) -> None:
        self._bucket, self._collection, self._of, self._head = bucket, collection, of, head
        self._held = BytesIO()
        self._id = ""
        self._parts: list[Future[dict[str, Any]]] = []
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._part = max(_PART, of.size // (_MOST_PARTS // 2))
        self.at = 0  # how many bytes there are so far

    def write(self, content: bytes | memoryview) -> None:
        """Append these bytes."""
        self._held.write(content)
        self.at += len(content)
        if self._held.tell() >= self._part:
            self._send_held()

    def copy(self, start: int, end: int) -> None:
        """Append the bytes of the object as it is, from `start` up to `end`; S3 copies what is large."""
        if end - start >= 2 * LEAST_PART:
            # What is held becomes a part of its own, filled up to the least that a part may have.
            if self._held.tell():
                missing = max(0, LEAST_PART - self._held.tell())
                self._fetch(start, start + missing)
                start += missing
                if self._held.tell():  # else it was just sent
                    self._send_held()
            while end - start >= LEAST_PART:
                # A rest that is too small for a part goes through here, before what comes next.
                step = min(_COPY, end - start)
                self._send("upload_part_copy", start=start, end=start + step)
                self.at += step
                start += step
        self._fetch(start, end)

    def _fetch(self, start: int, end: int) -> None:
        while start < end:
            step = min(end - start, _PART)
            self.write(self._bucket.read(self._collection, self._of, start, start + step))
            start += step

    def finish(self) -> None:
        """Put it in place. Raises Changed if the object was written or removed meanwhile: nothing is put."""
        condition = {"IfMatch": self._of.etag}
        try:
            if not self._id:
                self._call("put_object", Body=self._held.getvalue(), **condition, **self._attributes())
                return
            if self._held.tell():
                self._send_held()
            parts = [part.result() for part in self._parts]
            self._call(
                "complete_multipart_upload", UploadId=self._id, MultipartUpload={"Parts": parts}, **condition
            )
            self._id = ""
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave the object as it is, and no part behind."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._id:
            self._call("abort_multipart_upload", UploadId=self._id)
            self._id = ""

    def _send_held(self) -> None:
        self._send("upload_part", body=self._held.getvalue())
        self._held = BytesIO()

    def _send(self, verb: str, body: bytes = b"", start: int = 0, end: int = 0) -> None:
        if not self._id:
            begun = self._call("create_multipart_upload", **self._attributes())
            self._id = begun["UploadId"]
        number = len(self._parts) + 1
        # Parts under way are in memory: never more than are sent at once.
        for earlier in self._parts[: max(0, number - _AT_ONCE)]:
            earlier.result()
        self._parts.append(self._pool.submit(self._sent, verb, number, body, start, end))

    def _sent(self, verb: str, number: int, body: bytes, start: int, end: int) -> dict[str, Any]:
        arguments: dict[str, Any] = {"UploadId": self._id, "PartNumber": number}
        if verb == "upload_part":
            return {"PartNumber": number, "ETag": self._call(verb, **arguments, Body=body)["ETag"]}
        source = {"Bucket": self._bucket.name, "Key": self._of.key}
        answer = self._call(
            verb, **arguments, CopySource=source, CopySourceIfMatch=self._of.etag,
            CopySourceRange=f"bytes={start}-{end - 1}",
        )  # fmt: skip
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    def _attributes(self) -> dict[str, Any]:
        kept = {name: self._head[name] for name in _KEPT if self._head.get(name)}
        tags = self._call("get_object_tagging")["TagSet"]
        if tags:
            kept["Tagging"] = urlencode({tag["Key"]: tag["Value"] for tag in tags})
        return kept

    def _call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        return self._bucket.call(self._collection, verb, self._of.key, **arguments)
