"""Holds at the desk: the list of them, placing one on a case, a person or a collection, lifting one."""

from dataclasses import dataclass, replace
from datetime import date

from dsr import casebook
from dsr.case import Case
from dsr.casebook import Casebook
from dsr.contacts import proven_contacts
from dsr.errors import Conflict, NotFound
from dsr.holdbook import Holdbook
from dsr.holds import REASONS, Hold, Scope, fault, new_hold_id, scopes_of
from dsr.subjects import subject_of
from dsr.web.desk.door import Agent
from dsr.web.desk.frame import DeskFrame
from dsr.web.desk.roles import May, allowed
from dsr.web.desk.showing import Showing, typed
from dsr.web.desk.words import DONE, ERRORS
from dsr.web.http import Answer, Request, see


@dataclass(frozen=True)
class Holding:
    """The pages and buttons of holds."""

    frame: DeskFrame
    showing: Showing

    def list(self, request: Request, agent: Agent) -> Answer:
        """Every hold: first those that are active, then those that are over."""
        return self._list(request, agent, {}, 200)

    def hold_collection(self, request: Request, agent: Agent) -> Answer:
        """Place a hold on a collection of the map."""
        path = request.form.get("path", "")
        hold, errors = _read(request, agent, Scope.COLLECTION, path, "")
        collection = self.frame.plan().collections.get(path)
        if collection is None:
            errors = {"path": ERRORS["hold_path"], **errors}
        elif not collection.may_be_held:
            errors = {"path": ERRORS["never_held"], **errors}
        if errors:
            return self._list(request, agent, errors, 422)
        self._book.place(hold)
        return see(request, "/desk/holds?done=hold")

    def hold_case(self, request: Request, agent: Agent) -> Answer:
        """Place a hold on the case, or on every deletion of the person that it is about."""
        case = self.frame.case(request)
        if case is None:
            return self.showing.missing(request, agent)
        if request.form.get("version") != str(case.version):
            return self.showing.show(request, agent, case, {"main": ERRORS["changed"]}, 409)
        scope = request.form.get("scope", "")
        if scope not in scopes_of(case):
            return self.showing.show(request, agent, case, {"scope": ERRORS["hold_scope"]}, 422)
        target = case.case_id if scope == Scope.CASE else case.subject
        hold, errors = _read(request, agent, Scope(scope), target, case.case_id)
        if scope == Scope.PERSON:
            hold = replace(hold, also=self._told_by(case))
        if errors:
            return self.showing.show(request, agent, case, errors, 422)
        self._book.place(hold)
        _tell(self.frame.book, case, "held", agent, hold)
        return see(request, f"/desk/cases/{case.case_id}?done=hold")

    def lift(self, request: Request, agent: Agent) -> Answer:
        """End a hold; what it stopped goes on at the clock's next look."""
        try:
            hold = self._book.lift(request.parameters["hold_id"], agent.sub, casebook.now())
        except (NotFound, Conflict):
            return self._list(request, agent, {"main": ERRORS["hold_over"]}, 409)
        if hold.case_id:
            _tell(self.frame.book, self.frame.book.get(hold.case_id), "hold_lifted", agent, hold)
        return see(request, "/desk/holds?done=lift")

    def _told_by(self, case: Case) -> tuple[str, ...]:
        """The keyed hashes of the person's addresses: a sweep tells records by them too."""
        try:
            requester = self.frame.book.requester(case)
        except NotFound:
            return ()  # nobody knows their addresses any more
        known = [*proven_contacts(case, requester), *requester.account_contacts]
        return tuple(subject_of([], address, self.frame.door.mac_key) for address in known)

    @property
    def _book(self) -> Holdbook:
        return Holdbook(self.frame.book.cases)

    def _list(self, request: Request, agent: Agent, errors: dict[str, str], status: int) -> Answer:
        holds = sorted(self._book.all(), key=lambda h: (not h.active, h.placed_at))
        return self.frame.page_for(
            agent, request, "holds", status,
            active=[h for h in holds if h.active],
            over=[h for h in reversed(holds) if not h.active],
            collections=self.frame.plan().collections,
            today=casebook.now().date(),
            notice="" if errors else DONE.get(request.query.get("done", ""), ""),
            decides_here=allowed(agent.roles, May.DECIDE),
            errors=errors, reasons=REASONS, typed=typed(request),
        )  # fmt: skip


def _read(
    request: Request, agent: Agent, scope: Scope, target: str, case_id: str
) -> tuple[Hold, dict[str, str]]:
    """The hold that the form asks for, and what is wrong with the form, by field."""
    form, now = request.form, casebook.now()
    try:
        day = date.fromisoformat(form.get("day", "").strip())
    except ValueError:
        day = None
    reason, ends, file = form.get("reason", ""), form.get("ends", ""), form.get("file", "").strip()
    field, word = fault(reason, ends, day, now.date(), file)
    told = form.get("told", "") == "yes"
    hold = Hold(
        new_hold_id(), scope, target, reason, told, agent.sub, now,
        review=day if ends == "review" else None, until=day if ends == "until" else None,
        file=file, case_id=case_id,
    )  # fmt: skip
    return hold, {field: ERRORS[word]} if field else {}


def _tell(book: Casebook, case: Case, name: str, agent: Agent, hold: Hold) -> None:
    """Note it in the history of the case; the hold itself is placed, or lifted, already."""
    for _ in range(3):
        try:
            book.move(
                case, case.state, name, f"agent:{agent.sub}", {"hold": hold.hold_id, "reason": hold.reason}
            )
        except Conflict:  # a worker moves it just now
            case = book.get(case.case_id)
        else:
            return
    raise Conflict(f"case {case.case_id} moves all the time")
