"""`dsr case`: look at a case and decide it, with the operator's own AWS credentials."""

import argparse
import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Any

from dsr.aws import client
from dsr.case import Case, Requester, State, read_case_id
from dsr.casebook import Casebook
from dsr.deciding import Desk
from dsr.dry_runs import dry_run, may_dry_run
from dsr.errors import DsrError, Refused
from dsr.holdbook import Holdbook
from dsr.holds import Scope, that_stop
from dsr.opening import Opening
from dsr.web.desk.words import PLAN_WAITS
from dsr_cli.stack import outputs

REASONS = ("not_verified", "not_entitled", "unfounded", "excessive")


def add_to(commands: Any) -> None:
    """Add `case` and its commands to the parser."""
    parser = commands.add_parser("case", help="cases: show, plan, retry, judge, leave-out, approve, refuse")
    parser.add_argument("--name", default="dsr", help="name of the deployment (default: %(default)s)")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _verb(verbs, "list", "open cases by deadline", _list, needs_case=False)
    _verb(verbs, "show", "how a case stands, store by store, and its history", _show)
    plan = verbs.add_parser("plan", help="dry run: what a deletion would do; nothing is done")
    plan.add_argument("case", nargs="?", help="a case of the person")
    plan.add_argument(
        "--account",
        metavar="FIELD=ID",
        help="or who it is, such as members.members.member_id=m-1",
    )
    plan.add_argument(
        "--wait", type=int, default=300, metavar="SECONDS", help="for the stores (default: %(default)s)"
    )
    plan.set_defaults(run=_plan)
    _verb(verbs, "retry", "go on from where it stopped", lambda d, c, _: d.retry(c))
    judge = _verb(
        verbs, "judge", "decide on doubtful matches", lambda d, c, o: d.judge(c, o.collection, o.include)
    )
    judge.add_argument("collection", help="store.collection")
    choice = judge.add_mutually_exclusive_group(required=True)
    choice.add_argument("--include", action="store_true", help="they are this person's")
    choice.add_argument("--exclude", action="store_true", help="they are not")
    _verb(
        verbs, "sign-in-again", "the requester may sign in again, with another account",
        lambda d, c, _: d.ask_sign_in_again(c),
    )  # fmt: skip
    _verb(verbs, "join-accounts", "both accounts are this person's", lambda d, c, _: d.join_accounts(c))
    leave = _verb(verbs, "leave-out", "go on without one store", lambda d, c, o: d.leave_out(c, o.visit))
    leave.add_argument("visit", help="as `show` names it, such as 1-events")
    _verb(verbs, "approve", "a person has checked that the requester may ask", lambda d, c, _: d.approve(c))
    refuse = _verb(verbs, "refuse", "end the case with a reason", lambda d, c, o: d.refuse(c, o.reason))
    refuse.add_argument("reason", choices=REASONS)


def _verb(
    verbs: Any, name: str, text: str, act: Callable[..., Any], needs_case: bool = True
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text)
    if needs_case:
        parser.add_argument("case", help="its reference")
    parser.set_defaults(run=lambda options: _run(act, options, needs_case))
    return parser


def _run(act: Callable[..., Any], options: argparse.Namespace, needs_case: bool) -> None:
    stack = outputs(options.name)
    book = Casebook(stack["CasesTable"], stack["CaseKeysTable"])
    agent = agent_of(client("sts").get_caller_identity()["UserId"])
    desk = Desk(book, stack["StagingBucket"], stack["RequestWorkflow"], agent)
    if not needs_case:
        act(book)
        return
    case = _case(book, options.case)
    if act is _show:
        _show(book, case)
        return
    moved: Case = act(desk, case, options)
    print(f"{moved.case_id}: {moved.state}")


def _case(book: Casebook, typed: str) -> Case:
    case_id = read_case_id(typed)
    if case_id is None:
        raise Refused(f"{typed!r} is no reference; one looks like K7Q2-9FXM-3TWD-5BHP")
    return book.get(case_id)


