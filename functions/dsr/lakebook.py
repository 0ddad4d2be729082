"""Where lake runs are kept: under `lake/` of the staging bucket. Names of objects and ids of cases, no more.

    lake/queue/<entry>.json      what waits to be erased: a collection of a case, and which objects hold it
    lake/answers/<entry>.json    what came of it, for the worker of its visit
    lake/run.json                the run under way, or the last one: the lock between two of them
    lake/runs/<run>/…            its batches, how far each is, and the entries that it was made for

An entry is called `<case>/<work>/<visit>/<collection>`.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client
from dsr.errors import Conflict
from dsr.staging import OVERTAKEN

_RUN = "lake/run.json"


@dataclass(frozen=True)
class Entry:
    """A collection of a case that waits for a lake run. `work`: as the visit is filed (erase@0)."""

    case_id: str
    work: str
    visit: str
    collection: str  # store.collection
    map_version: str
    objects: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is stored under."""
        return f"{self.case_id}/{self.work}/{self.visit}/{self.collection}"


@dataclass(frozen=True)
class Answer:
    """What came of an entry: `done`, or `needs_attention` and why; `told`: the visit has taken that in."""

    outcome: str
    reason: str = ""
    about: str = ""


@dataclass(frozen=True)
class Run:
    """A lake run: who executes it, how many batches it has, whether it is through."""

    run: str
    execution: str
    batches: int
    concluded: bool = False


@dataclass(frozen=True)
class Batch:
    """Objects of one collection, and for whom they are written anew."""

    collection: str
    map_version: str
    objects: list[str]
    entries: list[Entry]  # with those of their objects that are in the batch


@dataclass
class Progress:
    """How far a batch is: `next` object; by object what was wrong with it; which objects others kept writing;
    the entries that were passed over, since a hold stops them or their case asks no more."""

    next: int = 0
    removed: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    done: bool = False


class Lakebook:
    """Reads and writes them. `bucket` is the staging bucket. What is over `lake_runs` takes away."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    # -- what waits --------------------------------------------------------------------------

    def enqueue(self, entry: Entry) -> None:
        """Have it done by the next run. What waits already stays as it is."""
        self._put_new(f"lake/queue/{entry.name}.json", asdict(entry))

    def queued(self) -> Iterator[Entry]:
        """Everything that waits."""
        for key in self._keys("lake/queue/"):
            if (found := self._get(key)) is not None:
                yield Entry(**found)

    def answer(self, name: str) -> Answer | None:
        """What came of an entry, if anything did yet."""
        found = self._get(f"lake/answers/{name}.json")
        return Answer(**found) if found else None

    def note_answer(self, name: str, answer: Answer) -> None:
        """Store what came of it."""
        self._put(f"lake/answers/{name}.json", asdict(answer))

    def answers(self) -> Iterator[str]:
        """The names of the entries that have an answer."""
        for key in self._keys("lake/answers/"):
            yield key.removeprefix("lake/answers/").removesuffix(".json")

    # -- runs --------------------------------------------------------------------------------

    def run(self) -> tuple[Run | None, str]:
        """The run under way, or the last one, and its tag for `claim`."""
        found, tag = self._read(_RUN)
        return (Run(**found) if found else None), tag

    def claim(self, run: Run, tag: str) -> bool:
        """Store the run where `tag` still stands ("": nothing); False if somebody else was quicker."""
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            self._put(_RUN, asdict(run), **condition)
        except Conflict:
            return False
        return True

    def plan(self, run: str, number: int, batch: Batch) -> None:
        """Store a batch of a run."""
        self._put(f"lake/runs/{run}/{number:05d}.json", asdict(batch))

    def batch(self, run: str, number: int) -> Batch | None:
        """A batch of a run; None if that run is over."""
        found = self._get(f"lake/runs/{run}/{number:05d}.json")
        if found is None:
            return None
        return Batch(**{**found, "entries": [Entry(**entry) for entry in found["entries"]]})

    def progress(self, run: str, number: int) -> Progress:
        """How far a batch is."""
        return Progress(**(self._get(f"lake/runs/{run}/{number:05d}.progress.json") or {}))

    def note(self, run: str, number: int, progress: Progress) -> None:
        """Store how far a batch is; it has one worker at a time."""
        self._put(f"lake/runs/{run}/{number:05d}.progress.json", asdict(progress))

    # -- objects -----------------------------------------------------------------------------

    def _keys(self, prefix: str) -> Iterator[str]:
        pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"]

    def _get(self, key: str) -> Any:
        return self._read(key)[0]

    def _read(self, key: str) -> tuple[Any, str]:
        s3 = client("s3")
        try:
            answer = s3.get_object(Bucket=self.bucket, Key=key)
        except s3.exceptions.NoSuchKey:
            return None, ""
        return json.loads(answer["Body"].read()), str(answer["ETag"])

    def _put_new(self, key: str, value: Any) -> None:
        try:
            self._put(key, value, IfNoneMatch="*")
        except Conflict:
            return

    def _put(self, key: str, value: Any, **condition: str) -> None:
        try:
            client("s3").put_object(Bucket=self.bucket, Key=key, Body=json.dumps(value).encode(), **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] in OVERTAKEN:
                raise Conflict(f"{key} was written by somebody else") from None
            raise
