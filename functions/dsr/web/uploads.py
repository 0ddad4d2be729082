"""Forms with files (multipart/form-data, RFC 7578), taken apart byte by byte."""

import re
from dataclasses import dataclass

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name="([^"]*)"')
_FILE = re.compile(rb'[;\s]filename="([^"]*)"')
_MOST_PARTS = 20


@dataclass(frozen=True)
class File:
    """A file of a form: what its sender called it, and its bytes."""

    name: str
    content: bytes


def read_multipart(kind: str, body: bytes) -> tuple[dict[str, str], dict[str, File]]:
    """The fields and files of a form whose Content-Type is `kind`; empty for what is no such form."""
    found = _BOUNDARY.search(kind)
    if not found or not kind.lower().startswith("multipart/form-data"):
        return {}, {}
    fields: dict[str, str] = {}
    files: dict[str, File] = {}
    # The first piece is what comes before the first boundary; the last what follows the closing one.
    pieces = (b"\r\n" + body).split(b"\r\n--" + (found[1] or found[2]).encode())[1:-1]
    for piece in pieces[:_MOST_PARTS]:
        head, apart, content = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not apart or not name:
            continue
        file = _FILE.search(head)
        if file:
            files[_text(name[1])] = File(_text(file[1]).replace("%22", '"'), content)
        else:
            fields[_text(name[1])] = _text(content).replace("\x00", "")
    return fields, files


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
