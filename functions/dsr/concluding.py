"""After the stores were asked: is everything there, is something doubtful, is there anything at all?"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dsr import late, plans
from dsr.canonical import digest
from dsr.case import KEPT_CHANNEL, Attention, Case, Right, State
from dsr.casebook import WAITS, Casebook, Visit, now
from dsr.datamap.plan import Collection, Plan
from dsr.deciding import forget_visit
from dsr.finds import staged
from dsr.gathering import account_contacts, keep_known, read_known
from dsr.kept import Listed
from dsr.matching import has_second_point
from dsr.planning import plan_of
from dsr.settings import read
from dsr.staging import Staging
from dsr.subjects import Subjects, overtaken
from dsr.waking import wait_for, waiting_visits

IN_PART = "delivered_in_part"


@dataclass(frozen=True)
class Settings:
    """Environment of conclude_gathering."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str
    identity_days: int = 14  # how long a person may think about the plan of a deletion
    cooling_hours: int = 72  # between the confirmation and the first delete


def conclude(event: dict[str, Any]) -> dict[str, str]:
    """Move a gathered case on. `event`: `case_id`. Returns {"outcome": the state it moved to}."""
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    if case.state is not State.GATHERING:
        return {"outcome": case.state.value}
    plan = plans.of_case(case, settings.staging_bucket)
    staging = Staging(settings.staging_bucket, settings.case_keys_table, case)
    visits = book.visits(case.case_id)
    if _visit_again(plan, case, book, staging, visits):
        return {"outcome": "again"}
    attention = open_points(plan, case, visits) + _no_longer_known(plan, case, book)
    if not attention and (again := late.look(plan, staging, lambda path: staged(staging, plan, path))):
        if not again.beyond:
            return {"outcome": _follow_late(plan, case, book, staging, again)}
        visit = plan.visit_of(".".join(again.beyond.split(".")[:2])).visit
        attention = (Attention(visit, "endless_references", again.beyond),)
    if attention:
        about = {"reason": attention[0].reason, "visit": attention[0].visit}
        moved = book.move(
            case, State.NEEDS_ATTENTION, "needs_attention", "workflow", about,
            attention=attention, resume=State.GATHERING,
        )  # fmt: skip
        return {"outcome": moved.state.value}
    wanted = [v for v in plan.visits if case.decisions.get(f"visit:{v.visit}") != "leave_out"]
    if waiting := waiting_visits(wanted, visits):
        return {"outcome": "waiting" if wait_for(book, case, plan, waiting) else "again"}
    found = records_found(visits)
    if case.right is Right.DELETION:
        return {"outcome": _plan_deletion(book, case, plan, staging, visits, settings).state.value}
    if deletion := Subjects(book).overtaking(case):
        return {"outcome": overtaken(book, case, deletion, staging).state.value}
    said = outcome(case)
    if case.follow_up == "adding" and not any(sum((visits[v].counts or {}).values()) for v in case.added_now):
        return {"outcome": _nothing_to_add(book, case, staging, said).state.value}
    # Where a store was left out, nobody can say that there is nothing.
    to = State.BUNDLING if found or said == IN_PART else State.NOTHING_FOUND
    moved = book.move(case, to, "gathered", "workflow", {"records": str(found)}, attention=(), outcome=said)
    return {"outcome": moved.state.value}


def _no_longer_known(plan: Plan, case: Case, book: Casebook) -> tuple[Attention, ...]:
    """What an earlier case kept, and the map of today does not: unasked, it would stay for ever."""
    if case.channel != KEPT_CHANNEL:
        return ()
    return tuple(Attention("", "not_in_map", path) for path in Listed.of(book, case, now()).missing(plan))


def _nothing_to_add(book: Casebook, case: Case, staging: Staging, said: str) -> Case:
    """Back to the copy as it is: those who answered late hold nothing, or could not say."""
    follow_up = "nothing_more" if case.added_now else "not_following"
    until = case.bundle.get("expires_at")
    left = tuple(v for v in case.adding if v not in case.added_now)
    moved = book.move(
        case, State.DELIVERED if case.downloads else State.READY, "nothing_added", "workflow",
        attention=(), outcome=said, adding=left, follow_up=follow_up,
        expires_at=datetime.fromisoformat(until) if until else None,
    )  # fmt: skip
    if not moved.late and not moved.adding:
        staging.remove("")
    return moved


