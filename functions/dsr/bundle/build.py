"""Building the bundle of a case, member by member, within a time budget, resumable between members."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client_as
from dsr.bundle.archive import Archive, Member
from dsr.bundle.datafiles import FILE, SliceWriter, Table
from dsr.bundle.names import safe_name
from dsr.bundle.page import render_index
from dsr.bundle.signature import MANIFEST, SIGNATURE, sign_manifest
from dsr.bundle.upload import Upload, UploadState
from dsr.case import Case
from dsr.datamap.plan import Collection, Plan
from dsr.errors import StoreFault
from dsr.gathering import parts_of, read_parts, staged
from dsr.records import without
from dsr.staging import Staging

_CHUNK = 1024 * 1024


@dataclass
class _Progress:
    """Where the building is; sealed in staging, since it holds names of files and some records."""

    upload: dict[str, Any]
    directory: list[dict[str, Any]] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)  # `Table` by collection path
    done: list[str] = field(default_factory=list)  # steps


class BundleBuilder:
    """The bundle of one case, written to `bucket` under `key`."""

    def __init__(
        self,
        plan: Plan,
        case: Case,
        staging: Staging,
        bucket: str,
        key: str,
        ends_at: float,
        signing_key: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._case, self._staging = plan, case, staging
        self._bucket, self._key = bucket, key
        self._ends_at, self._clock = ends_at, clock
        self._signing_key = signing_key
        self._taken: dict[str, set[str]] = {}  # names of files per store
        self._tables: dict[str, Table] = {}  # by collection path
        self._places: dict[str, Any] = {}  # of the visits: nobody gathers any more

    def run(self, made_at: datetime) -> int | None:
        """Build until finished (returns the size in bytes) or out of time (None: call again).

        Raises StoreFault if an original cannot be read any more.
        """
        progress, archive, upload = self._continue()
        done = set(progress.done)
        self._tables = {path: Table(**table) for path, table in progress.tables.items()}
        for path, table in self._tables.items():
            names = self._taken.setdefault(path.partition(".")[0], set())
            names.update(name.rsplit("/", 1)[-1].casefold() for name, _ in table.files)
        for name, step in self._steps(progress, archive):
            if name in done:
                continue
            step()
            progress.done.append(name)
            if self._clock() >= self._ends_at:
                self._save(progress, archive, upload)
                return None
        self._close(progress, archive, made_at)
        archive.finish()
        return upload.tell()

    def _continue(self) -> tuple[_Progress, Archive, Upload]:
        saved = self._staging.get_json("bundle/progress")
        if saved is not None:
            progress = _Progress(**saved)
            state = UploadState(**{**progress.upload, "rest": base64.b64decode(progress.upload["rest"])})
            upload = Upload(self._bucket, self._key, state)
            # It is over when a call was killed between making the object and saying so.
            if upload.is_open():
                return progress, Archive(upload, progress.directory), upload
        upload = Upload.begin(self._bucket, self._key)
        return _Progress({}), Archive(upload), upload

    def forget(self) -> None:
        """Begin anew at the next call."""
        self._staging.remove("bundle/")

    def _save(self, progress: _Progress, archive: Archive, upload: Upload) -> None:
        state = asdict(upload.pause())
        progress.upload = {**state, "rest": base64.b64encode(state["rest"]).decode()}
        progress.directory = archive.pause()
        progress.tables = {path: asdict(table) for path, table in self._tables.items()}
        self._staging.put_json("bundle/progress", asdict(progress))

    def _steps(self, progress: _Progress, archive: Archive) -> Iterator[tuple[str, Callable[[], None]]]:
        for collection in self._plan.collections.values():
            parts = parts_of(self._staging, self._plan, collection.path, "staged", 0, self._places)
            table = self._tables.setdefault(collection.path, Table())
            number = 0
            # Each step is a slice, and says how many parts it took.
            while number == 0 or table.parts < len(parts):
                yield (
                    f"data:{collection.path}:{number}",
                    lambda c=collection, t=table, p=parts: self._slice(c, t, p, progress, archive),  # type: ignore[misc]
                )
                number += 1
        for collection in self._plan.collections.values():
            named = self._tables[collection.path].files
            for number, (original, (path, _)) in enumerate(
                zip(self._originals(collection), named, strict=True)
            ):
                yield (
                    f"file:{collection.path}:{number}",
                    lambda c=collection, o=original, p=path: self._file(c, o, p, progress, archive),  # type: ignore[misc]
                )

    def _slice(
        self, collection: Collection, table: Table, parts: list[str], progress: _Progress, archive: Archive
    ) -> None:
        """Write the next slice of a collection's records: JSON Lines, CSV, the pages of the viewer."""
        writer = SliceWriter(archive, collection, table)
        while table.parts < len(parts) and not writer.is_full:
            found = read_parts(self._staging, [parts[table.parts]])
            writer.add(self._disclosed(collection, table, record) for record in found)
            table.parts += 1
        progress.members += map(asdict, writer.finish())

    def _disclosed(self, collection: Collection, table: Table, record: dict[str, Any]) -> dict[str, Any]:
        """The values as the person reads them, with the name of the record's file in the bundle."""
        values = disclosed(collection, record["values"])
        if "original" in record and _hands_over_files(collection):
            key = record["original"]["object_key"]
            taken = self._taken.setdefault(collection.store, set())
            path = f"files/{collection.store}/{safe_name(key, taken)}"
            table.files.append([path, key])
            values = {**values, FILE: path}
        return values

    def _originals(self, collection: Collection) -> Iterator[dict[str, Any]]:
        if _hands_over_files(collection):
            for record in staged(self._staging, self._plan, collection.path, places=self._places):
                if "original" in record:
                    yield record["original"]

    def _file(
        self,
        collection: Collection,
        original: dict[str, Any],
        path: str,
        progress: _Progress,
        archive: Archive,
    ) -> None:
        content = self._content(collection, original)
        member = archive.add(path, content, compress=False, size=original["size"])
        progress.members.append(asdict(member))

    def _content(self, collection: Collection, original: dict[str, Any]) -> Iterator[bytes]:
        version = {"VersionId": original["version"]} if original["version"] else {}
        s3 = client_as(self._plan.stores[collection.store].access, "s3")
        try:
            answer = s3.get_object(Bucket=original["bucket"], Key=original["object_key"], **version)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed"):
                raise StoreFault(
                    "malformed_data", f"{collection.path}: an original was removed meanwhile"
                ) from None
            if code == "AccessDenied":
                raise StoreFault("missing_permission", f"{collection.path}: GetObject") from None
            raise
        yield from answer["Body"].iter_chunks(_CHUNK)

    def _close(self, progress: _Progress, archive: Archive, made_at: datetime) -> None:
        page = render_index(self._plan, self._case, self._tables, self._missing(), made_at)
        progress.members.append(asdict(archive.add("index.html", [page.encode()])))
        manifest = self._manifest(progress, made_at)
        archive.add(MANIFEST, [manifest])
        archive.add(SIGNATURE, [sign_manifest(manifest, self._signing_key)], compress=False)

    def _missing(self) -> list[str]:
        """What an agent left out, and what is found only through it: said, never passed over."""
        said = {k.removeprefix("visit:") for k, word in self._case.decisions.items() if word == "leave_out"}
        missing: set[str] = set()
        for visit in self._plan.visits:
            for collection in self._plan.collections_of(visit):
                if visit.visit in said or missing & collection.parents:
                    missing.add(collection.path)
        return [path for path in self._plan.collections if path in missing]

    def _manifest(self, progress: _Progress, made_at: datetime) -> bytes:
        members = [asdict(Member(**m)) for m in progress.members]
        collections = [
            {"store": c.store, "collection": c.name, "records": self._tables[c.path].records}
            for c in self._plan.collections.values()
        ]
        content = {
            "kind": "bundle",
            "version": 1,
            "controller": self._plan.controller["name"],
            "case": self._case.case_id,
            "map_version": self._case.map_version,
            "made_at": made_at.isoformat(),
            "outcome": self._case.outcome,
            "missing": self._missing(),
            "collections": collections,
            "files": members,
        }
        return json.dumps(content, indent=1, ensure_ascii=False).encode()


def _hands_over_files(collection: Collection) -> bool:
    return "key_template" in collection.options and "content" not in collection.never


def disclosed(collection: Collection, values: dict[str, Any]) -> dict[str, Any]:
    """The record without the fields that the map never discloses."""
    for path in collection.never:
        values = without(values, path)
    return values
