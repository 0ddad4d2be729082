"""What the demo checks about itself: is the bundle the truth, is it whole, and has nothing leaked. Pure."""

import base64
import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import UUID

Record = dict[str, Any]
Collection = tuple[str, str]  # store and collection, by their names in the data map
Records = Mapping[Collection, list[Record]]

CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Bundle:
    """A bundle as read back: its manifest, its records, and size and SHA-256 of every file by path."""

    manifest: dict[str, Any]
    records: dict[Collection, list[Record]]
    files: dict[str, tuple[int, str]]

    @property
    def originals(self) -> dict[str, list[tuple[int, str]]]:
        """Size and SHA-256 of the originals, by store."""
        found: dict[str, list[tuple[int, str]]] = {}
        for path, what in self.files.items():
            folder, _, rest = path.partition("/")
            if folder == "files":
                found.setdefault(rest.split("/")[0], []).append(what)
        return found


def read_bundle(path: Path) -> Bundle:
    """The bundle at `path`. Raises zipfile.BadZipFile, KeyError or ValueError if it is none."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        records: dict[Collection, list[Record]] = {}
        files = {}
        for name in archive.namelist():
            files[name] = _measured(archive, name)
            parts = Path(name).parts
            if len(parts) == 3 and parts[0] == "data" and name.endswith(".jsonl"):
                lines = archive.read(name).split(b"\n")
                # Of a large collection the files are numbered: no name in a map has a hyphen.
                held = records.setdefault((parts[1], Path(parts[2]).stem.partition("-")[0]), [])
                held += [json.loads(line) for line in lines if line]
        return Bundle(json.loads(archive.read("manifest.json")), records, files)


def manifest_faults(bundle: Bundle) -> list[str]:
    """Where the manifest and the files disagree, as sentences; empty if nowhere."""
    listed = {file["path"]: (file["size"], file["sha256"]) for file in bundle.manifest["files"]}
    unlisted = bundle.files.keys() - listed.keys() - {"manifest.json", "manifest.sig"}
    faults = [f"{path} is in the bundle and not in its manifest" for path in sorted(unlisted)]
    for path in sorted(listed):
        if path not in bundle.files:
            faults.append(f"{path} is in the manifest and not in the bundle")
        elif listed[path] != bundle.files[path]:
            faults.append(f"{path} has another size or SHA-256 than its manifest says")
    for said in bundle.manifest["collections"]:
        collection = (said["store"], said["collection"])
        held = len(bundle.records.get(collection, []))
        if held != said["records"]:
            faults.append(f"{'.'.join(collection)}: {said['records']} records in the manifest, {held} held")
    return faults


def record_faults(truth: Records, bundle: Bundle) -> list[str]:
    """Where the bundle and the truth differ, as sentences; empty if nowhere.

    `truth` has values as the stores hold them. A record with `sha256` stands for a file: of it the bundle
    must hold the bytes, and may tell more than the truth knows (type, time). All other records must be equal,
    field by field.
    """
    faults = []
    for collection in sorted(truth.keys() | bundle.records.keys()):
        wanted, held = truth.get(collection, []), bundle.records.get(collection, [])
        if any("sha256" in record for record in wanted):
            faults += _file_faults(collection, wanted, bundle)
            compared = {name for record in wanted for name in record} - {"sha256"}
            wanted = [
                {name: value for name, value in record.items() if name in compared} for record in wanted
            ]
            held = [{name: value for name, value in record.items() if name in compared} for record in held]
        kinds = _kinds(wanted)
        expected = Counter(_canonical(record, kinds) for record in wanted)
        found = Counter(_canonical(record, kinds) for record in held)
        name = ".".join(collection)
        faults += [f"{name}: missing {record}" for record in (expected - found).elements()]
        faults += [
            f"{name}: not this person's, or changed: {record}" for record in (found - expected).elements()
        ]
    return faults


def _file_faults(collection: Collection, wanted: list[Record], bundle: Bundle) -> list[str]:
    expected = Counter((record["size"], record["sha256"]) for record in wanted)
    found = Counter(bundle.originals.get(collection[0], []))
    name = ".".join(collection)
    missing = [
        f"{name}: no file of {size} bytes with SHA-256 {digest}"
        for size, digest in (expected - found).elements()
    ]
    alien = [
        f"{name}: a file of {size} bytes that is not this person's"
        for size, _ in (found - expected).elements()
    ]
    return missing + alien


def _measured(archive: zipfile.ZipFile, name: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _kinds(records: Iterable[Record]) -> dict[str, type]:
    """The type of each field's values, from the side that has types."""
    return {name: type(value) for record in records for name, value in record.items() if value is not None}


def _canonical(record: Record, kinds: Mapping[str, type]) -> str:
    """One text for equal records, whether typed or read from JSON (where moments, numbers and ids are
    text)."""
    plain = {name: _plain(value, kinds.get(name)) for name, value in record.items()}
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)


def _plain(value: Any, kind: type | None) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {name: _plain(inner, type(inner)) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        inner = [_plain(item, type(item)) for item in value]
        return sorted(inner, key=str) if kind is set else inner
    try:
        if kind is datetime:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            return moment.astimezone(UTC).isoformat()
        if kind in (int, float, Decimal):
            return format(Decimal(str(value)).normalize(), "f")
        if kind is UUID:
            return str(UUID(str(value)))
    except (ValueError, InvalidOperation, TypeError):
        pass  # not what the truth has: it stays as it is, and differs
    return str(value) if isinstance(value, (datetime, Decimal, UUID)) else value


class Needles:
    """Values to be found wherever they hide: as they are, in another case, escaped for JSON or URLs, in
    base64."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = sorted(set(values))
        plain = {form.casefold(): value for value in self._values for form in _spellings(value)}
        encoded = {form: value for value in self._values for form in _base64_cores(value)}
        self._plain, self._encoded = _by_beginning(plain), _by_beginning(encoded)

    def in_text(self, text: str) -> set[str]:
        """Those of the values that `text` holds."""
        return _held(self._plain, text.casefold()) | _held(self._encoded, text)


_BEGINNING = 4  # signs; few texts hold the beginning of any form, and there are thousands of both


def _by_beginning(forms: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for form, value in forms.items():
        found.setdefault(form[:_BEGINNING], []).append((form, value))
    return found


def _held(forms: Mapping[str, list[tuple[str, str]]], text: str) -> set[str]:
    """The values one of whose forms is in the text."""
    parts = {text[n : n + _BEGINNING] for n in range(len(text))}
    short = {begin for begin in forms if len(begin) < _BEGINNING and begin in text}
    begun = short | (forms.keys() & parts)
    return {value for begin in begun for form, value in forms[begin] if form in text}


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(value)[1:-1])[1:-1]  # JSON as a string within JSON
    yield quote(value)
    yield quote(value, safe="")
    yield quote_plus(value)


def _base64_cores(value: str) -> Iterator[str]:
    """What base64 of any text around `value` must contain, at each of the three ways to align it."""
    raw = value.encode()
    if len(raw) < 8:  # fewer leave so few characters that chance finds them
        return
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        first = (0, 2, 3)[before]
        last = (before + len(raw)) // 3 * 4
        core = encoded[first:last]
        yield core
        yield core.translate(str.maketrans("+/", "-_"))