def _plan(options: argparse.Namespace) -> None:
    """Begin a dry run, and print its plan when it is there."""
    stack = outputs(options.name)
    book = Casebook(stack["CasesTable"], stack["CaseKeysTable"])
    if bool(options.case) == bool(options.account):
        raise Refused("name a case of the person, or with --account who it is")
    opening = Opening(book, stack["CaseKey"])
    actor = f"agent:{agent_of(client('sts').get_caller_identity()['UserId'])}"
    of = _case(book, options.case) if options.case else None
    if of is not None and not may_dry_run(of):
        raise Refused(f"case {of.case_id}: who it is about is not proven, or not known any more")
    requester = book.requester(of) if of else _of_account(options.account)
    case = dry_run(opening, stack["RequestWorkflow"], secrets.token_hex(16), requester, actor, of)
    print(f"{case.case_id}: dry run of a deletion; nothing is changed", flush=True)
    until = time.monotonic() + options.wait
    while not case.ended and case.state is not State.NEEDS_ATTENTION:
        if time.monotonic() > until:
            raise DsrError(f"no plan within {options.wait} s: see how far it is with `dsr case show`")
        time.sleep(1)
        case = book.get(case.case_id)
    for point in case.attention:
        raise DsrError(
            f"{point.visit or 'the case'}: {point.reason} {point.about}; decide it as for any case"
        )
    _print_plan(case, Holdbook(book.cases))


def _of_account(text: str) -> Requester:
    field, _, value = text.partition("=")
    if field.count(".") < 2 or not value:
        raise Refused(f"{text!r} names no account; one looks like members.members.member_id=m-1")
    return Requester((), locators={field: [value]})


def _print_plan(case: Case, holds: Holdbook) -> None:
    for path, entry in sorted(case.plan.items()):
        said = [entry["treatment"], *entry.get("fields", ())]
        if entry["treatment"] == "keep":
            said += [f"until {entry['until'] or 'no date'}", f"{entry['reason']} ({entry['law']})"]
        said += [PLAN_WAITS[entry["waits"]]] if "waits" in entry else []
        said += [f"{entry['told']} is told of so many locators"] if "told" in entry else []
        print(f"  {path:30} {entry['records']:>9,}  {'; '.join(said)}")
    for hold in that_stop(holds.all(), case, case.plan):
        print(f"  held: {hold.scope} {hold.target if hold.scope == Scope.COLLECTION else ''} {hold.reason}")
    if not case.plan:
        print("  nothing is found")


def agent_of(user_id: str) -> str:
    """Who decides, as the history may keep it for ever: an id, and of a session's name only a hash.

    A session is named by who begins it, by single sign-on with the person's mail address. Whoever
    may read CloudTrail can tell which session it was.
    """
    role, colon, session = user_id.partition(":")
    return f"{role}/{hashlib.sha256(session.encode()).hexdigest()[:12]}" if colon else role


def _list(book: Casebook) -> None:
    for case in book.open_cases():
        waits = "; ".join(f"{p.visit or '-'} {p.reason} {p.about}".strip() for p in case.attention)
        print(f"{case.case_id}  {case.right:8}  {case.state:18}  due {case.due_at:%Y-%m-%d}  {waits}")


def _show(book: Casebook, case: Case) -> None:
    print(f"{case.case_id}  {case.right}  {case.state}  due {case.due_at:%Y-%m-%d}  attempt {case.attempt}")
    for point in case.attention:
        print(f"  needs attention: {point.visit or 'the case'}: {point.reason} {point.about}")
    for visit in book.visits(case.case_id).values():
        doubtful = f"  doubtful {visit.doubtful}" if visit.doubtful else ""
        fault = f"{visit.reason} {visit.about}"
        print(f"  {visit.visit:20} {visit.outcome:16} {visit.counts or {}}{doubtful} {fault}")
    for event in book.events(case.case_id):
        about = " ".join(f"{k}={v}" for k, v in event.about.items())
        move = f"{event.was} → {event.now}"
        print(f"  {event.at:%Y-%m-%d %H:%M:%S} {event.actor:24} {event.name:20} {move} {about}")
