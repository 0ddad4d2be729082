"""Who is it? After the mailbox is proven: one account, none or several; a child; a sign-in to ask for."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from dsr import casebook, plans
from dsr.case import Attention, Case, Requester, Right, State
from dsr.casebook import Casebook, Visit
from dsr.contacts import proven_contacts
from dsr.datamap.plan import Plan
from dsr.finds import staged
from dsr.records import at_path
from dsr.settings import read
from dsr.staging import Staging
from dsr.subjects import Subjects, subject_of

# Under this age a parent or guardian acts for the child (the strictest of the laws served here:
# CraftZone's notice and most company policies say 18). Data in one place, reviewed by the company.
ADULT = 18


@dataclass(frozen=True)
class Settings:
    """Environment of resolve_subject."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str
    mac_key: str
    identity_days: int = 14  # how long a sign-in is waited for


@dataclass(frozen=True)
class Account:
    """An account found for the proven identities."""

    account_id: str
    proves: frozenset[str]  # the subject ids whose sign-in proves it
    born: str


def resolve(event: dict[str, Any]) -> dict[str, str]:
    """Move a case that is being resolved to what comes next. `event`: `case_id`.

    Returns {"outcome": the state it moved to}. Run again after it moved, it leaves the case as it is.
    """
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    if case.state is not State.RESOLVING:
        return {"outcome": case.state.value}
    plan = plans.of_version(case.map_version, settings.staging_bucket)
    unanswered = without_answer(plan, book.visits(case.case_id))
    if unanswered:
        return _stop(book, case, unanswered)
    staging = Staging(settings.staging_bucket, settings.case_keys_table, case)
    accounts = find_accounts(plan, staging)
    to, changes = decide(plan, case, book.requester(case), accounts, casebook.now().date())
    if to is State.NEEDS_ATTENTION:
        return _stop(book, case, changes["attention"])
    if to is State.AWAITING_IDENTITY:
        changes["expires_at"] = casebook.now() + timedelta(days=settings.identity_days)
    if to is State.VERIFIED:
        contact = next(iter(proven_contacts(case, book.requester(case))), "")
        subject = subject_of(
            [a.account_id for a in accounts] or known_accounts(plan, book.requester(case)),
            contact,
            settings.mac_key,
        )
        # A dry run does nothing that another case would have to wait for.
        joined = "" if case.dry_run else _join(Subjects(book), subject, case)
        changes["subject"] = subject
        if joined:
            to, changes["joined"], changes["outcome"] = State.CLOSED, joined, "joined"
    return {"outcome": book.move(case, to, "resolved", "workflow", **changes).state.value}


def _join(subjects: Subjects, subject: str, case: Case) -> str:
    """The deletion of the same person that already does, or has overtaken, what this case asks; or nothing.

    Registered before it is asked: so of an access and a deletion at the same instant at least one
    sees the other.
    """
    subjects.register(subject, case)
    if case.right is Right.ACCESS:
        return subjects.erasing(subject)
    holder = subjects.claim_deletion(subject, case.case_id)
    return holder if holder != case.case_id else ""


def known_accounts(plan: Plan, requester: Requester) -> list[str]:
    """The accounts that the site itself named, where their records are gone already."""
    fields = [f"{c.path}.{c.account}" for c in plan.collections.values() if c.account]
    return [value for field in fields for value in requester.locators.get(field, ())]


def _stop(book: Casebook, case: Case, attention: tuple[Attention, ...]) -> dict[str, str]:
    about = {"reason": attention[0].reason, "visit": attention[0].visit}
    book.move(
        case,
        State.NEEDS_ATTENTION,
        "needs_attention",
        "workflow",
        about,
        attention=attention,
        resume=case.state,
    )
    return {"outcome": State.NEEDS_ATTENTION.value}


def without_answer(plan: Plan, visits: dict[str, Visit]) -> tuple[Attention, ...]:
    """The visits that tell who it is and are not through: whom they know is no stranger. Pure."""
    unasked = Visit("", "", reason="no_answer")
    asked = [(v.visit, visits.get(v.visit, unasked)) for v in plan.visits if v.resolves]
    return tuple(Attention(n, v.reason or "no_answer", v.about) for n, v in asked if v.outcome != "done")


def find_accounts(plan: Plan, staging: Staging) -> list[Account]:
    """Every account that the resolving visits found, by its id."""
    found: dict[str, Account] = {}
    for collection in plan.collections.values():
        if not collection.account:
            continue
        proving = [name for name, f in collection.fields.items() if f.proves]
        for record in staged(staging, plan, collection.path):
            values = record["values"]
            account_id = str(at_path(values, collection.account))
            known = found.get(account_id, Account(account_id, frozenset(), ""))
            found[account_id] = Account(
                account_id,
                known.proves | {str(v) for name in proving if (v := at_path(values, name))},
                str((collection.born and at_path(values, collection.born)) or "") or known.born,
            )
    return list(found.values())


def decide(
    plan: Plan, case: Case, requester: Requester, accounts: list[Account], today: date
) -> tuple[State, dict[str, Any]]:
    """Where the case goes, and with which changes. Pure."""
    if len(accounts) > 1 and case.decisions.get("two_accounts") != "include":
        return State.NEEDS_ATTENTION, {"attention": (Attention("", "two_accounts"),)}
    needed = plan.requires[case.right.value]["account_holder" if accounts else "default"]
    risk = set(case.risk)
    if needed == "account" and not case.approved:
        if not accounts:
            risk.add("no_sign_in")  # asked of everybody, and there is nothing to sign in to
        elif not requester.account:
            return State.AWAITING_IDENTITY, {"needs": "account"}
        elif not any(requester.account in a.proves for a in accounts):
            return State.NEEDS_ATTENTION, {"attention": (Attention("", "sign_in_mismatch"),)}
    if requester.for_whom != "self":
        risk.add(requester.for_whom)
    if any(a.born and not is_adult(a.born, today) for a in accounts):
        risk.add("minor")
    if risk and not case.approved:
        return State.AWAITING_APPROVAL, {"risk": tuple(sorted(risk))}
    return State.VERIFIED, {}


def is_adult(born: str, today: date) -> bool:
    """Whether the date of birth is an adult's; an unreadable one says so of nobody, and a person looks."""
    try:
        return age(date.fromisoformat(born[:10]), today) >= ADULT
    except ValueError:
        return False


def age(born: date, today: date) -> int:
    """Full years between the two days."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
