"""The desk's pages, put together: every path and method with what it asks for, and what goes wrong."""

from collections.abc import Callable
from dataclasses import dataclass

from dsr import casebook
from dsr.case import read_case_id
from dsr.web.desk import queue, words
from dsr.web.desk.acting import Acting
from dsr.web.desk.door import COOKIE, Agent
from dsr.web.desk.frame import DeskFrame, then_of
from dsr.web.desk.holding import Holding
from dsr.web.desk.reviewing import Reviewing
from dsr.web.desk.roles import May, allowed
from dsr.web.desk.showing import Showing, left, waits
from dsr.web.desk.signing_in import SigningIn
from dsr.web.desk.tasking import Tasking
from dsr.web.http import Answer, Cookie, Request, see
from dsr.web.router import Faults, Page, Route

AgentPage = Callable[[Request, Agent], Answer]


@dataclass(frozen=True)
class Gate:
    """A route behind the sign-in: what it asks for decides who may take it."""

    method: str
    pattern: str
    may: May
    page: AgentPage


@dataclass(frozen=True)
class DeskPages:
    """The pages for agents, approvers and auditors."""

    frame: DeskFrame
    cookie: Cookie = COOKIE

    def gates(self) -> tuple[Gate, ...]:
        """Every route that needs a role. No GET changes a case."""
        showing = Showing(self.frame)
        acting, case = Acting(self.frame, showing), "/desk/cases/{case_id}"
        tasking = Tasking(self.frame, showing)
        holding, reviewing = Holding(self.frame, showing), Reviewing(self.frame, showing)
        return (
            Gate("GET", "/desk", May.LOOK, self.list),
            Gate("GET", "/desk/find", May.LOOK, self.find),
            Gate("GET", case, May.LOOK, showing.case),
            Gate("POST", f"{case}/retry", May.WORK, acting.retry),
            Gate("POST", f"{case}/judge", May.WORK, acting.judge),
            Gate("POST", f"{case}/leave-out", May.WORK, acting.leave_out),
            Gate("POST", f"{case}/join-accounts", May.WORK, acting.join_accounts),
            Gate("POST", f"{case}/sign-in-again", May.WORK, acting.ask_sign_in_again),
            Gate("POST", f"{case}/approve", May.DECIDE, acting.approve),
            Gate("POST", f"{case}/dry-run", May.WORK, acting.dry_run),
            Gate("POST", f"{case}/refuse", May.DECIDE, acting.refuse),
            Gate("GET", "/desk/holds", May.LOOK, holding.list),
            Gate("POST", "/desk/holds", May.DECIDE, holding.hold_collection),
            Gate("POST", "/desk/holds/{hold_id}/lift", May.DECIDE, holding.lift),
            Gate("POST", f"{case}/hold", May.DECIDE, holding.hold_case),
            Gate("GET", f"{case}/review", May.LOOK, reviewing.page),
            Gate("POST", f"{case}/review", May.WORK, reviewing.decide),
            Gate("GET", f"{case}/tasks/{{visit}}", May.LOOK, tasking.page),
            Gate("POST", f"{case}/tasks/{{visit}}/file", May.WORK, tasking.hand_in),
            Gate("POST", f"{case}/tasks/{{visit}}/answer", May.WORK, tasking.answer),
            Gate("POST", f"{case}/wait", May.WORK, acting.wait),
            Gate("GET", f"{case}/tasks/{{visit}}/{{action}}", May.LOOK, showing.to_case),
            # A reload of the answer to a button leads back to the case.
            Gate("GET", f"{case}/{{action}}", May.LOOK, showing.to_case),
        )

    def routes(self) -> tuple[Route, ...]:
        """Every path and method."""
        gates = (Route(g.method, g.pattern, self._guard(g)) for g in self.gates())
        return (*SigningIn(self.frame).routes(), *gates)

    def faults(self) -> Faults:
        """The pages for what goes wrong."""
        fault = self.frame.fault
        return Faults(fault(404), fault(405), fault(403), fault(500))

    def own(self) -> str:
        """The public address."""
        return self.frame.own()

    def _guard(self, gate: Gate) -> Page:
        """The page for whoever has a role that the gate's permission is given to."""

        def page(request: Request) -> Answer:
            agent = self.frame.door.agent(request.cookie)
            if agent is None:
                why = "&why=ended" if gate.method == "POST" else ""
                return see(request, f"/desk/sign-in?then={then_of(request.path)}{why}")
            if not allowed(agent.roles, gate.may):
                return self.frame.page_for(agent, request, "not_allowed", 403, may=gate.may)
            return gate.page(request, agent)

        return page

    def list(self, request: Request, agent: Agent) -> Answer:
        """The cases by deadline."""
        show = request.query.get("show", "open")
        show = show if show in (*queue.GROUPS, *words.STATES) else "open"
        after, now = request.query.get("after", ""), casebook.now()
        rows, more = queue.page(self.frame.book.cases, show, after)
        lines = [(row, left(row.state, row.due_at, now), waits(row)) for row in rows]
        return self.frame.page_for(
            agent, request, "list", lines=lines, more=more, after=after, show=show, words=words
        )

    def find(self, request: Request, agent: Agent) -> Answer:
        """To the case of a reference, as a person may have read it out."""
        typed = request.query.get("reference", "")
        found = read_case_id(typed)
        if found is None:
            return self.frame.page_for(agent, request, "not_found", 404, typed=typed)
        return see(request, f"/desk/cases/{found}")
