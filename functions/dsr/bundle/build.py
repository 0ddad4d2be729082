"""Building the bundle of a case, member by member, within a time budget, resumable between members."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client_as
from dsr.bundle.archive import Archive, Member
from dsr.bundle.names import safe_name
from dsr.bundle.page import render_index
from dsr.bundle.upload import Upload, UploadState
from dsr.case import Case
from dsr.datamap.plan import Collection, Plan
from dsr.errors import StoreFault
from dsr.gathering import staged
from dsr.records import to_line, without
from dsr.staging import Staging

_CHUNK = 1024 * 1024
_PREVIEW = 20  # records per collection that the page itself shows


@dataclass
class _Progress:
    """Where the building is; sealed in staging, since it holds names of files and some records."""

    upload: dict[str, Any]
    directory: list[dict[str, Any]] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    previews: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, list[list[str]]] = field(default_factory=dict)  # store → [member path, object key]
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._case, self._staging = plan, case, staging
        self._bucket, self._key = bucket, key
        self._ends_at, self._clock = ends_at, clock
        self._taken: dict[str, set[str]] = {}  # names of files per store
        self._places: dict[str, Any] = {}  # of the visits: nobody gathers any more

    def run(self, made_at: datetime) -> int | None:
        """Build until finished (returns the size in bytes) or out of time (None: call again).

        Raises StoreFault if an original cannot be read any more.
        """
        progress, archive, upload = self._continue()
        done = set(progress.done)
        self._taken = {
            store: {path.rsplit("/", 1)[-1].casefold() for path, _ in listed}
            for store, listed in progress.files.items()
        }
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
        self._staging.put_json("bundle/progress", asdict(progress))

    def _steps(self, progress: _Progress, archive: Archive) -> Iterator[tuple[str, Callable[[], None]]]:
        for collection in self._plan.collections.values():
            yield f"data:{collection.path}", lambda c=collection: self._data(c, progress, archive)  # type: ignore[misc]
        for collection in self._plan.collections.values():
            for number, original in enumerate(self._originals(collection)):
                yield (
                    f"file:{collection.path}:{number}",
                    lambda c=collection, o=original: self._file(c, o, progress, archive),  # type: ignore[misc]
                )

    def _data(self, collection: Collection, progress: _Progress, archive: Archive) -> None:
        records = staged(self._staging, self._plan, collection.path, places=self._places)
        first = next(records, None)
        if first is None:
            return
        preview: list[dict[str, Any]] = []
        count = 0

        def lines() -> Iterator[bytes]:
            nonlocal count
            for record in chain([first], records):
                values = disclosed(collection, record["values"])
                if len(preview) < _PREVIEW:
                    preview.append(values)
                count += 1
                yield to_line(values)

        member = archive.add(f"data/{collection.store}/{collection.name}.jsonl", lines())
        progress.members.append(asdict(member))
        progress.counts[collection.path] = count
        progress.previews[collection.path] = preview

    def _originals(self, collection: Collection) -> Iterator[dict[str, Any]]:
        if "key_template" in collection.options and "content" not in collection.never:
            for record in staged(self._staging, self._plan, collection.path, places=self._places):
                if "original" in record:
                    yield record["original"]

    def _file(
        self, collection: Collection, original: dict[str, Any], progress: _Progress, archive: Archive
    ) -> None:
        taken = self._taken.setdefault(collection.store, set())
        path = f"files/{collection.store}/{safe_name(original['object_key'], taken)}"
        member = archive.add(path, self._content(collection, original), compress=False, size=original["size"])
        progress.members.append(asdict(member))
        progress.files.setdefault(collection.store, []).append([path, original["object_key"]])

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
        page = render_index(
            self._plan,
            self._case,
            progress.counts,
            progress.previews,
            progress.files,
            self._missing(),
            made_at,
        )
        progress.members.append(asdict(archive.add("index.html", [page.encode()])))
        archive.add("manifest.json", [self._manifest(progress, made_at)])

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
            {"store": c.store, "collection": c.name, "records": progress.counts.get(c.path, 0)}
            for c in self._plan.collections.values()
        ]
        content = {
            "case": self._case.case_id,
            "map_version": self._case.map_version,
            "made_at": made_at.isoformat(),
            "outcome": self._case.outcome,
            "missing": self._missing(),
            "collections": collections,
            "files": members,
        }
        return json.dumps(content, indent=1, ensure_ascii=False).encode()


def disclosed(collection: Collection, values: dict[str, Any]) -> dict[str, Any]:
    """The record without the fields that the map never discloses."""
    for path in collection.never:
        values = without(values, path)
    return values
