"""A zip written by the standard library onto a stream, that another invocation can continue.

`zipfile` writes the local headers, the zip64 records and the directory; what this module adds is that its
list of members can be put aside and taken up again, also within a stored file, and that the bytes of such a
file need not pass through at all.
"""

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from dsr.bundle.copying import Copying
from dsr.bundle.packing import Packed
from dsr.bundle.upload import Upload

# The same input gives the same bytes: no clock in the archive (the zip format begins in 1980).
_DATE = (1980, 1, 1, 0, 0, 0)
_KEPT = (
    *("CRC", "compress_size", "file_size", "header_offset", "flag_bits", "compress_type"),
    *("create_version", "extract_version"),  # of the zip format: higher where 64 bits are needed
)
_LARGE = 2**31 - 1
_SUMS_FOLLOW, _DESCRIPTOR = 0x08, 0x08074B50  # of the zip format: sizes and sums stand after the bytes
_CHUNK = 256 * 1024  # bytes that are compressed, hashed and sent on at once


@dataclass(frozen=True)
class Member:
    """A file in the archive, as the manifest lists it."""

    path: str
    size: int
    sha256: str  # empty for a file of more than one PIECE, whose sum nobody has
    pieces: tuple[str, ...] = ()  # then the SHA-256 of each PIECE of it
    crc32: str = ""  # in hexadecimal, of a file without `sha256`


@dataclass
class Entry:
    """A stored file on its way into the archive, to be continued by another invocation; as JSON knows it."""

    path: str
    size: int
    at: int  # where its header begins
    written: int = 0
    crc: int = 0
    pieces: list[str] = field(default_factory=list)  # SHA-256 of each, where it has more than one


class Archive:
    """A zip under construction on `upload`; `directory` is what `pause` returned earlier."""

    def __init__(self, upload: Upload, directory: list[dict[str, Any]] | None = None) -> None:
        self._upload = upload
        # Unseekable on purpose: sizes and sums follow each member (data descriptors).
        self._zip = zipfile.ZipFile(cast(BinaryIO, upload), "w", allowZip64=True)
        for entry in directory or ():
            info = _info(entry["filename"])
            for name in _KEPT:
                setattr(info, name, entry[name])
            self._zip.filelist.append(info)
            self._zip.NameToInfo[info.filename] = info

    def add(self, path: str, content: Iterable[bytes], compress: bool = True, size: int = 0) -> Member:
        """Write one member from its chunks. `size`, if it may exceed 2 GiB, makes room for it (zip64)."""
        info = _info(path)
        info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
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
        info = _info(path)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.file_size, info.compress_size, info.CRC = content.size, content.packed_size, content.crc
        info.header_offset = self._upload.tell()
        self._upload.write(info.FileHeader())
        for block in content.stream():
            self._upload.write(block)
        self._list(info)
        return Member(path, content.size, content.sha256)

    def begin(self, path: str, size: int) -> Entry:
        """Begin a stored file of that size; `append` and `end` follow, in this invocation or another."""
        entry = Entry(path, size, self._upload.tell())
        self._upload.write(self._stored(entry).FileHeader(zip64=size > _LARGE))
        return entry

    def append(self, entry: Entry, content: Iterable[bytes]) -> None:
        """The next piece of the file, of `PIECE` bytes or to its end: the work may stop after it."""
        digest = hashlib.sha256()
        for chunk in _together(content):
            self._upload.write(chunk)
            digest.update(chunk)
            entry.crc = zlib.crc32(chunk, entry.crc)
            entry.written += len(chunk)
        entry.pieces.append(digest.hexdigest())

    def end(self, entry: Entry) -> Member:
        """All pieces are there. Raises RuntimeError if they have not as many bytes as was said."""
        if entry.written != entry.size:
            raise RuntimeError(f"a file of {entry.size} bytes came with {entry.written}")
        layout = "<LLQQ" if entry.size > _LARGE else "<LLLL"
        self._upload.write(struct.pack(layout, _DESCRIPTOR, entry.crc, entry.size, entry.size))
        info = self._stored(entry)
        info.CRC, info.compress_size, info.file_size = entry.crc, entry.size, entry.size
        self._list(info)
        if len(entry.pieces) == 1:
            return Member(entry.path, entry.size, entry.pieces[0])
        return Member(entry.path, entry.size, "", tuple(entry.pieces), f"{entry.crc:08x}")

    def _stored(self, entry: Entry) -> zipfile.ZipInfo:
        info = _info(entry.path)
        info.header_offset = entry.at
        info.flag_bits |= _SUMS_FOLLOW
        return info

    def add_copied(self, path: str, first: bytearray, copying: Copying, size: int) -> Member:
        """A stored file of which S3 has copied all but the `first` bytes, which the upload takes over."""
        info = _info(path)
        info.header_offset = self._upload.tell()
        info.CRC = copying.crc(zlib.crc32(first))
        info.compress_size = info.file_size = size
        self._upload.insert(info.FileHeader(), first, copying.copied, size - len(first))
        self._list(info)
        if len(copying.sums) == 1:
            return Member(path, size, copying.sums[0])
        return Member(path, size, "", tuple(copying.sums), f"{info.CRC:08x}")

    def _list(self, info: zipfile.ZipInfo) -> None:
        self._zip.filelist.append(info)
        self._zip.NameToInfo[info.filename] = info
        self._zip.start_dir = self._upload.tell()  # where the directory will begin

    def tell(self) -> int:
        """How many bytes it has so far."""
        return self._upload.tell()

    def pause(self) -> list[dict[str, Any]]:
        """The members so far, to continue from."""
        return [{"filename": i.filename} | {n: getattr(i, n) for n in _KEPT} for i in self._zip.filelist]

    def finish(self) -> None:
        """Write the directory and make the object."""
        self._zip.close()
        self._upload.finish()


def _info(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _DATE)
    info.external_attr = 0o600 << 16
    return info


def _together(content: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: a piece costs the same however small."""
    held: list[bytes] = []
    size = 0
    for chunk in content:
        if size + len(chunk) > _CHUNK:
            yield b"".join(held)
            held, size = [], 0
        if len(chunk) >= _CHUNK:
            yield chunk
        else:
            held.append(chunk)
            size += len(chunk)
    yield b"".join(held)
