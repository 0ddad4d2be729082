"""What agents decide about a case: retry, judge a doubtful match, leave a store out, approve, refuse.

Each is one move with its event; the workflow then goes on from where the case stands.
"""

from dataclasses import replace

from dsr import casebook, plans
from dsr.case import Case, Right, State, check_move
from dsr.casebook import Casebook, Visit, work_name
from dsr.datamap.plan import Plan
from dsr.durations import later
from dsr.errors import Conflict, Refused
from dsr.finds import folder_of, place
from dsr.redaction.review import Review
from dsr.staging import Staging
from dsr.workflow import start, wake


def waits_for_review(case: Case) -> bool:
    """Whether the copy waits for a person to look at what may be about others."""
    return case.state is State.NEEDS_ATTENTION and any(p.reason == "review" for p in case.attention)


class Desk:
    """The decisions. `agent` names who decides (a subject id, never a name or address)."""

    def __init__(self, book: Casebook, staging_bucket: str, workflow: str, agent: str) -> None:
        self._book, self._bucket, self._workflow, self._agent = book, staging_bucket, workflow, agent

    def retry(self, case: Case) -> Case:
        """Go on from where the case stopped. Raises Conflict unless it needs attention."""
        to = case.resume if case.state is State.NEEDS_ATTENTION else case.state
        if not case.attention or to is None or waits_for_review(case):
            raise Conflict(f"case {case.case_id} is {case.state}: nothing to retry")
        failed = [p.visit for p in case.attention if p.visit and p.reason != "unverified_match"]
        case = self._put_back(case, failed)
        # What kept arriving is there still: it may be erased again, in as many rounds as at first.
        arrived = any(p.reason == "keeps_arriving" for p in case.attention)
        changes = {"rounds_from": case.round} if arrived else {}
        return self._resume(case, to, "retried", {}, case.decisions, **changes)

    def judge(self, case: Case, path: str, include: bool) -> Case:
        """Decide on the doubtful records of the collection `path` (store.collection), and go on.

        Including them gathers their visit and the later ones again, since they may lead further; and
        where they tell who the person is, that and the proof it asks for are decided anew.
        """
        if not any(p.reason == "unverified_match" and p.about == path for p in case.attention):
            raise Conflict(f"nothing doubtful in {path} of case {case.case_id}")
        to, said = case.resume or State.GATHERING, "exclude"
        if include:
            visits = plans.of_case(case, self._bucket).from_visit(path)
            case = self._put_back(case, [v.visit for v in visits])
            # What is half erased is not resolved anew: the next round takes what now counts.
            anew = visits[0].resolves and case.resume is not State.CONFIRMING
            to, said = State.RESOLVING if anew else to, "include"
        return self._resume(case, to, "judged", {"decision": said}, {**case.decisions, path: said})

    def join_accounts(self, case: Case) -> Case:
        """Accept that the case reaches two accounts of the same person, and go on."""
        if not any(p.reason == "two_accounts" for p in case.attention):
            raise Conflict(f"case {case.case_id} does not reach two accounts")
        decisions = {**case.decisions, "two_accounts": "include"}
        return self._resume(case, State.RESOLVING, "judged", {"decision": "include"}, decisions)

    def ask_sign_in_again(self, case: Case) -> Case:
        """Forget the sign-in that did not fit: the requester may sign in with another of their accounts."""
        if not any(p.reason == "sign_in_mismatch" for p in case.attention):
            raise Conflict(f"case {case.case_id} has no sign-in that does not fit")
        requester = replace(self._book.requester(case), account="")
        sealed = self._book.seal_requester(case, requester)
        # Resolved once more, the case finds that a sign-in is needed and waits for one.
        changes = {"sealed": sealed, "signed_in_at": None}
        return self._resume(case, State.RESOLVING, "sign_in_asked_again", {}, case.decisions, **changes)

    def leave_out(self, case: Case, visit: str) -> Case:
        """Go on without one store: what is delivered is then called *in part* and says what is missing.

        Raises Refused for a store that tells who the person is: unasked, it would make an account
        holder a stranger, of whom less proof is asked.
        """
        if visit not in {*case.waiting_for, *(p.visit for p in case.attention)} or waits_for_review(case):
            raise Conflict(f"visit {visit} of case {case.case_id} does not need attention")
        if case.right is Right.DELETION:
            return self._go_on_without(case, visit)
        plan = plans.of_case(case, self._bucket)
        if plan.visit(visit).resolves:
            raise Refused(f"visit {visit} tells who the person is and cannot be left out")
        case, late = self._may_follow(plan, case, visit)
        decisions = {**case.decisions, f"visit:{visit}": "leave_out"}
        about = {"decision": "leave_out", "visit": visit}
        return self._resume(
            case, case.resume or State.GATHERING, "judged", about, decisions,
            late=late, adding=tuple(v for v in case.adding if v != visit),
            tasks=tuple(v for v in late if plan.visit(v).kind == "manual"),
        )  # fmt: skip

    def _may_follow(self, plan: Plan, case: Case, visit: str) -> tuple[Case, dict[str, str]]:
        """Whose answer is still taken once the copy went out, and until when: theirs too if they were asked
        and have not answered. Who is overdue gets as much time again."""
        noted = self._book.visits(case.case_id).get(visit)
        if (
            noted is None
            or not noted.question
            or not (noted.outcome == "waiting" or noted.reason == "overdue")
        ):
            return case, case.late
        until = noted.answer_by
        if noted.reason == "overdue":
            case = self._book.move(case, case.state, "visits_put_back", f"agent:{self._agent}")
            within = plan.stores[plan.visit(visit).store].recipient["answer_within"]
            until = later(casebook.now(), within).isoformat()
            more = replace(noted, outcome="waiting", reason="", about="", answer_by=until)
            self._book.note_visit(case.case_id, more)
        return case, {**case.late, visit: until}

    def _go_on_without(self, case: Case, visit: str) -> Case:
        """In a deletion only where somebody else was told: that they did it is then not confirmed."""
        reasons = {p.reason for p in case.attention if p.visit == visit}
        if "not_revoked" in reasons:
            return self._leave_token(case, visit)
        plan, point = plans.of_case(case, self._bucket), case.resume
        if not plan.stores[plan.visit(visit).store].recipient or not reasons & {"overdue", "declined"}:
            raise Refused("a deletion cannot leave a store out: what is not asked is not deleted")
        number = case.round if point is State.ERASING else case.round + 1
        work = work_name("erase" if point is State.ERASING else "gather", number)
        case = self._book.move(case, case.state, "visits_put_back", f"agent:{self._agent}")
        noted = self._book.visits(case.case_id, work)[visit]
        answer = noted.answer or "no_answer"
        self._book.note_visit(case.case_id, replace(noted, outcome="done", answer=answer, counts={}), work)
        about = {"decision": "leave_out", "visit": visit}
        # Not asked again afterwards either: `visit:` is what says so.
        decisions = {**case.decisions, f"visit:{visit}": "leave_out"}
        return self._resume(case, point or State.ERASING, "judged", about, decisions)

    def _leave_token(self, case: Case, visit: str) -> Case:
        """Go on though a token could not be revoked: it ends by itself, and is deleted here."""
        case = self._book.move(case, case.state, "visits_put_back", f"agent:{self._agent}")
        work = work_name("freeze", 0)
        noted = self._book.visits(case.case_id, work)[visit]
        done = replace(noted, outcome="done", reason="", about="", answer="not_revoked")
        self._book.note_visit(case.case_id, done, work)
        about = {"decision": "leave_out", "visit": visit}
        return self._resume(case, State.ERASING, "judged", about, case.decisions)

    def wait(self, case: Case, visit: str) -> Case:
        """Give a recipient that is overdue as much time again, without asking again."""
        if (visit, "overdue") not in {(p.visit, p.reason) for p in case.attention} or case.resume is None:
            raise Conflict(f"visit {visit} of case {case.case_id} is not overdue")
        plan = plans.of_case(case, self._bucket)
        work = {
            State.GATHERING: work_name("gather", 0),
            State.ERASING: work_name("erase", case.round),
            State.CONFIRMING: work_name("gather", case.round + 1),
        }[case.resume]
        case = self._book.move(case, case.state, "visits_put_back", f"agent:{self._agent}")
        noted = self._book.visits(case.case_id, work)[visit]
        until = later(casebook.now(), plan.stores[plan.visit(visit).store].recipient["answer_within"])
        more = replace(noted, outcome="pending", reason="", about="", answer_by=until.isoformat())
        self._book.note_visit(case.case_id, more, work)
        return self._resume(case, case.resume or State.GATHERING, "retried", {}, case.decisions)

    def review(self, case: Case, group: str, part: int, single: dict[str, str], every: str = "") -> Case:
        """Redact or disclose what may be about others; once all is decided, the copy is made.

        `single`: by the digest of a finding in that part of the group; or `every` one of the group. Raises
        Conflict for what is not there to be decided.
        """
        staging = Staging(self._bucket, self._book.keys, case)
        review = Review(staging)
        alike = {g.name: g.count for g in review.groups()} if waits_for_review(case) else {}
        if group not in alike:
            raise Conflict(f"nothing of this kind is to be reviewed in case {case.case_id}")
        if not every and not single.keys() <= {f.digest for f, _ in review.findings(group, part)}:
            raise Conflict(f"some of this is not to be reviewed in case {case.case_id}")
        # The event comes first: who decides on an old page must not change what is being built.
        about = {"decision": every or "each", "records": str(alike[group] if every else len(single))}
        case = self._book.move(case, case.state, "reviewed", f"agent:{self._agent}", about)
        if every:
            review.decide_all(group, every)
        else:
            review.decide(group, single)
        if any(g.open for g in review.groups()):
            return case
        return self._resume(case, State.BUNDLING, "review_done", {}, case.decisions)

    def approve(self, case: Case) -> Case:
        """The requester may act for this person: a person has checked it."""
        if case.state is not State.AWAITING_APPROVAL:
            raise Conflict(f"case {case.case_id} is {case.state}: nothing to approve")
        # Who it is about is settled once more: meanwhile another case of theirs may have begun.
        return self._resume(case, State.RESOLVING, "approved", {}, case.decisions, approved=True)

    def refuse(self, case: Case, reason: str) -> Case:
        """End the case with a reasoned refusal (`reason` is one of the fixed words of the notice)."""
        if case.resume in (State.ERASING, State.CONFIRMING):
            raise Conflict(f"case {case.case_id} is half erased: it can only be finished")
        if case.follow_up:
            raise Conflict(f"case {case.case_id} was answered: a copy has been handed over")
        check_move(case.state, State.REFUSED)  # a second refusal would only change the reason
        return self._resume(
            case, State.REFUSED, "refused", {"reason": reason}, case.decisions, outcome=reason
        )

    def _put_back(self, case: Case, visits: list[str]) -> Case:
        """Put the visits back to their beginning, on the condition that the case still stands as given.

        The event comes first: who decides on an old page must not take away what is being bundled.
        The last visits first, so that a doubt stands until all that follows from it is put back.
        """
        if not visits:
            return case
        case = self._book.move(case, case.state, "visits_put_back", f"agent:{self._agent}")
        plan = plans.of_case(case, self._bucket)
        if case.state in (State.COOLING_OFF, State.WITHDRAWN, State.REFUSED):
            # A restriction while the deletion waits, or its lifting: what was found for it stays.
            for work in (work_name("restrict", 0), work_name("lift", 0)):
                made = self._book.visits(case.case_id, work)
                for visit in visits:
                    if visit in made and made[visit].outcome == "needs_attention":
                        self._book.note_visit(case.case_id, Visit(visit, plan.visit(visit).store), work)
            return case
        if case.resume is State.ERASING:
            # The snapshot and how far it is erased stay: only the verdict on the visit is taken back.
            for visit in visits:
                for work in (work_name("freeze", 0), work_name("erase", case.round)):
                    if visit in self._book.visits(case.case_id, work):
                        self._book.note_visit(case.case_id, Visit(visit, plan.visit(visit).store), work)
            return case
        number = case.round + 1 if case.resume is State.CONFIRMING else 0
        for visit in reversed(visits):
            staging = Staging(self._bucket, self._book.keys, case)
            forget_visit(self._book, staging, plan, case, visit, number)
        return case

    def _resume(
        self,
        case: Case,
        to: State,
        name: str,
        about: dict[str, str],
        decisions: dict[str, str],
        **changes: object,
    ) -> Case:
        changes = {"tasks": (), **changes}
        # The time for second thoughts is the person's: no decision of the desk cuts it short.
        until = case.expires_at if to is State.COOLING_OFF else None
        moved = self._book.move(
            case, to, name, f"agent:{self._agent}", about,
            attention=(), resume=None, waiting_for=(), expires_at=until,
            attempt=case.attempt + 1, decisions=decisions, token="", **changes,
        )  # fmt: skip
        wake(case.token)  # an execution that waits finds that its attempt is over, and ends
        start(moved, self._workflow)
        return moved


def forget_visit(
    book: Casebook, staging: Staging, plan: Plan, case: Case, visit: str, number: int = 0
) -> None:
    """Put a visit of the round `number` back to its beginning, whatever it has staged."""
    planned = plan.visit(visit)
    # In this order: killed in between, the visit counts as not made yet, never as made and empty.
    book.note_visit(case.case_id, Visit(visit, planned.store), work_name("gather", number))
    staging.remove(place(visit, number))
    for name in planned.collections:
        for folder in ("staged", "doubtful"):
            staging.remove(folder_of(folder, f"{planned.store}.{name}", number))
