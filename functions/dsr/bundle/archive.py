"""A zip written by the standard library onto a stream, that another invocation can continue between members.

`zipfile` writes the local headers, the zip64 records and the directory; what this module adds is
that its list of members can be put aside and taken up again.
"""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from dsr.bundle.packing import Packed
from dsr.bundle.upload import Upload

# The same input gives the same bytes: no clock in the archive (the zip format begins in 1980).
_DATE = (1980, 1, 1, 0, 0, 0)
_KEPT = (
    *("CRC", "compress_size", "file_size", "header_offset", "flag_bits", "compress_type"),
    *("create_version", "extract_version"),  # of the zip format: higher where 64 bits are needed
)
_LARGE = 2**31 - 1
_PIECE = 256 * 1024  # bytes that are compressed, hashed and sent on at once


@dataclass(frozen=True)
class Member:
    """A file in the archive, as the manifest lists it."""

    path: str
    size: int
    sha256: str


class Archive:
    """A zip under construction on `upload`; `directory` is what `pause` returned earlier."""

    def __init__(self, upload: Upload, directory: list[dict[str, Any]] | None = None) -> None:
        self._upload = upload
        # Unseekable on purpose: sizes and sums follow each member (data descriptors).
        self._zip = zipfile.ZipFile(cast(BinaryIO, upload), "w", allowZip64=True)
        for entry in directory or ():
            info = zipfile.ZipInfo(entry["filename"], _DATE)
            info.external_attr = 0o600 << 16
            for name in _KEPT:
                setattr(info, name, entry[name])
            self._zip.filelist.append(info)
            self._zip.NameToInfo[info.filename] = info

    def add(self, path: str, content: Iterable[bytes], compress: bool = True, size: int = 0) -> Member:
        """Write one member from its chunks. `size`, if it may exceed 2 GiB, makes room for it (zip64)."""
        info = zipfile.ZipInfo(path, _DATE)
        info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        info.external_attr = 0o600 << 16
        digest, length = hashlib.sha256(), 0
        # Text's length is not known before; zip64 costs 20 bytes where it turns out small.
        roomy = compress or size > _LARGE
        with self._zip.open(info, "w", force_zip64=roomy) as stream:
            for chunk in _together(content):
                stream.write(chunk)
                digest.update(chunk)
                length += len(chunk)
                if length > _LARGE and not roomy:  # before 3.11.4 zipfile goes on, and the zip is broken
                    raise RuntimeError("a file is too large for the size that was said")
        return Member(path, length, digest.hexdigest())

    def add_packed(self, path: str, content: Packed) -> Member:
        """Write one member that was compressed beforehand: all sizes are known, so nothing follows it."""
        info = zipfile.ZipInfo(path, _DATE)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        info.file_size, info.compress_size, info.CRC = content.size, content.packed_size, content.crc
        info.header_offset = self._upload.tell()
        self._upload.write(info.FileHeader())
        for block in content.stream():
            self._upload.write(block)
        self._zip.filelist.append(info)
        self._zip.NameToInfo[path] = info
        self._zip.start_dir = self._upload.tell()  # where the directory will begin
        return Member(path, content.size, content.sha256)

    def pause(self) -> list[dict[str, Any]]:
        """The members so far, to continue from."""
        return [{"filename": i.filename} | {n: getattr(i, n) for n in _KEPT} for i in self._zip.filelist]

    def finish(self) -> None:
        """Write the directory and make the object."""
        self._zip.close()
        self._upload.finish()


def _together(content: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: a piece costs the same however small."""
    held: list[bytes] = []
    size = 0
    for chunk in content:
        if size + len(chunk) > _PIECE:
            yield b"".join(held)
            held, size = [], 0
        if len(chunk) >= _PIECE:
            yield chunk
        else:
            held.append(chunk)
            size += len(chunk)
    yield b"".join(held)