def _plan_deletion(
    book: Casebook, case: Case, plan: Plan, staging: Staging, visits: dict[str, Visit], settings: Settings
) -> Case:
    """Put the plan before the person; the site itself, which deleted the account, needs not be asked."""
    counts = {f"{v.store}.{name}": n for v in visits.values() for name, n in (v.counts or {}).items()}
    planned = plan_of(plan, counts, lambda path: staged(staging, plan, path))
    about = {"records": str(sum(counts.values()))}
    if planned:
        about["plan"] = digest(planned)
    if case.dry_run:
        said = "planned" if planned else "nothing_found"
        moved = book.move(
            case, State.CLOSED, "planned", "workflow", about, attention=(), plan=planned, outcome=said
        )
        staging.remove("")  # only the plan is of use, and names nobody
        return moved
    if not planned:
        return book.move(case, State.NOTHING_FOUND, "gathered", "workflow", about, attention=())
    # Whoever can read the account's mail must hear of it, whoever asked (and may have taken it over).
    requester = book.requester(case)
    known = {contact.lower() for contact in requester.contacts}
    others = {a.lower(): a for a in account_contacts(plan, staging, "email") if a.lower() not in known}
    sealed = book.seal_requester(case, replace(requester, account_contacts=tuple(others.values())))
    if case.channel in ("site", "restore", KEPT_CHANNEL):
        # Who comes back from a backup has wanted it already: there is nothing to think over. Nor is there
        # where a law that had it kept has ended.
        hours = settings.cooling_hours if case.channel == "site" else 0
        begins = now() + timedelta(hours=hours)
        return book.move(
            case, State.COOLING_OFF, "planned", "workflow", about,
            attention=(), plan=planned, confirmed_at=now(), expires_at=begins, sealed=sealed,
        )  # fmt: skip
    until = now() + timedelta(days=settings.identity_days)
    return book.move(
        case, State.AWAITING_CONFIRMATION, "planned", "workflow", about,
        attention=(), plan=planned, expires_at=until, sealed=sealed,
    )  # fmt: skip


def _visit_again(plan: Plan, case: Case, book: Casebook, staging: Staging, visits: dict[str, Visit]) -> bool:
    """Put back the visits whose doubts were meanwhile settled by records found elsewhere; False if none.

    Which store answers first must not decide what a person receives. What is known now is kept, since
    it may have been told by a visit that is put back too; so every round settles at least one record
    for good, and this ends.
    """
    left_out = {v.visit for v in plan.visits if case.decisions.get(f"visit:{v.visit}") == "leave_out"}
    if any(v.outcome == "pending" for v in visits.values() if v.visit not in left_out):
        return True  # an earlier call was killed while it put visits back
    doubtful = [c for c in plan.collections.values() if _is_doubted(plan, case, visits, c)]
    if not doubtful:
        return False
    known = read_known(plan, book.requester(case), staging)
    for collection in doubtful:
        held = staged(staging, plan, collection.path, "doubtful")
        if any(has_second_point(collection, record["values"], known) for record in held):
            keep_known(known, staging)
            # What hangs on the records that now count is found by the later visits. They are put
            # back first: killed halfway, the doubt still stands and is found again.
            for visit in reversed(plan.from_visit(collection.path)):
                forget_visit(book, staging, plan, case, visit.visit)
            return True
    return False


def _follow_late(plan: Plan, case: Case, book: Casebook, staging: Staging, again: late.Again) -> str:
    """Put back what late references lead to, and all that may follow from it; returns the outcome.

    Put back before the values are kept: killed in between, they are found once more. Where it tells who
    the person is, that is decided anew: a late value may lead to a second account.
    """
    visits = {v.visit: v for path in again.paths for v in plan.from_visit(path)}
    for visit in reversed(plan.visits):
        if visit.visit in visits:
            forget_visit(book, staging, plan, case, visit.visit)
    late.keep(staging, again)
    if any(v.resolves for v in visits.values()):
        return book.move(case, State.RESOLVING, "found_late", "workflow").state.value
    return "again"


def _is_doubted(plan: Plan, case: Case, visits: dict[str, Visit], collection: Collection) -> bool:
    planned = plan.visit_of(collection.path)
    visit = visits.get(planned.visit)
    # Who the person is, and how they must sign in, is not decided any more at this point.
    undecided = collection.path not in case.decisions and not planned.resolves
    return undecided and bool(visit and (visit.doubtful or {}).get(collection.name))


def open_points(plan: Plan, case: Case, visits: dict[str, Visit]) -> tuple[Attention, ...]:
    """What keeps the case from going on: stores without answer, matches that a person must judge. Pure."""
    points, stuck = [], set[str]()
    for planned in plan.visits:
        if case.decisions.get(f"visit:{planned.visit}") == "leave_out":
            continue
        visit = visits.get(planned.visit)
        if visit is None or visit.outcome != "done":
            stuck.add(planned.visit)
            if visit and visit.reason == WAITS and visit.about in stuck:
                continue  # it is made after the one that is told already, or waited for
            if visit and visit.outcome == "waiting":
                continue
            reason = visit.reason if visit and visit.reason else "no_answer"
            points.append(Attention(planned.visit, reason, visit.about if visit else ""))
            continue
        for name, number in (visit.doubtful or {}).items():
            path = f"{planned.store}.{name}"
            if number and path not in case.decisions:
                points.append(Attention(planned.visit, "unverified_match", path))
    return tuple(points)


def records_found(visits: dict[str, Visit]) -> int:
    """How many records all visits found."""
    return sum(sum((v.counts or {}).values()) for v in visits.values())


def outcome(case: Case) -> str:
    """How the bundle will be called: whole, or in part because stores were left out by decision."""
    left_out = any(key.startswith("visit:") and said == "leave_out" for key, said in case.decisions.items())
    return IN_PART if left_out else "delivered"
