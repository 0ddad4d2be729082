"""Who is it? After the mailbox is proven: one account, none or several; a child; a sign-in to ask for."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from dsr import casebook, plans
from dsr.case import Attention, Case, Requester, State
from dsr.casebook import Casebook
from dsr.datamap.plan import Plan
from dsr.gathering import staged
from dsr.records import at_path
from dsr.settings import read
from dsr.staging import Staging

# Under this age a parent or guardian acts for the child (the strictest of the laws served here:
# CraftZone's notice and most company policies say 18). Data in one place, reviewed by the company.
ADULT = 18


@dataclass(frozen=True)
class Settings:
    """Environment of resolve_subject."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str


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
    failed = tuple(
        Attention(v.visit, v.reason, v.about)
        for v in book.visits(case.case_id).values()
        if v.outcome == "needs_attention"
    )
    if failed:
        return _stop(book, case, failed)
    staging = Staging(settings.staging_bucket, settings.case_keys_table, case)
    accounts = find_accounts(plan, staging)
    to, changes = decide(plan, case, book.requester(case), accounts, casebook.now().date())
    if to is State.NEEDS_ATTENTION:
        return _stop(book, case, changes["attention"])
    return {"outcome": book.move(case, to, "resolved", "workflow", **changes).state.value}


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
            found[account_id] = Account(
                account_id,
                frozenset(str(v) for name in proving if (v := at_path(values, name))),
                str(at_path(values, collection.born) or "") if collection.born else "",
            )
    return list(found.values())


def decide(
    plan: Plan, case: Case, requester: Requester, accounts: list[Account], today: date
) -> tuple[State, dict[str, Any]]:
    """Where the case goes, and with which changes. Pure."""
    if len(accounts) > 1 and case.decisions.get("two_accounts") != "include":
        return State.NEEDS_ATTENTION, {"attention": (Attention("", "two_accounts"),)}
    needed = plan.requires[case.right.value]["account_holder" if accounts else "default"]
    if needed == "account" and accounts and not case.approved:
        if not requester.account:
            return State.AWAITING_IDENTITY, {"needs": "account"}
        if not any(requester.account in a.proves for a in accounts):
            return State.NEEDS_ATTENTION, {"attention": (Attention("", "sign_in_mismatch"),)}
    risk = set(case.risk)
    if requester.for_whom != "self":
        risk.add(requester.for_whom)
    if any(a.born and age(date.fromisoformat(a.born[:10]), today) < ADULT for a in accounts):
        risk.add("minor")
    if risk and not case.approved:
        return State.AWAITING_APPROVAL, {"risk": tuple(sorted(risk))}
    return State.VERIFIED, {}


def age(born: date, today: date) -> int:
    """Full years between the two days."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
