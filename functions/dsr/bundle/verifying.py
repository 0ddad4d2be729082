"""Whether a bundle is what was handed over: signature, every file, nothing besides. Works offline."""

import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    """Check a bundle (all its zips, if there are several) against the public key in `pem`.

    Raises BundleError if there is nothing to check: no zip, no manifest, no key.
    """
    with ExitStack() as opened:
        archives = [opened.enter_context(_open(path)) for path in paths]
        where: dict[str, zipfile.ZipFile] = {}
        names: Counter[str] = Counter()
        for archive in archives:
            names.update(archive.namelist())
            where |= dict.fromkeys(archive.namelist(), archive)
        if MANIFEST not in where:
            raise BundleError(f"there is no {MANIFEST} in it: this is no bundle, or not the first zip of one")
        content = _whole(where[MANIFEST], MANIFEST)
        listed = _listed(content)
        faults = [f"{name} is in it {count} times" for name, count in names.items() if count > 1]
        if SIGNATURE not in where:
            faults.append(f"{SIGNATURE} is missing: nobody vouches for the manifest")
        else:
            faults += _signature_faults(content, _whole(where[SIGNATURE], SIGNATURE), pem)
        for name in sorted(where.keys() - listed.keys() - {MANIFEST, SIGNATURE}):
            faults.append(f"{name} is not in the manifest: it was added")
        for name, said in listed.items():
            faults += _file_faults(where.get(name), name, said)
        return Verified(json.loads(content), len(listed), faults)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise BundleError(f"{path} is no zip, or it was cut off: download it again") from None


def _listed(content: bytes) -> dict[str, tuple[int, str]]:
    try:
        return {file["path"]: (file["size"], file["sha256"]) for file in json.loads(content)["files"]}
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{MANIFEST} is not a manifest of this product") from None


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


def _file_faults(archive: zipfile.ZipFile | None, name: str, said: tuple[int, str]) -> Iterator[str]:
    if archive is None:
        yield f"{name} is missing"
        return
    size, sha256 = said
    try:
        digest, length = hashlib.sha256(), 0
        with archive.open(name) as file:
            # No further than it should go: what was put in its place may unpack without end.
            while length <= size and (chunk := file.read(_CHUNK)):
                digest.update(chunk)
                length += len(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        yield f"{name} cannot be read: it is damaged, or was put in from outside"
        return
    if length > size:
        yield f"{name} has more than {size:,} bytes"
    elif length < size:
        yield f"{name} has {length:,} bytes instead of {size:,}"
    elif digest.hexdigest() != sha256:
        yield f"{name} was changed: its SHA-256 is another"
