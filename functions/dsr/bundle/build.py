"""Building the bundle of a case, member by member, within a time budget, resumable between members."""

import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from dsr.aws import client_as
from dsr.bundle.archive import Entry
from dsr.bundle.copying import HEAD, PIECE, WORTH_COPYING, CannotCopyError, Copier, Copying
from dsr.bundle.datafiles import FILE, SliceWriter, Table
from dsr.bundle.names import safe_name
from dsr.bundle.originals import read_head, read_range
from dsr.bundle.package import PACKAGE, data_package
from dsr.bundle.page import render_index, replaced_in, script
from dsr.bundle.signature import MANIFEST, SIGNATURE, sign_manifest
from dsr.bundle.volumes import Volumes
from dsr.case import Case, Requester
from dsr.casebook import Visit
from dsr.contacts import proven_contacts
from dsr.datamap.plan import Collection, Plan
from dsr.errors import StoreFault
from dsr.finds import parts_of, read_part, read_parts, staged
from dsr.language import Words
from dsr.missing import missing_of
from dsr.phones import kind_of
from dsr.records import with_text
from dsr.redaction.own import Own, must_read
from dsr.redaction.review import Finds, Found, Review
from dsr.redaction.screen import Screen, report_lines
from dsr.staging import Staging

REPORT = "redactions.json"
_STAGED = '{"values":'  # before the values in a staged line


