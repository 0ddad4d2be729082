"""The buttons of a case's page: each one decision of `dsr.deciding.Desk`, on the case as the agent saw it."""

from collections.abc import Callable
from dataclasses import dataclass

from dsr.case import Case
from dsr.deciding import Desk
from dsr.dry_runs import dry_run, may_dry_run
from dsr.errors import Conflict, Refused
from dsr.notices.refusals import REFUSALS
from dsr.opening import Opening
from dsr.web.desk.door import Agent
from dsr.web.desk.frame import DeskFrame
from dsr.web.desk.showing import Showing, may_refuse
from dsr.web.desk.words import ERRORS
from dsr.web.http import Answer, Request, see

Decision = Callable[[Desk, Case], Case]


@dataclass(frozen=True)
class Acting:
    """What an agent or approver decides."""

    frame: DeskFrame
    showing: Showing

    def retry(self, request: Request, agent: Agent) -> Answer:
        """Go on from where the case stopped."""
        return self._act(request, agent, "retry", lambda desk, case: desk.retry(case))

    def judge(self, request: Request, agent: Agent) -> Answer:
        """Say whether the doubtful records of a collection are this person's."""
        path, said = request.form.get("path", ""), request.form.get("decision", "")
        if said not in ("include", "exclude"):
            return self._again(request, agent, "refused", 422)
        return self._act(
            request, agent, "judge", lambda desk, case: desk.judge(case, path, said == "include")
        )

    def leave_out(self, request: Request, agent: Agent) -> Answer:
        """Go on without one store."""
        visit = request.form.get("visit", "")
        return self._act(request, agent, "leave-out", lambda desk, case: desk.leave_out(case, visit))

    def wait(self, request: Request, agent: Agent) -> Answer:
        """Give a recipient more time, without asking again."""
        visit = request.form.get("visit", "")
        return self._act(request, agent, "wait", lambda desk, case: desk.wait(case, visit))

    def join_accounts(self, request: Request, agent: Agent) -> Answer:
        """Say that both accounts are this person's."""
        return self._act(request, agent, "join-accounts", lambda desk, case: desk.join_accounts(case))

    def ask_sign_in_again(self, request: Request, agent: Agent) -> Answer:
        """Have the requester sign in again."""
        return self._act(request, agent, "sign-in-again", lambda desk, case: desk.ask_sign_in_again(case))

    def approve(self, request: Request, agent: Agent) -> Answer:
        """Say that the requester may ask this."""
        return self._act(request, agent, "approve", lambda desk, case: desk.approve(case))

    def refuse(self, request: Request, agent: Agent) -> Answer:
        """End the case with a reason."""
        reason = request.form.get("reason", "")
        if reason not in REFUSALS:
            return self._again(request, agent, "reason", 422)

        def refuse(desk: Desk, case: Case) -> Case:
            if not may_refuse(case):
                raise Refused(f"case {case.case_id} is being erased already")
            return desk.refuse(case, reason)

        return self._act(request, agent, "refuse", refuse)

    def dry_run(self, request: Request, agent: Agent) -> Answer:
        """Plan the deletion of the person that the case is about, and do nothing else."""
        case = self.frame.case(request)
        if case is None:
            return self.showing.missing(request, agent)
        if not may_dry_run(case):
            return self._again(request, agent, "refused", 422)
        frame = self.frame
        opening = Opening(frame.book, frame.case_key, frame.plan().version)
        # The version of the page in its name: pressed twice it is one dry run.
        seed = f"{case.case_id}|{request.form.get('version', '')}"
        made = dry_run(opening, frame.workflow, seed, frame.book.requester(case), f"agent:{agent.sub}", case)
        return see(request, f"/desk/cases/{made.case_id}?done=dry-run")

    def _act(self, request: Request, agent: Agent, done: str, decide: Decision) -> Answer:
        case = self.frame.case(request)
        if case is None:
            return self.showing.missing(request, agent)
        if request.form.get("version") != str(case.version):
            return self._again(request, agent, "changed", 409)
        desk = Desk(self.frame.book, self.frame.staging_bucket, self.frame.workflow, agent.sub)
        try:
            decide(desk, case)
        except Conflict:
            return self._again(request, agent, "changed", 409)
        except Refused:
            return self._again(request, agent, "refused", 422)
        return see(request, f"/desk/cases/{case.case_id}?done={done}")

    def _again(self, request: Request, agent: Agent, error: str, status: int) -> Answer:
        """The case as it stands now, above it why nothing was done."""
        case = self.frame.case(request)
        if case is None:
            return self.showing.missing(request, agent)
        field = "refusal" if error == "reason" and may_refuse(case) else "main"
        return self.showing.show(request, agent, case, {field: ERRORS[error]}, status)
