"""A stand-in for AWS, for measuring our own work: the clients as they are, answered from a directory.

Everything up to the network is real: building, signing and checking each call. Only the network and the
services are left out, so what is measured is what the function itself spends. S3 keeps its objects as files,
and of a part that it copies from another object says the CRC-32 or the SHA-256, as S3 does; tables are
dictionaries, written down when the process ends; KMS wraps by adding nothing. It knows the calls that the
benchmarks lead to and no others, and it checks no condition: nobody else is there.
"""

import atexit
import base64
import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.handlers import BUILTIN_HANDLERS

_SUBRESOURCES = {"tagging", "list-type", "versions", "uploads", "uploadId"}
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")
_BLOCK = 64 * 1024  # read at once: little, since it counts as memory of the function that is measured
_GRANTED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>none</AccessKeyId><SecretAccessKey>none</SecretAccessKey><SessionToken>none</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


class _Raw:
    """A body as botocore reads it from the network; of a file no more than `left` bytes."""

    def __init__(self, file: BinaryIO | None = None, content: bytes = b"", left: int | None = None) -> None:
        self._file, self._content, self._left = file, content, left

    def read(self, amt: int | None = None) -> bytes:
        if self._file is not None:
            if self._left is not None:
                amt = self._left if amt is None else min(amt, self._left)
                self._left -= amt
            return self._file.read(-1 if amt is None else amt)
        taken, self._content = self._content[:amt], self._content[amt:] if amt is not None else b""
        return taken

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Iterator[bytes]:  # noqa: ARG002
        while content := self.read(amt):
            yield content

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class StandIn:
    """Answers every AWS call of this process from `root`; `secret` is what Secrets Manager holds."""

    def __init__(self, root: Path, secret: dict[str, Any]) -> None:
        self._root, self._secret = root, secret
        self._notes = root / "tables.json"
        self._tables: dict[str, dict[str, Any]] = (
            json.loads(self._notes.read_text()) if self._notes.exists() else {}
        )
        self.calls: dict[str, int] = {}
        self.through = 0  # bytes of objects that went through this process, read and sent
        self._parts: dict[int, tuple[Path, int, int]] = {}  # by number: a file, where in it, how much

    def install(self) -> None:
        """From now on, in this process."""
        BUILTIN_HANDLERS.append(("before-send", self._answer))  # of every session made from now on
        atexit.register(lambda: self._notes.write_text(json.dumps(self._tables)))

    def path(self, bucket: str, key: str) -> Path:
        """Where an object lies."""
        return self._root / bucket / quote(key, safe="")

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        host, target = urlsplit(request.url).netloc, request.headers.get("X-Amz-Target", b"")
        name = target.decode() if isinstance(target, bytes) else str(target)
        service = host.split(".")[0]
        if name:
            call = name.rpartition(".")[2]
            said = self._JSON_CALLS[call](self, json.loads(request.body))
            self._count(f"{service} {call}")
            return _said(request, json.dumps(said), headers={"Content-Type": "application/x-amz-json-1.0"})
        if service == "sts":
            self._count("sts AssumeRole")
            return _said(request, _GRANTED)
        return self._s3(request)

    def _count(self, call: str) -> None:
        self.calls[call] = self.calls.get(call, 0) + 1

    # -- tables, keys, secrets ---------------------------------------------------------------------

    def _rows(self, table: str) -> dict[str, Any]:
        return self._tables.setdefault(table, {})

    def _get_item(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self._rows(asked["TableName"]).get(_row(asked["Key"]))
        return {"Item": found} if found else {}

    def _put_item(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._rows(asked["TableName"])[_row(asked["Item"])] = asked["Item"]
        return {}

    def _transact(self, asked: dict[str, Any]) -> dict[str, Any]:
        for item in asked["TransactItems"]:
            self._put_item(item["Put"])
        return {}

    def _query(self, asked: dict[str, Any]) -> dict[str, Any]:
        values = asked["ExpressionAttributeValues"]
        begin = f"{values[':c']['S']}/{values[':p']['S']}"
        rows = sorted((k, v) for k, v in self._rows(asked["TableName"]).items() if k.startswith(begin))
        return {"Items": [item for _, item in rows], "Count": len(rows)}

    def _encrypt(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"CiphertextBlob": asked["Plaintext"], "KeyId": asked["KeyId"]}

    def _decrypt(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Plaintext": asked["CiphertextBlob"]}

    def _sign(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Signature": asked["Message"], "KeyId": asked["KeyId"]}

    def _tell_secret(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Name": asked["SecretId"], "SecretString": json.dumps(self._secret)}

    # -- objects -----------------------------------------------------------------------------------

    def _s3(self, request: Any) -> AWSResponse:
        parts = urlsplit(request.url)
        asked = {name: said[0] for name, said in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, host = parts.netloc.partition(".")
        if not host.startswith("s3"):  # addressed by path
            raise NotImplementedError(f"the stand-in knows no call like {request.method} {request.url}")
        key = unquote(parts.path.lstrip("/"))
        verb = f"{request.method} {' '.join(n for n in asked if n in _SUBRESOURCES)}".strip()
        self._count(f"s3 {verb}")
        return self._S3_CALLS[verb](self, request, bucket, key, asked)

    def _put_object(self, request: Any, bucket: str, key: str, _: dict[str, str]) -> AWSResponse:
        path = self.path(bucket, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(request, path)
        return _said(request, headers={"ETag": _tag(path)})

    def _get_object(self, request: Any, bucket: str, key: str, _: dict[str, str]) -> AWSResponse:
        path = self.path(bucket, key)
        if not path.exists():
            return _said(request, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>", 404)
        headers = {"Content-Length": str(path.stat().st_size), "ETag": _tag(path)}
        headers |= {"Last-Modified": "Mon, 02 Mar 2026 09:30:00 GMT", "Content-Type": "image/png"}
        headers |= {"x-amz-version-id": "v1"}
        if request.method == "HEAD":
            return _response(request, 200, headers, _Raw())
        file = path.open("rb")
        self.through += path.stat().st_size
        if wanted := request.headers.get("Range"):
            start, end = map(int, _text(wanted)[6:].split("-"))
            self.through -= path.stat().st_size - (end - start + 1)
            headers["Content-Length"] = str(end - start + 1)
            file.seek(start)
            return _response(request, 206, headers, _Raw(file, left=end - start + 1))
        return _response(request, 200, headers, _Raw(file))

    def _tagging(self, request: Any, *_: Any) -> AWSResponse:
        return _said(request, "<Tagging><TagSet></TagSet></Tagging>")

    def _list(self, request: Any, bucket: str, _: str, asked: dict[str, str]) -> AWSResponse:
        names = sorted(unquote(path.name) for path in (self._root / bucket).glob("*"))
        names = [name for name in names if name.startswith(asked.get("prefix", ""))]
        sizes = {escape(name): self.path(bucket, name).stat().st_size for name in names}
        listed = "".join(f"<Contents><Key>{n}</Key><Size>{s}</Size></Contents>" for n, s in sizes.items())
        return _said(
            request, f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
        )

    def _list_versions(self, request: Any, *_: Any) -> AWSResponse:
        # Nothing to remove: what was staged is kept for the next round, and removing costs one call.
        return _said(request, "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>")

    def _list_uploads(self, request: Any, *_: Any) -> AWSResponse:
        return _said(request, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")

    def _begin_upload(self, request: Any, bucket: str, key: str, _: dict[str, str]) -> AWSResponse:
        if _text(request.headers.get("x-amz-checksum-algorithm", "")) == "SHA256":
            upload = "sums"  # parts are copied into it for their sums alone, and it is given up
        else:
            upload = "one"
            self._parts.clear()
            self.path(bucket, key).parent.mkdir(parents=True, exist_ok=True)
        said = f"<UploadId>{upload}</UploadId>"
        return _said(request, f"<InitiateMultipartUploadResult>{said}</InitiateMultipartUploadResult>")

    def _abort_upload(self, request: Any, *_: Any) -> AWSResponse:
        return _said(request, status=204)

    def _upload_part(self, request: Any, _bucket: str, _key: str, asked: dict[str, str]) -> AWSResponse:
        number, source = int(asked["partNumber"]), request.headers.get("x-amz-copy-source")
        if source is not None:
            return self._copy_part(request, number, _text(source), asked["uploadId"])
        path = self._root / "parts" / f"{number:05d}"
        path.parent.mkdir(exist_ok=True)
        crc = _write(request, path)
        self.through += path.stat().st_size
        self._parts[number] = (path, 0, path.stat().st_size)
        told = base64.b64encode(crc.to_bytes(4, "big")).decode()
        return _said(request, headers={"ETag": f'"{number}"', "x-amz-checksum-crc32": told})

    def _copy_part(self, request: Any, number: int, source: str, upload: str) -> AWSResponse:
        if (self._root / "copies-refused").exists():
            return _said(request, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>", 403)
        bucket, _, key = unquote(source).partition("?")[0].partition("/")
        start, end = map(int, _text(request.headers["x-amz-copy-source-range"])[6:].split("-"))
        path, crc, digest, left = self.path(bucket, key), 0, hashlib.sha256(), end - start + 1
        if upload == "one":
            self._parts[number] = (path, start, left)
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while left:
                block = file.read(min(left, _BLOCK))
                left -= len(block)
                if upload == "one":
                    crc = zlib.crc32(block, crc)
                else:
                    digest.update(block)
        kind, sum_ = ("CRC32", crc.to_bytes(4, "big")) if upload == "one" else ("SHA256", digest.digest())
        told = f"<Checksum{kind}>{base64.b64encode(sum_).decode()}</Checksum{kind}>"
        return _said(request, f'<CopyPartResult><ETag>"{number}"</ETag>{told}</CopyPartResult>')

    def _complete_upload(self, request: Any, bucket: str, key: str, _: dict[str, str]) -> AWSResponse:
        with self.path(bucket, key).open("wb") as made:
            for _number, (path, start, size) in sorted(self._parts.items()):
                with path.open("rb") as part:
                    done = 0
                    while done < size:
                        done += os.copy_file_range(part.fileno(), made.fileno(), size - done, start + done)
        self._parts.clear()
        return _said(
            request, "<CompleteMultipartUploadResult><ETag>made</ETag></CompleteMultipartUploadResult>"
        )

    _S3_CALLS: ClassVar[dict[str, Callable[..., AWSResponse]]] = {
        "PUT": _put_object,
        "GET": _get_object,
        "HEAD": _get_object,
        "GET tagging": _tagging,
        "GET list-type": _list,
        "GET versions": _list_versions,
        "GET uploads": _list_uploads,
        "POST uploads": _begin_upload,
        "PUT uploadId": _upload_part,
        "DELETE uploadId": _abort_upload,
        "POST uploadId": _complete_upload,
    }
    _JSON_CALLS: ClassVar[dict[str, Callable[..., dict[str, Any]]]] = {
        "GetItem": _get_item,
        "PutItem": _put_item,
        "TransactWriteItems": _transact,
        "Query": _query,
        "Encrypt": _encrypt,
        "Decrypt": _decrypt,
        "Sign": _sign,
        "GetSecretValue": _tell_secret,
    }


def _text(header: Any) -> str:
    return header.decode() if isinstance(header, bytes) else str(header)


def _row(values: dict[str, Any]) -> str:
    return "/".join(values[name]["S"] for name in ("case_id", "part") if name in values)


def _tag(path: Path) -> str:
    return f'"{path.stat().st_mtime_ns:x}"'


def _said(
    request: Any, text: str = "", status: int = 200, headers: dict[str, str] | None = None
) -> AWSResponse:
    return _response(request, status, headers or {}, _Raw(content=text.encode()))


def _response(request: Any, status: int, headers: dict[str, str], raw: "_Raw") -> AWSResponse:
    return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), raw)


def _write(request: Any, path: Path) -> int:
    """Write what was sent to a file; returns its CRC-32.

    Over TLS botocore frames it in chunks, with its checksum as a trailer, unless it was told the sum.
    """
    crc = 0
    with path.open("wb", buffering=0) as file:
        for block in _blocks(request):
            file.write(block)
            crc = zlib.crc32(block, crc)
    return crc


def _blocks(request: Any) -> Iterator[bytes]:
    if isinstance(request.body, bytes):
        yield request.body
    elif "aws-chunked" not in str(request.headers.get("Content-Encoding", "")):
        while block := request.body.read(_BLOCK):
            yield block
    else:
        sent, at = request.body.read(), 0
        while (head := _CHUNK.match(sent, at)) and (size := int(head[1], 16)):
            yield sent[head.end() : head.end() + size]
            at = head.end() + size + 2
