"""The review of a copy before it is made: each place that may be about others, and what becomes of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dsr import casebook, plans
from dsr.case import Case
from dsr.datamap.plan import Collection
from dsr.deciding import Desk, waits_for_review
from dsr.errors import Conflict
from dsr.redaction.findings import DISCLOSE, FILE, REDACT, Finding
from dsr.redaction.review import Group, Review
from dsr.staging import Staging
from dsr.web.desk import words
from dsr.web.desk.door import Agent
from dsr.web.desk.frame import DeskFrame
from dsr.web.desk.looks import Looks
from dsr.web.desk.roles import May, allowed
from dsr.web.desk.showing import Showing, text_of
from dsr.web.http import Answer, Request, see

_MOST_AROUND = 1500  # characters of a long text shown on either side of what was found in it
_SAID = (REDACT, DISCLOSE)


@dataclass(frozen=True)
class Piece:
    """A part of a text; `found`: it is what seems to be about somebody else."""

    text: str
    found: bool = False


@dataclass(frozen=True)
class Seen:
    """A field of a record as it is shown; `asked`: it is what the decision is about."""

    name: str
    pieces: list[Piece]
    asked: bool = False


@dataclass(frozen=True)
class Place:
    """One finding with its record; `said` is what was decided already."""

    digest: str
    fields: list[Seen]
    said: str


@dataclass(frozen=True)
class Reviewing:
    """The pages and buttons of the review."""

    frame: DeskFrame
    showing: Showing

    def page(self, request: Request, agent: Agent) -> Answer:
        """One group of findings, a part at a time."""
        case = self.frame.case(request)
        if case is None:
            return self.showing.missing(request, agent)
        return self._show(request, agent, case, "", 200)

    def decide(self, request: Request, agent: Agent) -> Answer:
        """Redact or disclose: single findings of the part that was shown, or all of the group."""
        case = self.frame.case(request)
        if case is None:
            return self.showing.missing(request, agent)
        if request.form.get("version") != str(case.version):
            return self._show(request, agent, case, words.ERRORS["changed"], 409)
        every = request.form.get("all", "")
        single = {n.removeprefix("on-"): said for n, said in request.form.items() if n.startswith("on-")}
        if (every not in _SAID) if every else not single or not {*single.values()} <= {*_SAID}:
            return self._show(request, agent, case, words.ERRORS["review"], 422)
        desk = Desk(self.frame.book, self.frame.staging_bucket, self.frame.workflow, agent.sub)
        group, part = request.form.get("group", ""), _number(request.form.get("part", ""))
        try:
            moved = desk.review(case, group, part, single, every)
        except Conflict:
            now = self.frame.case(request) or case
            return self._show(request, agent, now, words.ERRORS["changed"], 409)
        if not waits_for_review(moved):
            return see(request, f"/desk/cases/{case.case_id}?done=review")
        at = f"group={request.form.get('number', '0')}&part={part}" if not every else ""
        return see(request, f"/desk/cases/{case.case_id}/review?done=review-part&{at}".rstrip("&"))

    def _show(self, request: Request, agent: Agent, case: Case, error: str, status: int) -> Answer:
        if not waits_for_review(case) or case.key_destroyed:
            return self.showing.show(request, agent, case, {"main": error} if error else {}, status)
        plan = plans.of_version(case.map_version, self.frame.staging_bucket)
        # As on the page of a case: the look is on record before anything personal is unsealed.
        Looks(self.frame.book).note(case.case_id, agent.sub, casebook.now())
        review = Review(Staging(self.frame.staging_bucket, self.frame.book.keys, case))
        groups = review.groups()
        asked = request.form if request.method == "POST" else request.query
        number = _number(asked.get("number", "") or asked.get("group", ""), _first_open(groups))
        number = min(number, max(0, len(groups) - 1))
        group = groups[number] if groups else None
        part = min(_number(asked.get("part", "")), group.parts - 1) if group else 0
        places = list(_places(plan.collections[group.path], group, review, part)) if group else []
        notice = "" if error else words.DONE.get(request.query.get("done", ""), "")
        return self.frame.page_for(
            agent, request, "review", status,
            case=case, groups=groups, number=number, group=group, part=part, places=places, words=words,
            titles={path: c.title for path, c in plan.collections.items()},
            is_file=group and group.field == FILE,
            notice=notice, errors={"main": error} if error else {}, works_here=allowed(agent.roles, May.WORK),
        )  # fmt: skip


def _first_open(groups: list[Group]) -> int:
    return next((n for n, group in enumerate(groups) if group.open), 0)


def _number(text: str, otherwise: int = 0) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else otherwise


def _places(collection: Collection, group: Group, review: Review, part: int) -> Iterator[Place]:
    for finding, said in review.findings(group.name, part):
        yield Place(finding.digest, list(_fields(collection, group, finding)), said)


def _fields(collection: Collection, group: Group, finding: Finding) -> Iterator[Seen]:
    """The record with what is asked about first."""
    head = group.field if group.field in finding.values else group.field.partition(".")[0]
    if head in finding.values:
        yield Seen(head, _pieces(finding.values[head], finding.spans), asked=True)
    named = [name for name in collection.fields if name in finding.values]
    for name in dict.fromkeys([*named, *finding.values]):
        if name != head and finding.values[name] is not None:
            yield Seen(name, [Piece(text_of(finding.values[name]))])


def _pieces(value: Any, spans: tuple[tuple[int, int], ...]) -> list[Piece]:
    if not isinstance(value, str) or not spans:
        return [Piece(text_of(value, 4 * _MOST_AROUND), found=not spans)]
    pieces, past = [], max(0, spans[0][0] - _MOST_AROUND)
    if past:
        pieces.append(Piece("…"))
    for start, end in spans:
        pieces += [Piece(value[past:start]), Piece(value[start:end], found=True)]
        past = end
    rest = value[past : past + _MOST_AROUND]
    return [*pieces, Piece(rest + ("…" if past + len(rest) < len(value) else ""))]