class ReviewNeeded(Exception):
    """Something may be about others: a person must look before it goes out. `paths`: of which collections."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__(f"a person must look at {', '.join(paths)}")
        self.paths = paths


@dataclass
class _Progress:
    """Where the building is; sealed in staging, since it holds names of files and some records."""

    volumes: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)  # `Table` by collection path
    done: list[str] = field(default_factory=list)  # steps
    own: dict[str, Any] = field(default_factory=dict)  # the subject's own addresses, numbers, names
    read: dict[str, int] = field(default_factory=dict)  # parts read for them, by collection path
    found: dict[str, Any] = field(default_factory=dict)  # what a person must look at
    replaced: dict[str, list[list[Any]]] = field(default_factory=dict)  # by collection path
    withheld: dict[str, list[int]] = field(default_factory=dict)  # which originals, by collection path
    copying: dict[str, Any] = field(default_factory=dict)  # of an original that S3 copies
    entry: dict[str, Any] = field(default_factory=dict)  # of one that passes through
    passing: list[str] = field(default_factory=list)  # stores whose originals S3 may not copy


class BundleBuilder:
    """The bundle of one case, written to `bucket` under `key`; several zips beyond `limit` bytes.

    `visits`: how they went, for why something is missing. `only` these: a supplement with what they read.
    """

    def __init__(
        self,
        plan: Plan,
        case: Case,
        requester: Requester,
        staging: Staging,
        bucket: str,
        key: str,
        ends_at: float,
        signing_keys: str,
        clock: Callable[[], float] = time.monotonic,
        limit: int = 10 * 1000**3,
        visits: Mapping[str, Visit] | None = None,
        only: Sequence[str] = (),
    ) -> None:
        self._plan, self._case, self._staging = plan, case, staging
        self._shown = (
            plan.only(only) if only else plan
        )  # what is written; all of it says what is the subject's
        self._supplement = bool(only)
        self._missing = missing_of(plan, case, visits or {})
        self._requester, self._words = requester, Words(case.language)
        self._volumes = Volumes(bucket, key, staging, limit)
        # So large that there are parts enough for all of them in one object.
        self._copied_from = max(WORTH_COPYING, limit // 2000)
        self._ends_at, self._clock = ends_at, clock
        self._signing_keys = signing_keys
        self._taken: dict[str, set[str]] = {}  # names of files per store
        self._tables: dict[str, Table] = {}  # by collection path
        self._places: dict[str, Any] = {}  # of the visits: nobody gathers any more
        self._review = Review(staging)
        self._own, self._found = Own(), Found()
        self._finds = Finds(staging, self._found)
        self._screens: dict[str, Screen] = {}  # by collection path

    def run(self, made_at: datetime) -> list[dict[str, Any]] | None:
        """Build until finished (returns key and size of each zip) or out of time (None: call again).

        Raises StoreFault if an original cannot be read any more, and ReviewNeeded if a person must look at
        something first: what they decide, the next bundle goes by.
        """
        progress = self._continue()
        done = set(progress.done)
        self._take_up_screens(progress)
        self._tables = {path: Table(**table) for path, table in progress.tables.items()}
        for path, table in self._tables.items():
            names = self._taken.setdefault(path.partition(".")[0], set())
            names.update(name.rsplit("/", 1)[-1].casefold() for name, _ in table.files)
        for name, step in self._steps(progress):
            if name in done:
                continue
            if step() is not False:
                progress.done.append(name)
            if self._is_late():
                self._save(progress)
                return None
        return self._close(made_at)

    def _is_late(self) -> bool:
        return self._clock() >= self._ends_at

    def _continue(self) -> _Progress:
        saved = self._staging.get_json("bundle/progress")
        if saved is not None:
            progress = _Progress(**saved)
            if self._volumes.take_up(progress.volumes):
                return progress
        self._volumes.begin()
        return _Progress()

    def forget(self) -> None:
        """Begin anew at the next call."""
        self._staging.remove("bundle/")

    def _save(self, progress: _Progress) -> None:
        progress.volumes = self._volumes.save()
        progress.tables = {path: asdict(table) for path, table in self._tables.items()}
        progress.own, progress.found = self._own.as_json(), asdict(self._found)
        progress.replaced |= {
            path: [[*what, n] for what, n in screen.tally.items()] for path, screen in self._screens.items()
        }
        self._staging.put_json("bundle/progress", asdict(progress))

    def _take_up_screens(self, progress: _Progress) -> None:
        """Go on with what is known of the subject and was found so far."""
        self._own = Own.of(progress.own)
        for contact in proven_contacts(self._case, self._requester):
            self._own.add(kind_of(contact), contact)
        if progress.found:
            self._found = Found(**progress.found)
        self._finds = Finds(self._staging, self._found)
        self._screens = {}
        decisions = self._review.decisions()
        for path, collection in self._plan.collections.items():
            screen = Screen(collection, self._own, decisions, self._finds.add, self._words)
            for field_name, what, decided, records in progress.replaced.get(path, ()):
                screen.tally[field_name, what, decided] = records
            self._screens[path] = screen

    def _learn(self, collection: Collection, parts: list[str], progress: _Progress) -> None:
        """Read one part of a collection for what is the subject's own."""
        at = progress.read.get(collection.path, 0)
        for record in read_parts(self._staging, parts[at : at + 1]):
            self._own.learn(collection, record["values"])
        progress.read[collection.path] = at + 1

    def _ask(self) -> None:
        """Stop here if a person must look at something."""
        if self._found.counts:
            self._review.put(self._found)
            raise ReviewNeeded(list(dict.fromkeys(group.partition("|")[0] for group in self._found.counts)))

    def _steps(self, progress: _Progress) -> Iterator[tuple[str, Callable[[], bool | None]]]:
        """What is to be done, by name. A step that returns False is not through, and is taken again."""
        for collection in must_read(self._plan.collections.values()):
            parts = parts_of(self._staging, self._plan, collection.path, "staged", 0, self._places)
            for number in range(len(parts)):
                yield (
                    f"own:{collection.path}:{number}",
                    lambda c=collection, p=parts: self._learn(c, p, progress),  # type: ignore[misc]
                )
        yield "own", self._own.settle
        for collection in self._shown.collections.values():
            parts = parts_of(self._staging, self._plan, collection.path, "staged", 0, self._places)
            table = self._tables.setdefault(collection.path, Table())
            number = 0
            # Each step is a slice, and says how many parts it took.
            while number == 0 or table.parts < len(parts):
                yield (
                    f"data:{collection.path}:{number}",
                    lambda c=collection, t=table, p=parts: self._slice(c, t, p, progress),  # type: ignore[misc]
                )
                number += 1
        yield "review", self._ask
        for collection in self._shown.collections.values():
            named = self._tables[collection.path].files
            withheld = progress.withheld.get(collection.path, [])
            for number, (original, (path, _)) in enumerate(
                zip(self._originals(collection, withheld), named, strict=True)
            ):
                yield (
                    f"file:{collection.path}:{number}",
                    lambda c=collection, o=original, p=path: self._file(c, o, p, progress),  # type: ignore[misc]
                )

    def _slice(self, collection: Collection, table: Table, parts: list[str], progress: _Progress) -> None:
        """Write the next slice of a collection's records: JSON Lines, CSV, the pages of the viewer."""
        self._volumes.make_room()
        writer = SliceWriter(self._volumes.archive, collection, table)
        while table.parts < len(parts) and not writer.is_full:
            staged_lines = with_text(read_part(self._staging, parts[table.parts]))
            writer.add_written(
                self._written(collection, table, record, text, progress) for record, text in staged_lines
            )
            table.parts += 1
        self._finds.flush()
        for member in writer.finish():
            self._volumes.add(member)

    def _written(
        self, collection: Collection, table: Table, record: dict[str, Any], text: str, progress: _Progress
    ) -> tuple[dict[str, Any], bytes | None]:
        """The values as the person reads them, and their line if it stands in staging just so."""
        values = self._disclosed(collection, table, record, progress)
        if values is record["values"] and len(record) == 1 and text.startswith(_STAGED):
            return values, text[len(_STAGED) : -1].encode() + b"\n"
        return values, None

    def _disclosed(
        self, collection: Collection, table: Table, record: dict[str, Any], progress: _Progress
    ) -> dict[str, Any]:
        """The values as the person reads them, with the name of the record's file in the bundle."""
        has_file = "original" in record and self._hands_over_files(collection)
        taken = self._screens[collection.path].take(record["values"], has_file)
        values = taken.values
        if has_file and not taken.file:
            withheld = progress.withheld.setdefault(collection.path, [])
            withheld.append(len(table.files) + len(withheld))
        elif has_file:
            key = record["original"]["object_key"]
            names = self._taken.setdefault(collection.store, set())
            path = f"files/{collection.store}/{safe_name(key, names)}"
            table.files.append([path, key])
            values = {**values, FILE: path}
        return values

    def _originals(self, collection: Collection, withheld: list[int]) -> Iterator[dict[str, Any]]:
        if self._hands_over_files(collection):
            records = staged(self._staging, self._plan, collection.path, places=self._places)
            originals = (record["original"] for record in records if "original" in record)
            skipped = set(withheld)
            yield from (original for number, original in enumerate(originals) if number not in skipped)

    def _file(self, collection: Collection, original: dict[str, Any], path: str, progress: _Progress) -> bool:
        """Write one original; False if time is up before its end."""
        size = original["size"]
        if not progress.copying and not progress.entry:
            self._volumes.make_room(size)
        if not original["bucket"]:
            return self._handed_in(collection, original, path)
        if not progress.entry and size >= self._copied_from and collection.store not in progress.passing:
            try:
                return self._copy(collection, original, path, progress)
            except CannotCopyError:
                progress.copying = {}
                progress.passing.append(collection.store)
        return self._pass(collection, original, path, progress)

    def _handed_in(self, collection: Collection, original: dict[str, Any], path: str) -> bool:
        """Write a file that an agent handed in: it lies sealed in staging, and is small."""
        content = self._staging.get(original["version"])
        if content is None:
            raise StoreFault("malformed_data", f"{collection.path}: what was handed in is gone")
        self._volumes.add(self._volumes.archive.add(path, [content], compress=False, size=len(content)))
        return True

    def _hands_over_files(self, collection: Collection) -> bool:
        """Whether records can stand for files: of S3, or handed in by an agent."""
        of_kind = "key_template" in collection.options or bool(self._plan.stores[collection.store].recipient)
        return of_kind and "content" not in collection.never

    def _copy(self, collection: Collection, original: dict[str, Any], path: str, progress: _Progress) -> bool:
        """Have S3 copy the original, but for its first bytes; False if time is up before its end.

        Raises CannotCopyError if it has to pass through.
        """
        upload, size = self._volumes.upload, original["size"]
        store = self._store_of(collection)
        if progress.copying:
            copying = Copying(**progress.copying)
        else:
            known = read_head(store, collection.path, original)
            copying = Copying.plan(size, upload.share(size, self._volumes.limit), known.etag, known.sha256)
        lies = {"Bucket": original["bucket"], "Key": original["object_key"]}
        lies |= {"VersionId": original["version"]} if original["version"] else {}
        with closing(Copier(copying, upload.target, lies, upload.first_copied)) as copier:
            while not copying.done:
                copier.copy_some()
                if self._is_late() and not copying.done:
                    progress.copying = asdict(copying)
                    return False
        known = read_head(store, collection.path, original, copying.etag)
        first = bytearray()
        for chunk in read_range(store, collection.path, original, copying.etag, 0, HEAD):
            first += chunk
        if known.crc is not None and known.crc != copying.crc(zlib.crc32(first)):
            # One of the two is wrong, and nobody can tell which: the bytes themselves are asked.
            raise CannotCopyError("another checksum than S3 keeps")
        self._volumes.add(self._volumes.archive.add_copied(path, first, copying, size))
        progress.copying = {}
        return True

    def _pass(self, collection: Collection, original: dict[str, Any], path: str, progress: _Progress) -> bool:
        """Have the original pass through, piece by piece; False if time is up before its end."""
        archive, size, store = self._volumes.archive, original["size"], self._store_of(collection)
        entry, etag = Entry(**progress.entry["entry"]) if progress.entry else None, ""
        if entry is None:
            # A file of one piece needs no second look: what is read is one answer.
            etag = read_head(store, collection.path, original).etag if size > PIECE else ""
            entry = archive.begin(path, size)
        else:
            etag = progress.entry["etag"]
        while True:
            end = min(size, entry.written + PIECE)
            archive.append(entry, read_range(store, collection.path, original, etag, entry.written, end))
            if entry.written >= size:
                break
            if self._is_late():
                progress.entry = {"entry": asdict(entry), "etag": etag}
                return False
        self._volumes.add(archive.end(entry))
        progress.entry = {}
        return True

    def _store_of(self, collection: Collection) -> Any:
        return client_as(self._plan.stores[collection.store].access, "s3")

    def _close(self, made_at: datetime) -> list[dict[str, Any]]:
        """Write the overview into the first zip, a signed manifest into each, and make them."""
        made = []
        numbers = self._volumes.each()
        for number in numbers:
            self._volumes.turn_to(number)
            archive = self._volumes.archive
            if number == 0:
                for path, content in self._overview(made_at):
                    self._volumes.add(archive.add(path, [content]))
            manifest = self._manifest(number, len(numbers), made_at)
            archive.add(MANIFEST, [manifest])
            archive.add(SIGNATURE, [sign_manifest(manifest, self._signing_keys)], compress=False)
            made.append(self._volumes.finish())
        return made

    def _overview(self, made_at: datetime) -> Iterator[tuple[str, bytes]]:
        """What tells of all that is in the bundle: path and content."""
        yield REPORT, json.dumps(self._report(), indent=1, ensure_ascii=False).encode()
        yield PACKAGE, data_package(self._shown, self._case.case_id, self._tables, self._words)
        yield "viewer/viewer.js", script()
        replaced = {path: replaced_in(screen.tally) for path, screen in self._screens.items()}
        page = render_index(
            self._shown, self._case, self._tables, self._missing, made_at, replaced, self._supplement
        )
        yield "index.html", page.encode(errors="replace")

    def _report(self) -> dict[str, Any]:
        """What was replaced or left out, where and why: no values."""
        replaced: list[dict[str, Any]] = []
        withheld = []
        for path, collection in self._shown.collections.items():
            table = self._tables[path]
            if not table.records:
                continue
            files = [made["jsonl"] for made in table.slices]
            replaced += report_lines(files, self._screens[path].tally, self._words)
            withheld += [{"files": files, "field": n, "why": why} for n, why in collection.never.items()]
        return {"explained": self._words("report.explained"), "replaced": replaced, "left_out": withheld}

    def _manifest(self, number: int, volumes: int, made_at: datetime) -> bytes:
        """What the zip of that number holds, of so many."""
        members = [
            {name: said for name, said in member.items() if said or name in ("size", "sha256")}
            for member in self._volumes.members
        ]
        collections = [
            {"store": c.store, "collection": c.name, "records": self._tables[c.path].records}
            for c in self._shown.collections.values()
        ]
        missing = {path: said.why for said in self._missing for path in said.paths}
        content = {
            "kind": "bundle",
            "version": 1,
            "controller": self._plan.controller["name"],
            "case": self._case.case_id,
            "map_version": self._case.map_version,
            "made_at": made_at.isoformat(),
            "outcome": self._case.outcome,
            "missing": [path for path in self._plan.collections if path in missing],
            "missing_why": missing,
            "supplement": self._supplement,
            "volume": number + 1,
            "volumes": volumes,
            "collections": collections,
            "files": members,
        }
        return json.dumps(content, indent=1, ensure_ascii=False).encode()
