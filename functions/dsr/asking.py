"""One visit to a recipient: ask once, wait for the answer, take it in as if it had been found here.

An answer is gathered like what a store gives: paged, judged, staged. A deletion first only notes by which
locators the recipient will be told; told they are once the person has confirmed it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from dsr.answers import Answers, Whole
from dsr.case import Case, Right
from dsr.casebook import Visit
from dsr.datamap.plan import Collection, Plan, VisitPlan, Way
from dsr.durations import later
from dsr.errors import StoreFault
from dsr.finds import parts_of, read_parts
from dsr.gathering import Gathering, Result
from dsr.holds import HELD
from dsr.matching import normalise
from dsr.questions import Malformed, Name, Question, Said, complete, read_answer
from dsr.records import as_text, at_path
from dsr.staging import Staging
from dsr.stores.base import Cursor, Original, Page, Record

Locators = dict[str, dict[str, list[Any]]]  # by collection and field


class Recipient(Protocol):
    """Whoever is asked. `verifies`: whether asked again after an erasure what is left."""

    verifies: bool

    def ask(self, question: Question, message: dict[str, Any]) -> bytes | None:
        """Send the question; the answer, or None where it comes later. Raises StoreFault."""
        ...


class Asking:
    """One visit of one case. `before`: how far it is; `note` keeps that it is asked now."""

    def __init__(
        self,
        plan: Plan,
        case: Case,
        visit: VisitPlan,
        before: Visit,
        staging: Staging,
        recipient: Recipient,
        answers: Answers,
        note: Callable[[Visit], None],
        now: datetime,
    ) -> None:
        self._plan, self._case, self._visit, self._before = plan, case, visit, before
        self._staging, self._recipient, self._answers, self._now = staging, recipient, answers, now
        self._note = note
        self._store = plan.stores[visit.store]

    def gather(self, gathering: Callable[[Any], Gathering], number: int) -> Result:
        """What they hold; for a deletion by what they will be told; after it, what is left.

        `gathering` makes one of this visit that reads from the store it is given.
        """
        if not number and self._case.right is not Right.ACCESS:
            return gathering(_Told()).run()
        if number and not self._recipient.verifies:
            return gathering(_Nothing()).run()
        locators = gathering(_Nothing()).asked()
        if not locators:
            return gathering(_Nothing()).run()
        verb = "remaining" if number else "find"
        return self._answered(verb, number, locators, lambda question, whole: self._take_in(
            gathering, question, whole
        ))  # fmt: skip

    def erase(self, number: int, stopped_by: Callable[[Collection], str]) -> Result:
        """Have them erase what they were found by in the round `number`."""
        collections = [c for c in self._plan.collections_of(self._visit) if not c.kept]
        located = {c.name: self._located(c, number) for c in collections}
        locators = {name: fields for name, fields in located.items() if fields}
        if not locators:
            return self._result("done", {})
        told = (stopped_by(c) for c in collections if c.name in locators)
        if hold := next(filter(None, told), ""):
            return self._result("waiting", {}, HELD, hold)
        return self._answered("erase", number, locators, self._erased)

    # -- the question and its answer ---------------------------------------------------------------

    def _answered(
        self, verb: str, number: int, locators: Locators, then: Callable[[Question, Whole], Result]
    ) -> Result:
        question, new = self._question(verb, number, locators)
        try:
            whole = self._answers.whole(question.parts)
            if whole is None and (new or not self._before.asked_at):
                self._before = replace(
                    self._before,
                    asked_at=question.asked_at,
                    answer_by=question.answer_by,
                    question=question.name,
                    counts=dict.fromkeys(locators, 0),
                )
                # Noted before it is sent: whoever answers in the same moment must be known.
                self._note(self._before)
                whole = self._ask(question)
            if whole is not None:
                return then(question, whole)
        except StoreFault as fault:
            return self._result("needs_attention", {}, fault.code, fault.about)
        if datetime.fromisoformat(self._before.answer_by) <= self._now:
            return self._result("needs_attention", {}, "overdue", self._store.recipient["name"])
        return replace(self._result("waiting", {}), counts=dict.fromkeys(locators, 0))

    def _question(self, verb: str, number: int, locators: Locators) -> tuple[Question, bool]:
        """The question as it stands, and whether it has never been asked with these locators."""
        first = Name(self._case.case_id, self._visit.visit, verb, number, 1)
        kept = self._staging.get_json(first.staged_at)
        by = later(self._now, self._store.recipient["answer_within"])
        at, until = self._now.isoformat(), by.isoformat()
        if kept and kept["locators"] == locators and not kept["used"]:
            question = Question(**kept)
            # Asked again: the same question with a new time to answer.
            return (
                question if self._before.asked_at else replace(question, asked_at=at, answer_by=until)
            ), False
        name = replace(first, number=Question(**kept).parts.number + 1) if kept else first
        question = Question(str(name), at, until, locators)
        self._staging.put_json(name.staged_at, question.as_json())
        return question, True

    def _ask(self, question: Question) -> Whole | None:
        name = question.parts
        body = self._recipient.ask(question, self._message(question))
        if body is None:
            return None
        try:
            said = read_answer(name.verb, body)
            complete(said, set(question.locators))
            if said.more or said.page != 1:
                raise Malformed("what is answered at once is one page")
        except Malformed as error:
            raise StoreFault("malformed_data", f"{self._store.name}: {error}") from None
        self._answers.finish(name, [self._answers.add(name, said)], "recipient")
        return self._answers.whole(name)

    def _message(self, question: Question) -> dict[str, Any]:
        """What the recipient reads: what to do, and by which locators of theirs."""
        return {
            "type": f"data_subject.{question.parts.verb}",
            "version": 1,
            "id": question.name,
            "case": self._case.case_id,
            "controller": self._plan.controller["name"],
            "answer_by": question.answer_by,
            "collections": [
                {"name": name, "title": self._collection(name).title, "locators": fields}
                for name, fields in question.locators.items()
            ],
        }

    def _collection(self, name: str) -> Collection:
        return self._plan.collections[f"{self._visit.store}.{name}"]

    # -- taking it in --------------------------------------------------------------------------------

    def _take_in(self, gathering: Callable[[Any], Gathering], question: Question, whole: Whole) -> Result:
        verb = question.parts.verb
        first = self._answers.read(whole.parts[0]) if whole.parts else Said()
        if first.cannot:
            return self._declined(question, whole)
        left = {name for name, number in first.numbers.items() if number}
        store = _Given(self._answers, whole, question) if verb == "find" else _Told(left)
        result = gathering(store).run()
        if result.outcome == "needs_attention":
            self._use_up(question)
            return result
        found = sum(result.counts.values()) + sum(result.doubtful.values())
        words = ("still_held", "gone") if verb == "remaining" else ("answered", "nothing_held")
        return replace(result, noted=self._noted(whole, words[0] if found else words[1]))

    def _use_up(self, question: Question) -> None:
        """What was answered is no use: whoever asks next asks anew, under another name."""
        self._staging.put_json(question.parts.staged_at, replace(question, used=True).as_json())

    def _erased(self, question: Question, whole: Whole) -> Result:
        said = self._answers.read(whole.parts[0]) if whole.parts else Said()
        if said.cannot:
            return self._declined(question, whole)
        # Who states that all is erased, without a number, has erased what they were told.
        counts = {
            name: said.numbers.get(name, sum(map(len, fields.values())))
            for name, fields in question.locators.items()
        }
        return replace(self._result("done", counts), noted=self._noted(whole, "erased"))

    def _declined(self, question: Question, whole: Whole) -> Result:
        if self._case.right is Right.DELETION and self._store.recipient["role"] == "controller":
            # They answer for it themselves: to have told them is what the law asks (GDPR Art. 19).
            return replace(self._result("done", {}), noted=self._noted(whole, "declined"))
        self._use_up(question)
        noted = self._noted(whole, "declined")
        return replace(
            self._result("needs_attention", {}, "declined", self._store.recipient["name"]), noted=noted
        )

    def _noted(self, whole: Whole, answer: str) -> dict[str, str]:
        return {**self._asked, "answered_at": whole.at, "answer": answer}

    @property
    def _asked(self) -> dict[str, str]:
        before = self._before
        return {"asked_at": before.asked_at, "answer_by": before.answer_by, "question": before.question}

    def _result(self, outcome: str, counts: dict[str, int], reason: str = "", about: str = "") -> Result:
        every = {name: counts.get(name, 0) for name in self._visit.collections}
        return Result(outcome, every, {}, reason, about, noted=self._asked)

    def _located(self, collection: Collection, number: int) -> dict[str, list[Any]]:
        """By field the values that the snapshot of the round names."""
        found: dict[str, list[Any]] = {}
        for record in read_parts(
            self._staging, parts_of(self._staging, self._plan, collection.path, "staged", number)
        ):
            for way in collection.ways:
                value = at_path(record["values"], way.field)
                values = found.setdefault(way.field, [])
                if value is not None and value not in values:
                    values.append(value)
        return {field: values for field, values in found.items() if values}


class _Nothing:
    """A store that holds nothing."""

    erase_at_once = 1

    def find(self, *_: Any, **__: Any) -> Iterator[Page]:
        """See `stores.base.Store.find`."""
        return iter(())

    def erase(self, *_: Any) -> None:
        """Never asked."""


class _Told(_Nothing):
    """What a recipient will be told, as if it were theirs: a record for each locator, of `only` these."""

    def __init__(self, only: set[str] | None = None) -> None:
        self._only = only

    def find(
        self,
        collection: Collection,
        way: Way,
        values: Sequence[Any],
        after: Cursor,  # noqa: ARG002  one page
        whole: bool = True,  # noqa: ARG002
    ) -> Iterator[Page]:
        """See `stores.base.Store.find`."""
        if self._only is None or collection.name in self._only:
            yield Page([Record({way.field: value}) for value in values], None)


class _Given(_Nothing):
    """The records of an answer, page by page: each must be one that was asked for."""

    def __init__(self, answers: Answers, whole: Whole, question: Question) -> None:
        self._answers, self._parts, self._asked = answers, whole.parts, question.locators

    def find(
        self,
        collection: Collection,
        way: Way,
        values: Sequence[Any],
        after: Cursor,
        whole: bool = True,  # noqa: ARG002  nothing else was answered
    ) -> Iterator[Page]:
        """See `stores.base.Store.find`. The cursor is the page to go on with."""
        wanted = set(map(as_text, values))
        for number in range(after or 0, len(self._parts)):
            said = self._answers.read(self._parts[number])
            given = said.records.get(collection.name, [])
            found = [Record(r) for r in given if self._leads(collection, way, r) in wanted]
            if way == collection.ways[0]:
                # A file that an agent handed in is about whom they asked.
                about = {way.field: values[0]}
                found += [Record({**about, "file": f["object_key"]}, Original(**f))
                          for f in said.files.get(collection.name, [])]  # fmt: skip
            yield Page(found, number + 1 if number + 1 < len(self._parts) else None)

    def _leads(self, collection: Collection, way: Way, values: dict[str, Any]) -> str | None:
        """The value by which the record was asked for. Raises StoreFault for one that nobody asked for."""
        for other in collection.ways:
            asked = self._asked.get(collection.name, {}).get(other.field, [])
            if _value(other, values) in set(map(as_text, asked)):
                return _value(way, values)
        raise StoreFault("malformed_data", f"{collection.path}: a record without a locator asked for")


def _value(way: Way, values: dict[str, Any]) -> str | None:
    value = at_path(values, way.field)
    if value is None:
        return None
    return as_text(normalise(value, way.identity.normalise) if way.identity else value)
