"""What agents decide about a case: retry, judge a doubtful match, leave a store out, approve, refuse.

Each is one move with its event; the workflow then goes on from where the case stands.
"""

from dataclasses import replace

from dsr import plans
from dsr.case import Case, State
from dsr.casebook import Casebook, Visit
from dsr.datamap.plan import Plan
from dsr.errors import Conflict
from dsr.gathering import place
from dsr.staging import Staging
from dsr.workflow import start


class Desk:
    """The decisions. `agent` names who decides (a subject id, never a name or address)."""

    def __init__(self, book: Casebook, staging_bucket: str, workflow: str, agent: str) -> None:
        self._book, self._bucket, self._workflow, self._agent = book, staging_bucket, workflow, agent

    def retry(self, case: Case) -> Case:
        """Go on from where the case stopped. Raises Conflict unless it needs attention."""
        if case.state is not State.NEEDS_ATTENTION or case.resume is None:
            raise Conflict(f"case {case.case_id} is {case.state}: nothing to retry")
        for point in case.attention:
            if point.visit and point.reason != "unverified_match":
                self._reset(case, point.visit)
        return self._resume(case, case.resume, "retried", {}, case.decisions)

    def judge(self, case: Case, path: str, include: bool) -> Case:
        """Decide on the doubtful records of the collection `path` (store.collection), and go on.

        Including them gathers their visit and the later ones again, since they may lead further.
        """
        if not any(p.reason == "unverified_match" and p.about == path for p in case.attention):
            raise Conflict(f"nothing doubtful in {path} of case {case.case_id}")
        said = "include" if include else "exclude"
        decided = replace(case, decisions={**case.decisions, path: said})
        if include:
            plan = plans.of_version(case.map_version, self._bucket)
            wave = next(v.wave for v in plan.visits if path in {c.path for c in plan.collections_of(v)})
            for visit in plan.visits:
                if visit.wave > wave or path in {c.path for c in plan.collections_of(visit)}:
                    self._reset(case, visit.visit)
        return self._resume(
            case, case.resume or State.GATHERING, "judged", {"decision": said}, decided.decisions
        )

    def join_accounts(self, case: Case) -> Case:
        """Accept that the case reaches two accounts of the same person, and go on."""
        decisions = {**case.decisions, "two_accounts": "include"}
        return self._resume(case, State.RESOLVING, "judged", {"decision": "include"}, decisions)

    def leave_out(self, case: Case, visit: str) -> Case:
        """Go on without one store: what is delivered is then called *in part* and says what is missing."""
        if visit not in {p.visit for p in case.attention}:
            raise Conflict(f"visit {visit} of case {case.case_id} does not need attention")
        decisions = {**case.decisions, f"visit:{visit}": "leave_out"}
        about = {"decision": "leave_out", "visit": visit}
        return self._resume(case, case.resume or State.GATHERING, "judged", about, decisions)

    def approve(self, case: Case) -> Case:
        """The requester may act for this person: a person has checked it."""
        return self._resume(case, State.VERIFIED, "approved", {}, case.decisions, approved=True)

    def refuse(self, case: Case, reason: str) -> Case:
        """End the case with a reasoned refusal (`reason` is one of the fixed words of the notice)."""
        return self._resume(
            case, State.REFUSED, "refused", {"reason": reason}, case.decisions, outcome=reason
        )

    def _reset(self, case: Case, visit: str) -> None:
        plan = plans.of_version(case.map_version, self._bucket)
        forget_visit(self._book, Staging(self._bucket, self._book.keys, case), plan, case, visit)

    def _resume(
        self,
        case: Case,
        to: State,
        name: str,
        about: dict[str, str],
        decisions: dict[str, str],
        **changes: object,
    ) -> Case:
        moved = self._book.move(
            case, to, name, f"agent:{self._agent}", about,
            attention=(), resume=None, attempt=case.attempt + 1, decisions=decisions, **changes,
        )  # fmt: skip
        start(moved, self._workflow)
        return moved


def forget_visit(book: Casebook, staging: Staging, plan: Plan, case: Case, visit: str) -> None:
    """Put a visit back to its beginning, whatever it has staged."""
    planned = plan.visit(visit)
    # In this order: killed in between, the visit counts as not made yet, never as made and empty.
    book.note_visit(case.case_id, Visit(visit, planned.store))
    staging.remove(place(visit))
    for name in planned.collections:
        for folder in ("staged", "doubtful"):
            staging.remove(f"{folder}/{planned.store}/{name}/")
