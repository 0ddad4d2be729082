"""What agents do by hand: the open questions of a case, and what is handed in to them.

A question to a recipient without an interface is a task; and where a recipient reached by webhook does not
answer there, an agent may hand in what they said otherwise. All that is handed in is sealed like any answer.
"""

import csv
import io
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dsr.answers import Answers
from dsr.case import Case, State
from dsr.casebook import Casebook, Visit, work_name
from dsr.datamap.plan import Plan, Way
from dsr.errors import Conflict, DsrError
from dsr.matching import normalise
from dsr.questions import MOST_PAGES, MOST_SAID, Question, Said
from dsr.records import as_text, at_path
from dsr.staging import Staging
from dsr.waking import asks_for, wake_visit

MOST_UPLOAD = 4 * 1024 * 1024  # bytes: Lambda takes 6 MB of a request, and base64 is a third of them
_PAGE_BYTES = 512 * 1024  # of records: what is read at once
_LONGEST_NAME = 200


class Unfit(DsrError):
    """What was handed in cannot be taken; the message says why, to the agent who did."""


@dataclass(frozen=True)
class Task:
    """An open question, with what an agent needs to answer it. `pages`: how many parts are handed in."""

    visit: str
    store: str
    kind: str
    recipient: dict[str, Any]
    question: Question
    titles: dict[str, str]  # by collection asked about
    asked_at: datetime
    answer_by: datetime
    pages: int
    cannot: str  # why they declined, if that is why the case has stopped

    @property
    def verb(self) -> str:
        """What is asked: find, erase or remaining."""
        return self.question.parts.verb


