"""Lake runs: what many deletions are to erase in the same files is erased by writing each file anew once.

The visit of a case queues its collections and says `waiting`; a run, by schedule or at once, plans batches
of objects over all that waits, its workers write them anew, and its end answers each visit and wakes the
case. Every step can be done again: what is written anew holds nothing more to erase.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from dsr import casebook
from dsr.aws import client
from dsr.case import Right
from dsr.casebook import Casebook
from dsr.errors import NotFound
from dsr.lakebook import Answer, Batch, Entry, Lakebook, Progress, Run
from dsr.log import logger
from dsr.settings import read
from dsr.staging import remove_versions
from dsr.waking import asks_for, wake_visit

# A run has as many batches at most: each is a few events in the history of its execution (25,000 at most).
_MOST_BATCHES = 400
_LEAST_OBJECTS = 20  # in a batch, if there are as many


@dataclass(frozen=True)
class Settings:
    """Environment of plan_lake_run."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str


def plan_lake_run(event: dict[str, Any]) -> dict[str, Any]:
    """Plan a run over all that waits, go on with one that was lost, or conclude one.

    `event`: `execution` (its ARN) and `step` (plan, conclude), and to conclude the `run`. Returns to plan
    {"run", "ours", "batches"}: whether this execution is to do it, and the numbers of its batches;
    to conclude {"again", "well"}: whether more has queued up meanwhile, and whether all of it went well.
    """
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    lake = Lakebook(settings.staging_bucket)
    if event["step"] == "conclude":
        return _conclude(book, lake, event["run"])
    run, tag = lake.run()
    if run and not run.concluded:
        if run.execution != event["execution"]:
            taken = replace(run, execution=event["execution"])
            if _runs(run.execution) or not lake.claim(taken, tag):
                return _nothing(run.run)
        return _begun(run)
    _tell_again(book, lake)
    entries = _wanted(book, lake)
    if not entries:
        return _nothing()
    name = f"{casebook.now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    batches = list(batched(entries))
    for number, batch in enumerate(batches):
        lake.plan(name, number, batch)
    made = Run(name, event["execution"], len(batches))
    if not lake.claim(made, tag):
        _remove(lake, f"runs/{name}/")
        return _nothing()  # the other one looks again for what it may have missed
    logger.info("lake run planned", extra={"run": name, "batches": len(batches), "entries": len(entries)})
    return _begun(made)


def _nothing(run: str = "") -> dict[str, Any]:
    return {"run": run, "ours": False, "batches": []}


def _begun(run: Run) -> dict[str, Any]:
    return {"run": run.run, "ours": True, "batches": list(range(run.batches))}


def _runs(execution: str) -> bool:
    states = client("stepfunctions")
    try:
        return bool(states.describe_execution(executionArn=execution)["status"] == "RUNNING")
    except states.exceptions.ExecutionDoesNotExist:
        return False


