"""What the worker of lakes does besides that of every store: queue what is to go, and write files anew."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from dsr import plans, store_worker
from dsr.casebook import Casebook
from dsr.datamap.plan import Collection
from dsr.erasing import Erasing
from dsr.errors import StoreFault
from dsr.finds import parts_of, read_parts
from dsr.gathering import Result
from dsr.holdbook import Holdbook
from dsr.holds import HELD, targets_of
from dsr.lake_runs import begin_run, may_erase
from dsr.lakebook import Answer, Batch, Entry, Lakebook, Progress
from dsr.masking import mask_key
from dsr.settings import read
from dsr.staging import Staging
from dsr.store_worker import Settings
from dsr.stores.lake.store import OBJECT, BeingWritten, LakeStore
from dsr.stores.registry import open_store
from dsr.treatments import with_key

RUN = "lake_run"  # why a visit waits
_SAVE_SECONDS = 20.0


def work(event: dict[str, Any], context: Any) -> dict[str, str]:
    """A visit as of every store, or a batch of a lake run.

    `event`: as `store_worker.work` takes it, but for the verb rewrite: `run` and `batch`, its number.
    Returns {"outcome"} as that does.
    """
    settings = read(Settings)
    if event.get("verb") != "rewrite":
        erasing = partial(InRuns, case_id=event.get("case_id", ""), settings=settings)
        return store_worker.work(event, context, erasing)
    ends_at = store_worker.ends_at(settings, context)
    return {"outcome": Rewriting(settings, event["run"], event["batch"], ends_at).run()}


class InRuns(Erasing):
    """The erasing visit of a lake: each collection waits in the queue until a run has answered."""

    def __init__(self, *arguments: Any, case_id: str, settings: Settings, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._case_id, self._workflow = case_id, settings.lake_workflow
        self._lake = Lakebook(settings.staging_bucket)

    def run(self) -> Result:
        """Queue what is not queued yet, and say what came of it. Exceptions mean: try again."""
        counts: dict[str, int] = dict.fromkeys(self._visit.collections, 0)
        held, waiting = "", ""
        fault: Answer | None = None
        for collection in self._plan.collections_of(self._visit):
            if collection.kept:
                continue
            objects, found = self._objects(collection)
            if not found:
                continue
            answer = self._answer(collection, objects)
            if answer is None and (hold := self._stopped_by(collection)):
                held = held or hold
            elif answer is None:
                waiting = waiting or collection.path
                self._lake.enqueue(self._entry(collection, objects))
            elif answer.outcome == "done":
                counts[collection.name] = found
            else:
                fault = fault or answer
        if waiting and self._workflow.startswith("arn:"):
            begin_run(self._workflow)
        if fault:
            return Result("needs_attention", counts, {}, fault.reason, fault.about)
        if waiting or held:
            return Result("waiting", counts, {}, RUN if waiting else HELD, waiting or held)
        return Result("done", counts, {})

    def _objects(self, collection: Collection) -> tuple[list[str], int]:
        """The objects that hold what was gathered in this round, and how many records that is."""
        keys: dict[str, None] = {}
        found = 0
        for record in read_parts(self._staging, self._parts(collection)):
            keys[record["values"][OBJECT]] = None
            found += 1
        return list(keys), found

    def _parts(self, collection: Collection) -> list[str]:
        return parts_of(self._staging, self._plan, collection.path, "staged", self._number)

    def _entry(self, collection: Collection, objects: list[str]) -> Entry:
        work = f"erase@{self._number}"
        return Entry(self._case_id, work, self._visit.visit, collection.path, self._plan.version, objects)

    def _answer(self, collection: Collection, objects: list[str]) -> Answer | None:
        """What a run has answered; None if it is to be queued. A fault is told once, then tried again."""
        name = self._entry(collection, objects).name
        answer = self._lake.answer(name)
        if answer is None or answer.outcome == "told":
            return None
        if answer.outcome == "needs_attention":
            self._lake.note_answer(name, Answer("told"))
        return answer


class Rewriting:
    """One batch of a run: object by object, each once for all who wait for it."""

    def __init__(
        self,
        settings: Settings,
        run: str,
        number: int,
        ends_at: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._run, self._number = settings, run, number
        self._ends_at, self._clock = ends_at, clock
        self._lake = Lakebook(settings.staging_bucket)
        self._book = Casebook(settings.cases_table, settings.case_keys_table)
        self._holds = Holdbook(settings.cases_table)

    def run(self) -> str:
        """Work until done or out of time: the outcome. Exceptions mean: try again."""
        batch = self._lake.batch(self._run, self._number)
        progress = self._lake.progress(self._run, self._number)
        if batch is None or progress.done:
            return "done"  # of a run that is over, or a second call
        plan = plans.of_version(batch.map_version, self._settings.staging_bucket)
        collection = plan.collections[batch.collection]
        store = cast(LakeStore, open_store(plan.stores[collection.store]))
        records = self._records(batch, collection, progress)
        looked = saved = self._clock()
        while progress.next < len(batch.objects):
            if self._clock() >= looked + _SAVE_SECONDS:
                self._pass_over(batch, records, progress)
                looked = self._clock()
            self._rewrite(store, collection, batch.objects[progress.next], records, progress)
            progress.next += 1
            if self._clock() >= self._ends_at:
                break
            if self._clock() >= saved + _SAVE_SECONDS:
                self._lake.note(self._run, self._number, progress)
                saved = self._clock()
        progress.done = progress.next >= len(batch.objects)
        self._lake.note(self._run, self._number, progress)
        return "done" if progress.done else "continue"

    def _rewrite(
        self,
        store: LakeStore,
        collection: Collection,
        key: str,
        records: dict[str, dict[str, list[dict[str, Any]]]],
        progress: Progress,
    ) -> None:
        going = [record for by_object in records.values() for record in by_object.get(key, ())]
        if not going:
            return
        try:
            progress.removed += store.rewrite(collection, key, going, with_key(collection.masks, mask_key))
        except StoreFault as fault:
            progress.faults[key] = [fault.code, fault.about]
        except BeingWritten:
            progress.left.append(key)

    def _records(
        self, batch: Batch, collection: Collection, progress: Progress
    ) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """What is to go, by entry and by object; of the objects that are left."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {entry.name: {} for entry in batch.entries}
        self._pass_over(batch, found, progress)
        here = set(batch.objects[progress.next :])
        plan = plans.of_version(batch.map_version, self._settings.staging_bucket)
        for entry in batch.entries:
            if entry.name not in found:
                continue
            case = self._book.get(entry.case_id)
            staging = Staging(self._settings.staging_bucket, self._settings.case_keys_table, case)
            number = int(entry.work.partition("@")[2])
            for record in read_parts(staging, parts_of(staging, plan, collection.path, "staged", number)):
                values = record["values"]
                if values[OBJECT] in here:
                    found[entry.name].setdefault(values[OBJECT], []).append(values)
        return found

    def _pass_over(self, batch: Batch, records: dict[str, Any], progress: Progress) -> None:
        """Leave out, from here on, whom a hold stops and who asks no more."""
        plan = plans.of_version(batch.map_version, self._settings.staging_bucket)
        paths = plan.hanging_on(batch.collection)
        for entry in batch.entries:
            if entry.name not in records:
                continue
            may = may_erase(self._book, entry)
            if may and not self._holds.stops(targets_of(self._book.get(entry.case_id), paths)):
                continue
            del records[entry.name]
            if entry.name not in progress.skipped:
                progress.skipped.append(entry.name)