@dataclass(frozen=True)
class Tasks:
    """The tasks of one case."""

    book: Casebook
    staging: Staging
    case: Case
    plan: Plan

    @property
    def _answers(self) -> Answers:
        return Answers(self.book, self.staging, self.case)

    def open(self) -> list[Visit]:
        """The visits whose recipients have been asked and whose answer is still of use."""
        case, work = self.case, self._work()
        if not work:
            return []
        asked = {v.visit for v in self.plan.visits if self.plan.stores[v.store].recipient}
        visits = self.book.visits(case.case_id, work).values()
        return [
            v
            for v in visits
            if v.visit in asked and v.question and v.outcome not in ("done", "refused")
            and asks_for(case, v.visit, work) and v.reason not in ("malformed_data", "unreachable")
        ]  # fmt: skip

    def _work(self) -> str:
        case = self.case
        at = case.resume if case.state is State.NEEDS_ATTENTION else case.state
        if at is State.ERASING:
            return work_name("erase", case.round)
        if at in (State.GATHERING, State.READY, State.DELIVERED):
            return work_name("gather", 0)
        return work_name("gather", case.round + 1) if at is State.CONFIRMING else ""

    def read(self, visit: str) -> Task | None:
        """The task of that visit, unsealed; None if there is none (any more)."""
        noted = next((v for v in self.open() if v.visit == visit), None)
        kept = noted and self._kept(noted)
        if not noted or not kept:
            return None
        store = self.plan.stores[noted.store]
        question = Question(**{**kept, "name": noted.question})
        titles = {n: self.plan.collections[f"{store.name}.{n}"].title for n in question.locators}
        whole = self._answers.whole(question.parts)
        if whole and noted.reason != "declined":
            return None
        cannot = self._answers.read(whole.parts[0]).cannot if whole and whole.parts else ""
        return Task(
            visit, store.name, store.kind, store.recipient, question, titles,
            datetime.fromisoformat(noted.asked_at), datetime.fromisoformat(noted.answer_by),
            len(self._answers.pages(question.parts)), cannot,
        )  # fmt: skip

    def _kept(self, visit: Visit) -> dict[str, Any] | None:
        question = Question(visit.question, "", "", {})
        kept = self.staging.get_json(question.parts.staged_at)
        return kept if kept and kept["name"] == visit.question else None

    # -- handing in ----------------------------------------------------------------------------------

    def hand_in(self, task: Task, collection: str, file_name: str, content: bytes) -> int:
        """Take a file: its records where it is JSON Lines or CSV, else the file itself.

        Returns the number of records. Raises Unfit.
        """
        if task.verb != "find" or collection not in task.question.locators:
            raise Unfit("Files are handed in only where records are asked for")
        if not content:
            raise Unfit("Choose a file that is not empty")
        if len(content) > MOST_UPLOAD:
            raise Unfit(f"Choose a file of at most {MOST_UPLOAD // 1024 // 1024} MB, or hand it in in parts")
        ending = file_name.rpartition(".")[2].lower()
        if ending in ("jsonl", "ndjson"):
            records = _lines(content)
        elif ending == "csv":
            records = _table(content)
        else:
            self._file(task, collection, file_name, content)
            return 1
        records = [self._led(task, collection, r, number) for number, r in enumerate(records, 1)]
        if not records:
            raise Unfit("There is no record in the file")
        for page in _pages(records):
            self._page(task, Said(more=True, records=self._each(task, collection, page)))
        return len(records)

    def _each(self, task: Task, collection: str, records: list[dict[str, Any]]) -> dict[str, Any]:
        return {name: records if name == collection else [] for name in task.question.locators}

    def _file(self, task: Task, collection: str, file_name: str, content: bytes) -> None:
        part = self._answers.keep_file(task.question.parts, content)
        name = "".join(c for c in file_name if c.isprintable())[-_LONGEST_NAME:] or "file"
        original = {"bucket": "", "object_key": name, "version": part, "size": len(content)}
        said = Said(more=True, records=self._each(task, collection, []), files={collection: [original]})
        self._page(task, said)

    def _page(self, task: Task, said: Said) -> None:
        """Keep the page under the next number that is free."""
        answers, name = self._answers, task.question.parts
        for _ in range(20):
            number = max(answers.pages(name), default=0) + 1
            if number > MOST_PAGES:
                raise Unfit("This is more than one task can take")
            if answers.add_new(name, replace(said, page=number)):
                return
        raise Conflict("others hand in to this task at the same time")

    def _led(self, task: Task, collection: str, record: dict[str, Any], number: int) -> dict[str, Any]:
        """The record with a locator that was asked for; filled in where only one can be meant."""
        asked = task.question.locators[collection]
        ways = {w.field: w for w in self.plan.collections[f"{task.store}.{collection}"].ways}
        said = {f: at_path(record, f) for f in asked if at_path(record, f) not in (None, "")}
        if any(_same(ways[field], value, asked[field]) for field, value in said.items()):
            return record
        if not said and sum(map(len, asked.values())) == 1:
            [(field, [value])] = asked.items()
            return {**record, field: value}
        fields = " or ".join(f"“{f}”" for f in asked)
        raise Unfit(f"Record {number}: give in {fields} one of the values that were asked for")

    def answer(self, task: Task, said: str, text: str, agent: str) -> None:
        """Close the task. `said`: answered, nothing_held, erased, cannot; `text` is the agent's statement.

        Raises Unfit; Conflict if it is closed already.
        """
        text = text.strip()
        if len(text) > MOST_SAID:
            raise Unfit(f"Write at most {MOST_SAID} characters")
        if said == "cannot" and not text:
            raise Unfit("Write why they cannot")
        name, answers = task.question.parts, self._answers
        if said == "answered" and task.verb == "find":
            if text:
                self._page(task, Said(more=True, records=self._stated(task, text)))
            pages = answers.pages(name)
            if not pages:
                raise Unfit("Hand in what they sent first, or write what they said")
            parts = [pages[n] for n in sorted(pages)]
        elif said == "nothing_held" or (said == "erased" and task.verb == "erase"):
            if answers.pages(name):
                raise Unfit("Records were handed in: answer with them")
            parts = []
        elif said == "cannot":
            number = max(answers.pages(name), default=0) + 1
            parts = [answers.add(name, Said(number, cannot=text))]
        else:
            raise Unfit("Choose what they answered")
        if not answers.finish(name, parts, f"agent:{agent}"):
            raise Conflict(f"the task {task.visit} of case {self.case.case_id} is closed")
        wake_visit(self.book, self.case.case_id, task.visit, name.work, f"agent:{agent}")

    def _stated(self, task: Task, text: str) -> dict[str, Any]:
        """A statement as a record of the first collection, for the person to read."""
        collection, fields = next(iter(task.question.locators.items()))
        field, values = next(iter(fields.items()))
        return self._each(task, collection, [{field: values[0], "statement": text}])


def _same(way: Way, value: Any, asked: list[Any]) -> bool:
    value = normalise(value, way.identity.normalise) if way.identity else value
    return as_text(value) in set(map(as_text, asked))


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unfit("Save the file as UTF-8, and hand it in again") from None


def _lines(content: bytes) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(_text(content).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise Unfit(f"Line {number} is not JSON: each line is one record") from None
        if not isinstance(record, dict):
            raise Unfit(f"Line {number} is no record: it begins with {{ and ends with }}")
        records.append(record)
    return records


def _table(content: bytes) -> list[dict[str, Any]]:
    text = _text(content)
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        names = rows.fieldnames or []
        if not names or len(set(names)) < len(names) or not all(names):
            raise Unfit("The first line of the file must give each column a name of its own")
        records = list(rows)
    except csv.Error:
        raise Unfit("The file is not CSV with commas and double quotes") from None
    if any(None in record or None in record.values() for record in records):
        raise Unfit("A row of the file has more or fewer values than there are columns")
    return records


def _pages(records: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    pages: list[list[dict[str, Any]]] = [[]]
    size = 0
    for record in records:
        length = len(json.dumps(record))
        if pages[-1] and size + length > _PAGE_BYTES:
            pages.append([])
            size = 0
        pages[-1].append(record)
        size += length
    return pages