def batched(entries: Iterable[Entry]) -> Iterable[Batch]:
    """Every object that an entry names in exactly one batch, with all entries that name it. Pure.

    Entries of one collection under different maps are apart: each is treated by the map of its case.
    """
    tables: dict[tuple[str, str], dict[str, list[Entry]]] = {}
    for entry in entries:
        table = tables.setdefault((entry.collection, entry.map_version), {})
        for key in entry.objects:
            table.setdefault(key, []).append(entry)
    objects = sum(len(table) for table in tables.values())
    size = max(_LEAST_OBJECTS, -(-objects // _MOST_BATCHES))
    for (collection, version), table in sorted(tables.items()):
        keys = sorted(table)
        for start in range(0, len(keys), size):
            here = keys[start : start + size]
            named: dict[str, Entry] = {}
            for key in here:
                for entry in table[key]:
                    named.setdefault(entry.name, replace(entry, objects=[])).objects.append(key)
            yield Batch(collection, version, here, list(named.values()))


def _wanted(book: Casebook, lake: Lakebook) -> list[Entry]:
    """What waits and is still asked for; the rest is taken from the queue."""
    wanted = []
    for entry in lake.queued():
        if may_erase(book, entry):
            wanted.append(entry)
        else:
            _remove(lake, f"queue/{entry.name}.json")
    return wanted


def may_erase(book: Casebook, entry: Entry) -> bool:
    """Whether the case still asks for this, and has given all that it takes."""
    try:
        case = book.get(entry.case_id)
    except NotFound:
        return False
    proven = case.mailbox_proven or case.approved
    confirmed = case.right is Right.DELETION and case.confirmed_at is not None and bool(case.plan) and proven
    return confirmed and asks_for(case, entry.visit, entry.work)


# -- the end of a run ----------------------------------------------------------------------------


def _conclude(book: Casebook, lake: Lakebook, name: str) -> dict[str, Any]:
    run, tag = lake.run()
    if run is None or run.run != name or run.concluded:
        return {"again": _more(lake, set()), "well": True}  # this was done before
    answers, pending, well = answered(
        (batch, lake.progress(name, number))
        for number in range(run.batches)
        if (batch := lake.batch(name, number)) is not None
    )
    for entry, answer in answers:
        # In this order: who is killed here is followed by somebody who does it all again.
        _remove(lake, f"queue/{entry.name}.json")
        lake.note_answer(entry.name, answer)
        _tell(book, entry)
    lake.claim(replace(run, concluded=True), tag)
    _remove(lake, f"runs/{name}/")
    logger.info("lake run concluded", extra={"run": name, "answered": len(answers), "left": len(pending)})
    return {"again": _more(lake, pending), "well": well}


def answered(
    batches: Iterable[tuple[Batch, Progress]],
) -> tuple[list[tuple[Entry, Answer]], set[str], bool]:
    """What came of each entry, the names of those that wait on, and whether all batches went well. Pure.

    An entry is done once all its objects are. One of them that is at fault stops it, with the reason.
    """
    entries: dict[str, Entry] = {}
    faults: dict[str, Answer] = {}
    pending: set[str] = set()
    well = True
    for batch, progress in batches:
        well = well and progress.done and not progress.left and not progress.faults
        for entry in batch.entries:
            entries[entry.name] = entry
            at_fault = [progress.faults[key] for key in entry.objects if key in progress.faults]
            others = set(entry.objects) & set(progress.left)
            if not progress.done or others or entry.name in progress.skipped:
                pending.add(entry.name)
            elif at_fault:
                faults.setdefault(entry.name, Answer("needs_attention", *at_fault[0]))
    answers = [
        (entry, faults.get(name, Answer("done")))
        for name, entry in sorted(entries.items())
        if name in faults or name not in pending
    ]
    return answers, pending - faults.keys(), well


def _remove(lake: Lakebook, what: str) -> None:
    """Take something of the lake's runs away, every version of it."""
    remove_versions(lake.bucket, f"lake/{what}")


def _more(lake: Lakebook, but: set[str]) -> bool:
    """Whether something waits that this run did not know of."""
    return any(entry.name not in but for entry in lake.queued())


def _tell(book: Casebook, entry: Entry) -> bool:
    try:
        return wake_visit(book, entry.case_id, entry.visit, entry.work)
    except NotFound:
        return False


def _tell_again(book: Casebook, lake: Lakebook) -> None:
    """Wake once more who has an answer and may not have heard; forget the answers that nobody wants."""
    for name in list(lake.answers()):
        case_id, work, visit, collection = name.split("/")
        answer = lake.answer(name)
        entry = Entry(case_id, work, visit, collection, "")
        if not may_erase(book, entry):
            _remove(lake, f"answers/{name}.json")
        elif answer and answer.outcome != "told":
            made = book.visits(case_id, work).get(visit)
            if made and made.outcome == "waiting":
                _tell(book, entry)


# -- for the worker ------------------------------------------------------------------------------


def begin_run(workflow: str) -> None:
    """Begin a run now. One that is under way takes in, at its end, what was queued before this."""
    client("stepfunctions").start_execution(stateMachineArn=workflow)
