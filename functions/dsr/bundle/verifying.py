"""Whether a bundle is what was handed over: signature, every file, nothing besides. Works offline."""

import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsr.bundle.archive import Member
from dsr.bundle.copying import PIECE
from dsr.bundle.signature import MANIFEST, SIGNATURE
from dsr.errors import DsrError
from dsr.signing import SignatureError, fits

_CHUNK = 1024 * 1024


class BundleError(DsrError):
    """The file is no bundle, or not whole; the message says why."""


@dataclass
class Verified:
    """What was found. `manifest` is believed only if `faults` is empty."""

    manifest: dict[str, Any]
    files: int
    faults: list[str] = field(default_factory=list)


def verify_bundle(paths: Sequence[Path], pem: bytes) -> Verified:
    """Check a bundle against the public key in `pem`: one zip, or several; each has its own manifest.

    Raises BundleError if there is nothing to check: no zip, no manifest, no key.
    """
    found = [_verify_one(path, pem) for path in paths]
    faults = [
        fault if len(paths) == 1 else f"{path.name}: {fault}"
        for path, one in zip(paths, found, strict=True)
        for fault in one.faults
    ]
    if len(paths) > 1:
        faults += _set_faults([one.manifest for one in found])
    first = min(found, key=lambda one: one.manifest.get("volume", 1))
    return Verified(first.manifest, sum(one.files for one in found), faults)


def _set_faults(manifests: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is wrong with zips that each are as they should be: of several bundles, or not all of one."""
    made = {(said["case"], said["made_at"]) for said in manifests}
    if len(made) > 1:
        yield "the zips are of different bundles"
        return
    numbers = Counter(said.get("volume", 1) for said in manifests)
    for number in range(1, max(said.get("volumes", 1) for said in manifests) + 1):
        if numbers[number] != 1:
            yield f"zip {number} of the bundle is {'missing' if not numbers[number] else 'given twice'}"


def _verify_one(path: Path, pem: bytes) -> Verified:
    with _open(path) as archive:
        names = Counter(archive.namelist())
        if MANIFEST not in names:
            raise BundleError(f"there is no {MANIFEST} in {path}: this is no bundle")
        content = _whole(archive, MANIFEST)
        listed = _listed(content)
        faults = [f"{name} is in it {count} times" for name, count in names.items() if count > 1]
        if SIGNATURE not in names:
            faults.append(f"{SIGNATURE} is missing: nobody vouches for the manifest")
        else:
            faults += _signature_faults(content, _whole(archive, SIGNATURE), pem)
        for name in sorted(names.keys() - listed.keys() - {MANIFEST, SIGNATURE}):
            faults.append(f"{name} is not in the manifest: it was added")
        for name, said in listed.items():
            faults += _file_faults(archive if name in names else None, name, said)
        return Verified(json.loads(content), len(listed), faults)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise BundleError(f"{path} is no zip, or it was cut off: download it again") from None


def _listed(content: bytes) -> dict[str, Member]:
    try:
        files = [Member(**file) for file in json.loads(content)["files"]]
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{MANIFEST} is not a manifest of this product") from None
    return {file.path: file for file in files}


def _whole(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise BundleError(f"{name} cannot be read: the zip is damaged") from None


def _signature_faults(manifest: bytes, signature: bytes, pem: bytes) -> Iterator[str]:
    try:
        if not fits(manifest, signature, pem):
            yield "the signature does not fit: another key, or the manifest was changed"
    except SignatureError as error:
        raise BundleError(str(error)) from None


def _file_faults(archive: zipfile.ZipFile | None, name: str, said: Member) -> Iterator[str]:
    if archive is None:
        yield f"{name} is missing"
        return
    if not (said.sha256 or said.pieces):
        yield f"{name} has no SHA-256 in the manifest: nobody vouches for what is in it"
        return
    try:
        length, sums = _summed(archive, name, said)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        yield f"{name} cannot be read: it is damaged, or was put in from outside"
        return
    if length > said.size:
        yield f"{name} has more than {said.size:,} bytes"
    elif length < said.size:
        yield f"{name} has {length:,} bytes instead of {said.size:,}"
    elif said.sha256 and sums.sha256 != said.sha256:
        yield f"{name} was changed: its SHA-256 is another"
    elif said.pieces and sums.pieces != tuple(said.pieces):
        yield f"{name} was changed: the SHA-256 of a piece of it is another"
    elif not said.sha256 and sums.crc32 != said.crc32:
        yield f"{name} was changed: its CRC-32 is another"


def _summed(archive: zipfile.ZipFile, name: str, said: Member) -> tuple[int, Member]:
    """How long the file is, and its sums; read no further than it should go: it may unpack without end."""
    whole, piece, pieces, crc, length = hashlib.sha256(), hashlib.sha256(), [], 0, 0
    with archive.open(name) as file:
        while length <= said.size:
            chunk = file.read(min(_CHUNK, PIECE - length % PIECE))
            if not chunk:
                break
            length += len(chunk)
            if said.sha256:
                whole.update(chunk)
                continue
            crc = zlib.crc32(chunk, crc)
            piece.update(chunk)
            if length % PIECE == 0 or length == said.size:
                pieces.append(piece.hexdigest())
                piece = hashlib.sha256()
    return length, Member(name, length, whole.hexdigest(), tuple(pieces), f"{crc:08x}")
