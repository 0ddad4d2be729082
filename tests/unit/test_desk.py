"""The desk through its real handler: who may do what, what it shows, what it changes."""

import html
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, quote, unquote, urlsplit

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsr.case import ENDED, MOVES, Attention, Case, Proof, Right, State
from dsr.casebook import Visit, now, work_name
from dsr.casekey import destroy
from dsr.errors import Refused, StoreFault
from dsr.notices.refusals import REFUSALS
from dsr.web import oidc
from dsr.web.desk import door, queue, words
from dsr.web.desk.pages import DeskPages, Gate
from dsr.web.desk.roles import PERMISSIONS, May, Role, allowed, roles_in
from dsr.web.desk.showing import left
from tests.conftest import REGION
from tests.template.cloudformation import ROOT
from tests.unit.bureau import ADA, DOUBT, DOWN, SIGN_IN, Bureau, bureau_open
from tests.unit.front import HOST, Browser, proxy_event

UNKNOWN = "0000-0000-0000-ZZZZ"
GATES = DeskPages.gates(mock.MagicMock())
# The buttons that make a case go on. Those of holds stop it, see test_holds.py; those of tasks have pages
# of their own, see test_tasks.py; a dry run is another case, see test_dry_runs.py.
ELSEWHERE = ("hold", "/tasks/", "/wait", "/dry-run")
POSTS = [g for g in GATES if g.method == "POST" and not any(word in g.pattern for word in ELSEWHERE)]
EVERYBODY = [frozenset({r for n, r in enumerate(Role) if bits >> n & 1}) for bits in range(1, 8)]
TICKET = {
    "id": "T-1",
    "opened_email": "ada@work.example",
    "opened_by": "A. King",
    "text": "help",
    "note": "secret",
}
GROUP = "support.tickets|body|names"
HELLO = {"id": "T-2", "body": "Hi Charles,\nthe laser stops"}


@pytest.fixture(scope="module")
def bureau(shared_cloud: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    """One desk for all; each test works on cases of its own."""
    with bureau_open(tmp_path_factory.mktemp("map")) as opened:
        yield opened


def stored(bureau: Bureau, case_id: str, looks: bool = False) -> list[Any]:
    """Everything kept of the case, with or without the looks at it."""
    parts = [*bureau.world.book.parts(case_id, "case"), *bureau.world.book.parts(case_id, "event#")]
    for prefix in ("visit#", "erase@", "freeze@", "gather@", *(["look#"] if looks else [])):
        parts += bureau.world.book.parts(case_id, prefix)
    return parts


def staged(bureau: Bureau) -> list[str]:
    return bureau.world.objects("dsr-staging")


def form(case: Case, **more: str) -> dict[str, str]:
    return {"version": str(case.version), **more}


def waiting(bureau: Bureau, action: str) -> tuple[Case, dict[str, str]]:
    """A case on which the button works, and its form."""
    if action in ("retry", "leave-out"):
        case = bureau.stuck()
    elif action == "judge":
        case = bureau.doubtful([TICKET])
    elif action == "review":
        case = bureau.reviewed([HELLO])
    elif action == "join-accounts":
        two = (Attention("", "two_accounts"),)
        case = bureau.world.case(State.NEEDS_ATTENTION, attention=two, resume=State.RESOLVING)
    elif action == "sign-in-again":
        other = (Attention("", "sign_in_mismatch"),)
        case = bureau.world.case(State.NEEDS_ATTENTION, attention=other, resume=State.RESOLVING)
    else:
        case = bureau.world.case(State.AWAITING_APPROVAL, risk=("child",))
    sent = {
        "judge": {"path": DOUBT.about, "decision": "exclude"},
        "leave-out": {"visit": DOWN.visit},
        "review": {"group": GROUP, "all": "redact"},
        "refuse": {"reason": "not_entitled"},
    }
    return case, form(case, **sent.get(action, {}))


def action_of(gate: Gate) -> str:
    return gate.pattern.rpartition("/")[2]


# -- who may do what ---------------------------------------------------------------------------------


def test_the_table_of_permissions() -> None:
    assert PERMISSIONS[May.LOOK] == set(Role)
    assert PERMISSIONS[May.WORK] == {Role.AGENT}
    assert PERMISSIONS[May.DECIDE] == {Role.APPROVER}
    asked = {action_of(gate): gate.may for gate in POSTS}
    assert asked == {
        "retry": May.WORK,
        "judge": May.WORK,
        "leave-out": May.WORK,
        "review": May.WORK,
        "join-accounts": May.WORK,
        "sign-in-again": May.WORK,
        "approve": May.DECIDE,
        "refuse": May.DECIDE,
    }
    assert {gate.may for gate in GATES if gate.method == "GET"} == {May.LOOK}


@pytest.mark.parametrize("roles", EVERYBODY, ids=lambda roles: "+".join(sorted(r.value for r in roles)))
def test_every_button_works_for_its_roles_and_for_no_other(bureau: Bureau, roles: frozenset[Role]) -> None:
    browser = bureau.browser(*sorted(roles))
    for gate in POSTS:
        action = action_of(gate)
        case, sent = waiting(bureau, action)
        before = stored(bureau, case.case_id), staged(bureau), len(bureau.states.started)
        page = browser.post(gate.pattern.format(case_id=case.case_id), sent)
        if allowed(roles, gate.may):
            assert page.location == f"/prod/desk/cases/{case.case_id}?done={action}", (action, page.text)
            event = bureau.world.book.events(case.case_id)[-1]
            assert event.actor.startswith("agent:sub-")
            assert bureau.states.started[-1].startswith(case.case_id)
        else:
            assert page.status == 403, action
            assert "Your role does not allow this" in page.text
            assert (stored(bureau, case.case_id), staged(bureau), len(bureau.states.started)) == before


@pytest.mark.parametrize("roles", EVERYBODY, ids=lambda roles: "+".join(sorted(r.value for r in roles)))
def test_a_page_offers_the_buttons_that_its_reader_may_press(bureau: Bureau, roles: frozenset[Role]) -> None:
    browser = bureau.browser(*sorted(roles))
    for gate in POSTS:
        case, _ = waiting(bureau, action_of(gate))
        at = "/review" if action_of(gate) == "review" else ""
        page = browser.get(f"/desk/cases/{case.case_id}{at}")
        path = gate.pattern.format(case_id=case.case_id)
        assert (f'action="/prod{path}"' in page.body) is allowed(roles, gate.may), path


def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(bureau: Bureau) -> None:
    browser, case = bureau.stranger(), bureau.stuck()
    before = stored(bureau, case.case_id, looks=True)
    for gate in GATES:
        path = gate.pattern.format(
            case_id=case.case_id, action="retry", hold_id="0123456789", visit=DOWN.visit
        )
        page = browser._send(gate.method, path, form(case) if gate.method == "POST" else None, {})
        then = f"/desk/cases/{case.case_id}" if case.case_id in path else "/desk"
        ended = "&why=ended" if gate.method == "POST" else ""
        assert page.location == f"/prod/desk/sign-in?then={then}{ended}", path
        asked = browser.follow(page)
        assert ("nothing was done" in asked.text) is bool(ended)
        assert f'name="then" value="{then}"' in asked.body
    assert stored(bureau, case.case_id, looks=True) == before, "not even a look"
    for nonsense in ("", "x", "A" * 43, "ä" * 43):
        browser.jar["__Host-dsr-desk"] = nonsense
        assert browser.get("/desk").location.startswith("/prod/desk/sign-in")


def test_no_other_cookie_opens_the_desk(bureau: Bureau) -> None:
    browser = bureau.browser(Role.AGENT)
    browser.jar = {"__Host-dsr": browser.jar["__Host-dsr-desk"]}
    assert browser.get("/desk").status == 303


# -- signing in and out ------------------------------------------------------------------------------


def claims(nonce: str, change: dict[str, Any]) -> dict[str, Any]:
    at = int(time.time())
    return {
        "iss": SIGN_IN["issuer"],
        "aud": SIGN_IN["client_id"],
        "sub": "sub-ann",
        "nonce": nonce,
        "iat": at,
        "exp": at + 60,
        "auth_time": at,
        "token_use": "id",
        "cognito:groups": ["agents", "others"],
    } | change


def leave(browser: Browser, then: str = "/desk") -> dict[str, str]:
    """Go to the hosted page; returns what it is asked."""
    page = browser.post("/desk/sign-in", {"then": then})
    assert page.location.startswith("https://desk.example/oauth2/authorize?")
    return {name: values[0] for name, values in parse_qs(urlsplit(page.location).query).items()}


def come_back(browser: Browser, asked: dict[str, str], **change: Any) -> Any:
    """Come back from there with a token of these claims."""

    def exchange(_: object, uri: str, code: str, verifier: str) -> dict[str, Any]:
        from dsr.identity import challenge

        assert (uri, code) == (f"https://{HOST}/prod/desk/sign-in/callback", "the-code")
        assert challenge(verifier) == asked["code_challenge"]
        return claims(asked["nonce"], change)

    with mock.patch.object(oidc, "_exchange", exchange):
        return browser.post("/desk/sign-in/callback", {"code": "the-code", "state": asked["state"]})


def front_door() -> list[Any]:
    items = boto3.client("dynamodb", region_name=REGION).scan(TableName="dsr-front-door")["Items"]
    return sorted(items, key=lambda item: str(item["id"]["S"]))


def test_an_agent_signs_in_and_out(bureau: Bureau) -> None:
    browser, case = bureau.stranger(), bureau.stuck()
    page = browser.get("/desk/sign-in")
    assert "form-action 'self' https://desk.example;" in page.headers["Content-Security-Policy"]
    asked = leave(browser, f"/desk/cases/{case.case_id}")
    assert (asked["code_challenge_method"], asked["response_type"], asked["scope"]) == (
        "S256",
        "code",
        "openid",
    )
    planted, before = dict(browser.jar), front_door()
    returned = browser.get(f"/desk/sign-in/callback?code=the-code&state={asked['state']}")
    assert "press the button" in returned.text
    assert front_door() == before, "a GET changes nothing"
    page = come_back(browser, asked)
    assert page.location == f"/prod/desk/cases/{case.case_id}"
    [cookie] = page.cookies
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=28800"} <= set(cookie.split("; "))
    assert browser.jar != planted, "a cookie from before opens nothing"
    assert browser.follow(page).status == 200
    assert "Signed in as agent" in browser.get("/desk").text
    assert browser.jar["__Host-dsr-desk"] not in str(front_door()), "only its keyed hash is kept"
    stolen = dict(browser.jar)
    out = browser.post("/desk/sign-out")
    back = quote(f"https://{HOST}/prod/desk/sign-in", safe="")
    assert out.location == f"https://desk.example/logout?client_id=desk-1&logout_uri={back}"
    assert "Max-Age=0" in out.cookies[0]
    browser.jar = stolen
    assert browser.get("/desk").status == 303


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"iss": "https://evil.example"}, 422, "did not work"),
        ({"aud": "member-client"}, 422, "did not work"),
        ({"nonce": "another"}, 422, "did not work"),
        ({"exp": 1}, 422, "did not work"),
        ({"token_use": "access"}, 422, "did not work"),
        ({"auth_time": 1}, 422, "too long ago"),
        ({"cognito:groups": []}, 403, "You have no role at the desk"),
        ({"cognito:groups": ["admins", "Agents", "agents "]}, 403, "You have no role at the desk"),
        ({"cognito:groups": "agents"}, 403, "You have no role at the desk"),
        ({"cognito:groups": None}, 403, "You have no role at the desk"),
    ],
)
def test_a_token_that_opens_nothing(bureau: Bureau, change: dict[str, Any], status: int, said: str) -> None:
    browser = bureau.stranger()
    page = come_back(browser, leave(browser), **change)
    assert (page.status, page.cookies) == (status, [])
    assert said in page.text
    assert browser.get("/desk").status == 303


def test_a_sign_in_is_of_the_browser_that_began_it_and_single_use(bureau: Bureau) -> None:
    mine, other = bureau.stranger(), bureau.stranger()
    asked = leave(mine)
    leave(other)
    for browser in (other, bureau.stranger()):
        assert come_back(browser, asked).status == 422
    for state in ("", "x", "s" * 43):
        assert mine.post("/desk/sign-in/callback", {"code": "c", "state": state}).status == 422
    assert mine.get("/desk/sign-in/callback?error=access_denied").status == 422
    assert come_back(mine, asked).status == 303
    assert come_back(mine, asked).status == 422


def test_two_tabs_may_sign_in_at_once(bureau: Bureau) -> None:
    browser = bureau.stranger()
    first, second = leave(browser), leave(browser)
    kept = dict(browser.jar)
    assert come_back(browser, second).status == 303
    browser.jar = kept
    assert come_back(browser, first).status == 303


def test_an_exchange_that_fails(bureau: Bureau) -> None:
    browser = bureau.stranger()
    asked = leave(browser)
    with mock.patch.object(oidc, "_exchange", side_effect=Refused("no")):
        page = browser.post("/desk/sign-in/callback", {"code": "c", "state": asked["state"]})
    assert page.status == 422


@pytest.mark.parametrize(
    "then",
    ["https://evil.example", "//evil.example", "/requests", "/desk/../x", "/desk/cases/x", "/desk?a=b"],
)
def test_nothing_leads_out_of_the_desk(bureau: Bureau, then: str) -> None:
    browser = bureau.stranger()
    assert 'name="then" value="/desk"' in browser.get(f"/desk/sign-in?then={then}").body
    assert come_back(browser, leave(browser, then)).location == "/prod/desk"


def test_without_a_sign_in_nobody_gets_in(bureau: Bureau) -> None:
    with mock.patch("dsr.parameters.sign_in", return_value=None):
        browser = bureau.stranger()
        assert "No sign-in is configured" in browser.get("/desk/sign-in").text
        assert browser.post("/desk/sign-in").location == "/prod/desk/sign-in"
        assert browser.post("/desk/sign-in/callback", {"state": "s" * 43}).status == 422
        assert bureau.browser(Role.AGENT).post("/desk/sign-out").location == "/prod/desk/sign-in"


def test_a_session_ends_after_half_an_hour_of_nothing_and_after_a_day_of_work(bureau: Bureau) -> None:
    browser, began = bureau.browser(Role.AGENT), time.time()

    def at(seconds: float) -> int:
        with mock.patch("time.time", return_value=began + seconds):
            return browser.get("/desk").status

    assert at(door.IDLE_SECONDS - 5) == 200
    assert at(2 * door.IDLE_SECONDS - 60) == 200, "a look keeps it"
    assert at(3 * door.IDLE_SECONDS - 30) == 303
    assert at(2 * door.IDLE_SECONDS) == 200
    for minute in range(60, 8 * 60, 25):
        assert at(minute * 60) == 200, minute
    assert at(door.SESSION_SECONDS + 1) == 303


# -- what a GET does ---------------------------------------------------------------------------------


def test_no_get_changes_a_case(bureau: Bureau) -> None:
    browser = bureau.browser(*Role)
    for waits in map(action_of, POSTS):
        case, _ = waiting(bureau, waits)
        before = stored(bureau, case.case_id), staged(bureau), list(bureau.states.started)
        for gate in GATES:
            if gate.method == "GET":
                path = gate.pattern.format(case_id=case.case_id, action=waits, visit=DOWN.visit)
                page = browser.get(f"{path}?reference={case.case_id}&version=1&reason=unfounded")
                assert page.status in (200, 303, 409 if "/tasks/" in path else 200), path
        assert (stored(bureau, case.case_id), staged(bureau), list(bureau.states.started)) == before


def test_a_look_is_on_record_once_an_hour_and_person(bureau: Bureau) -> None:
    case = bureau.stuck()
    agent, auditor = bureau.browser(Role.AGENT), bureau.browser(Role.AUDITOR)
    for browser in (agent, agent, auditor):
        assert "ada@example.com" in browser.get(f"/desk/cases/{case.case_id}").text
    looks = [part["part"].split("#", 2)[2] for part in bureau.world.book.parts(case.case_id, "look#")]
    assert sorted(set(looks)) == ["sub-agents", "sub-auditors"]
    assert len(looks) <= 4, "the hour may turn meanwhile"
    shown = auditor.get(f"/desk/cases/{case.case_id}").text
    assert "Personal content looked at You" in shown
    assert "Personal content looked at Desk, sub-agen" in shown
    assert "ada@" not in str(list(bureau.world.book.parts(case.case_id, "look#")))


def test_nothing_personal_is_shown_when_the_look_cannot_be_kept(bureau: Bureau) -> None:
    case = bureau.stuck()
    with mock.patch("dsr.web.desk.looks.Looks.note", side_effect=RuntimeError("no")):
        page = bureau.browser(Role.AGENT).get(f"/desk/cases/{case.case_id}")
    assert page.status == 500
    assert "ada@" not in page.body


# -- one case ----------------------------------------------------------------------------------------


def test_a_case_shows_who_how_sure_by_when_and_what_each_store_said(bureau: Bureau) -> None:
    case = bureau.stuck(
        contacts=(Proof.CONFIRMED, Proof.SKIPPED), regimes=("gdpr", "lgpd"), signed_in_at=now()
    )
    text = bureau.browser(Role.AGENT).get(f"/desk/cases/{case.case_id}").text
    for said in (
        "ada@example.com confirmed by a code",
        "ada@work.example given up by the requester",
        "Ada Lovelace typed, not proven",
        "United Kingdom",
        "Mailbox Proven",
        "GDPR Art. 12(3)",
        "LGPD Art. 19",
        "screening Needs attention",
        "The store refuses us.",
        "dynamodb:Query",
        words.FAULTS["missing_permission"].do,
        "Request received",
    ):
        assert said in text, said


def test_doubtful_records_are_shown_beside_what_was_typed_and_secrets_are_not(bureau: Bureau) -> None:
    case = bureau.doubtful([TICKET, TICKET | {"id": "T-2", "opened_by": None}])
    browser = bureau.browser(Role.AGENT)
    text = browser.get(f"/desk/cases/{case.case_id}").text
    assert "opened_by A. King The requester typed: Ada Lovelace" in text
    assert "T-2" in text
    assert "secret" not in text
    page = browser.post(f"/desk/cases/{case.case_id}/judge", form(case, path=DOUBT.about, decision="include"))
    assert page.status == 303
    moved = bureau.world.book.get(case.case_id)
    assert (moved.state, moved.decisions) == (State.GATHERING, {DOUBT.about: "include"})
    assert [e.actor for e in bureau.world.book.events(case.case_id)[1:]] == ["agent:sub-agents"] * 2
    assert "Your decision is recorded" in browser.follow(page).text


def test_of_many_doubtful_records_the_first_are_shown(bureau: Bureau) -> None:
    case = bureau.doubtful([TICKET | {"id": f"T-{n:03}", "text": "x" * 5000} for n in range(30)])
    page = bureau.browser(Role.AGENT).get(f"/desk/cases/{case.case_id}")
    assert "T-019" in page.text
    assert "T-020" not in page.text
    assert "There are more" in page.text
    assert len(page.body) < 60_000


def test_what_is_doubtful_after_erasing_is_that_rounds(bureau: Bureau) -> None:
    case = bureau.doubtful([TICKET], resume=State.CONFIRMING, right=Right.DELETION)
    browser = bureau.browser(Role.AGENT)
    assert "The records are not here any more" in browser.get(f"/desk/cases/{case.case_id}").text
    assert "A. King" not in browser.get(f"/desk/cases/{case.case_id}").text


def test_a_deletion_shows_its_plan_and_every_round(bureau: Bureau) -> None:
    plan = {
        "support.tickets": {"title": "Tickets", "records": 3, "treatment": "mask", "fields": ["opened_by"]},
        "screening.flags": {"title": "Flags", "records": 1, "treatment": "keep", "until": ""}
        | {"reason": "claims", "law": "GDPR Art. 17"},
    }
    case = bureau.world.case(
        State.ERASING, right=Right.DELETION, plan=plan, confirmed_at=now(), round=1, joined=UNKNOWN
    )
    visit = Visit("0-support", "support", "done", {"tickets": 2})
    for verb, number in (("freeze", 0), ("erase", 0), ("gather", 1), ("erase", 1)):
        bureau.world.book.note_visit(case.case_id, visit, work_name(verb, number))
    text = bureau.browser(Role.AUDITOR).get(f"/desk/cases/{case.case_id}").text
    for said in (
        "Masked: the record stays, these fields go: opened_by",
        "Kept: claims (GDPR Art. 17)",
        "Sign-in and sessions stopped",
        "Erased Erased, store by store",
        "Asked again afterwards",
        "Erased, round 2",
        UNKNOWN,
    ):
        assert said in text, said


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_words_and_its_page(bureau: Bureau, state: State) -> None:
    assert words.STATES[state]
    case = bureau.world.case(state, attention=(DOWN,) if state is State.NEEDS_ATTENTION else ())
    page = bureau.browser(*Role).get(f"/desk/cases/{case.case_id}")
    assert page.status == 200
    assert words.STATES[state] in page.text
    assert ("End the case with a refusal" in page.text) is (State.REFUSED in MOVES[state])


def test_every_reason_in_the_code_has_its_words() -> None:
    """What workers and workflow may report, read from the code."""
    reasons = set(StoreFault.CODES)
    for path in (ROOT / "functions/dsr").rglob("*.py"):
        text = path.read_text()
        reasons |= set(re.findall(r'Attention\([^,()]+, "([a-z_]+)"', text))
        reasons |= set(re.findall(r'reason or "([a-z_]+)"', text))
    for path in (ROOT / "workflows").glob("*.json"):
        reasons |= set(re.findall(r'":reason": \{ "S": "([a-z_]+)" \}', path.read_text()))
    assert {"two_accounts", "no_answer", "unverified_match", "step_failed"} <= reasons
    assert reasons <= words.FAULTS.keys()


def test_every_event_in_the_code_has_its_words() -> None:
    text = "".join(path.read_text() for path in (ROOT / "functions/dsr").rglob("*.py"))
    names = set(re.findall(r'"([a-z_]+)",\s*(?:"(?:workflow|clock|requester)"|f"agent)', text))
    names |= set(re.findall(r'_Change\(\s*[^,]+,\s*"([a-z_]+)"', text))
    assert {"gathered", "expired", "withdrawn"} <= names
    assert names - {"erase", "resolve"} <= words.EVENTS.keys()


def test_a_word_that_is_missing_shows_as_it_is(bureau: Bureau) -> None:
    case = bureau.stuck(attention=(Attention("9-new", "never_heard_of", "thing"),), risk=("odd_one",))
    text = bureau.browser(Role.AGENT).get(f"/desk/cases/{case.case_id}").text
    assert "Have an engineer look" in text
    assert "odd one" in text


def test_a_case_whose_key_is_destroyed_still_has_its_page(bureau: Bureau) -> None:
    flagged = bureau.world.case(State.CLOSED, key_destroyed=True)
    gone = bureau.doubtful([TICKET])
    destroy(gone.case_id, "dsr-case-keys")
    for case in (flagged, gone):
        page = bureau.browser(Role.AGENT).get(f"/desk/cases/{case.case_id}")
        assert page.status == 200
        assert "has been destroyed" in page.text
        assert "ada@" not in page.body


@pytest.mark.parametrize("reference", [UNKNOWN, "x", "0000", "<b>x</b>", "U" * 16])
def test_a_case_that_does_not_exist(bureau: Bureau, reference: str) -> None:
    browser = bureau.browser(*Role)
    page = browser.get(f"/desk/cases/{reference}")
    assert page.status == 404
    assert reference not in page.body or "<" not in reference
    for gate in POSTS:
        sent = {"version": "1", "reason": "unfounded", "decision": "include"}
        assert browser.post(gate.pattern.format(case_id=reference), sent).status == 404
    assert browser.get(f"/desk/cases/{reference}/retry").status == 404


def test_a_reference_read_over_the_phone(bureau: Bureau) -> None:
    browser, case = bureau.browser(Role.AUDITOR), bureau.stuck()
    spoken = case.case_id.lower().replace("-", "+").replace("0", "o")
    assert (
        browser.get(f"/desk/find?reference={spoken.replace('+', '')}").location
        == f"/prod/desk/cases/{case.case_id}"
    )
    page = browser.get("/desk/find?reference=K7Q2")
    assert (page.status, "K7Q2" in page.text) == (404, True)


# -- what a button does ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action", ["retry", "judge", "leave-out", "join-accounts", "sign-in-again", "approve", "refuse"]
)
def test_who_decides_on_an_old_page_sees_how_it_stands_now(bureau: Bureau, action: str) -> None:
    case, sent = waiting(bureau, action)
    browser, path = bureau.browser(*Role), f"/desk/cases/{case.case_id}/{action}"
    bureau.world.book.move(case, case.state, "map_updated", "workflow")
    before, started = stored(bureau, case.case_id), len(bureau.states.started)
    for old in (sent, sent | {"version": "x"}, {k: v for k, v in sent.items() if k != "version"}):
        page = browser.post(path, old)
        assert page.status == 409
        assert "the case has changed since you opened its page" in page.text
        assert f'name="version" value="{case.version + 1}"' in page.body
    assert (stored(bureau, case.case_id), len(bureau.states.started)) == (before, started)


def test_of_two_who_decide_at_once_one_is_told(bureau: Bureau) -> None:
    case = bureau.stuck()
    browser = bureau.browser(Role.AGENT)
    get, moved = type(bureau.world.book).get, []

    def overtaken(book: Any, case_id: str) -> Case:
        found = get(book, case_id)
        if not moved:
            moved.append(
                book.move(found, State.GATHERING, "retried", "agent:other", attention=(), resume=None)
            )
        return found

    with mock.patch.object(type(bureau.world.book), "get", overtaken):
        page = browser.post(f"/desk/cases/{case.case_id}/retry", form(case))
    assert page.status == 409
    assert "Asking the stores" in page.text
    assert bureau.world.book.get(case.case_id).version == case.version + 1


@pytest.mark.parametrize(
    ("action", "sent", "status"),
    [
        ("judge", {"path": DOUBT.about, "decision": "perhaps"}, 422),
        ("judge", {"path": DOUBT.about}, 422),
        ("judge", {"path": "members.members", "decision": "include"}, 409),
        ("judge", {"path": "nowhere", "decision": "include"}, 409),
        ("leave-out", {"visit": "0-members"}, 409),
        ("leave-out", {}, 409),
        ("join-accounts", {}, 409),
        ("sign-in-again", {}, 409),
        ("approve", {}, 409),
        ("refuse", {}, 422),
        ("refuse", {"reason": "because"}, 422),
    ],
)
def test_what_is_not_open_to_be_decided_is_not(
    bureau: Bureau, action: str, sent: dict[str, str], status: int
) -> None:
    case = bureau.doubtful([TICKET])
    before = stored(bureau, case.case_id), staged(bureau)
    page = bureau.browser(*Role).post(f"/desk/cases/{case.case_id}/{action}", form(case, **sent))
    assert page.status == status
    assert 'role="alert"' in page.body
    assert (stored(bureau, case.case_id), staged(bureau)) == before


def test_a_store_that_tells_who_it_is_cannot_be_left_out(bureau: Bureau) -> None:
    case = bureau.stuck(attention=(replace(DOWN, visit="0-members"),))
    browser = bureau.browser(Role.AGENT)
    assert "leave-out" not in browser.get(f"/desk/cases/{case.case_id}").body
    page = browser.post(f"/desk/cases/{case.case_id}/leave-out", form(case, visit="0-members"))
    assert page.status == 422
    assert "not possible for this case" in page.text


@pytest.mark.parametrize("resume", [State.ERASING, State.CONFIRMING])
def test_a_case_that_is_being_erased_cannot_be_refused(bureau: Bureau, resume: State) -> None:
    case = bureau.stuck(resume=resume, right=Right.DELETION)
    browser = bureau.browser(Role.APPROVER)
    assert "End the case with a refusal" not in browser.get(f"/desk/cases/{case.case_id}").text
    page = browser.post(f"/desk/cases/{case.case_id}/refuse", form(case, reason="unfounded"))
    assert page.status == 422
    assert bureau.world.book.get(case.case_id).state is State.NEEDS_ATTENTION


def test_a_refusal_ends_the_case_with_the_reason_that_the_requester_reads(bureau: Bureau) -> None:
    case = bureau.stuck()
    browser = bureau.browser(Role.APPROVER)
    page = browser.get(f"/desk/cases/{case.case_id}")
    assert all(said in page.text for said in REFUSALS.values())
    browser.post(f"/desk/cases/{case.case_id}/refuse", form(case, reason="excessive"))
    refused = bureau.world.book.get(case.case_id)
    assert (refused.state, refused.outcome) == (State.REFUSED, "excessive")


# -- the list ----------------------------------------------------------------------------------------


def references(body: str) -> list[str]:
    return re.findall(r'href="/prod/desk/cases/([0-9A-Z-]{19})"', body)


def test_the_list_is_by_deadline_page_by_page(bureau: Bureau) -> None:
    browser, begin = bureau.browser(Role.AUDITOR), datetime(2031, 1, 1, tzinfo=UTC)
    due = {
        bureau.world.case(State.COOLING_OFF, due_at=begin + timedelta(days=n // 3)).case_id: n // 3
        for n in (7, 3, 11, 0, 5, 9, 1, 8, 2, 10, 4, 6)
    }
    assert queue.PAGE == 50
    found: list[str] = []
    path = "/desk?show=cooling_off"
    with mock.patch.object(queue, "PAGE", 5):
        while path:
            body = browser.get(path).body
            link = re.search(r'href="/prod(/desk\?[^"]*after=[^"]*)"', body)
            assert len(references(body)) == 5 or not link
            found += references(body)
            # API Gateway decodes the values of the query.
            path = unquote(html.unescape(link[1])) if link else ""
            assert re.fullmatch(r"(/desk\?show=cooling_off&after=[0-9T:+.-]+~[0-9A-Z-]{19})?", path)
    assert len(found) == len(set(found))
    assert [due[one] for one in found if one in due] == sorted(due.values())


@pytest.mark.parametrize("after", ["x", "2026-13-45T00:00:00+00:00~" + UNKNOWN, "~", "'\"<b>"])
def test_a_place_in_the_list_that_is_none_is_its_beginning_or_its_end(bureau: Bureau, after: str) -> None:
    page = bureau.browser(Role.AGENT).get(f"/desk?after={after}&show=nonsense")
    assert page.status == 200
    assert "<b>" not in page.body


def test_the_list_says_what_waits_and_why(bureau: Bureau) -> None:
    long_ago, world = datetime(2020, 1, 1, tzinfo=UTC), bureau.world
    stuck = bureau.stuck(due_at=long_ago)
    approval = world.case(State.AWAITING_APPROVAL, risk=("minor",), due_at=long_ago)
    working, ended = world.case(State.BUNDLING), world.case(State.WITHDRAWN, due_at=long_ago)
    failed = (Attention("", "workflow_failed", "announce"),)
    given_up = world.case(State.READY, attention=failed, due_at=long_ago)
    browser = bureau.browser(Role.AUDITOR)

    def shown(show: str) -> set[str]:
        return set(references(browser.get(f"/desk?show={show}").body))

    ours = {case.case_id for case in (stuck, approval, working, ended, given_up)}
    assert shown("person") & ours == {stuck.case_id, approval.case_id, given_up.case_id}
    assert shown("bundling") & ours == {working.case_id}
    assert shown("ended") & ours == {ended.case_id}
    text = browser.get("/desk?show=person").text
    assert "Missing permission: screening" in text
    assert "may be, under 18" in text
    assert "Overdue by" in text, "in words, not only by colour"


def test_the_list_reads_nothing_that_is_sealed(bureau: Bureau) -> None:
    bureau.stuck()
    rows, _ = queue.page("dsr-cases", "open", "")
    assert set(vars(rows[0])) == {*queue._SHOWN}
    assert not {"sealed", "contacts", "plan", "subject"} & set(queue._SHOWN)
    with mock.patch("dsr.casebook.unseal", side_effect=AssertionError):
        assert bureau.browser(Role.AGENT).get("/desk").status == 200


DUE = datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "said", "mark"),
    [
        (DUE - timedelta(days=30), "30 days left", "fine"),
        (DUE - timedelta(days=5), "5 days left", "soon"),
        (DUE - timedelta(days=1), "1 day left", "soon"),
        (DUE - timedelta(hours=3), "Due today", "soon"),
        (DUE + timedelta(seconds=1), "Overdue by 1 day", "late"),
        (DUE + timedelta(days=2), "Overdue by 2 days", "late"),
    ],
)
def test_how_long_there_is(at: datetime, said: str, mark: str) -> None:
    assert (left(State.GATHERING, DUE, at).text, left(State.GATHERING, DUE, at).mark) == (said, mark)
    assert left(State.READY, DUE, at).text == "Answered"
    assert {left(state, DUE, at).text for state in ENDED} == {"Ended"}


@given(st.lists(st.text(max_size=12)))
def test_only_groups_by_their_names_give_roles(names: list[str]) -> None:
    assert roles_in(frozenset(names)) == {role for role in Role if role.value in names}


# -- forgery, markup, headers ------------------------------------------------------------------------


def test_forms_of_other_sites_are_refused(bureau: Bureau) -> None:
    browser = bureau.browser(*Role)
    before = len(bureau.states.started)
    for action in map(action_of, POSTS):
        case, sent = waiting(bureau, action)
        path = f"/desk/cases/{case.case_id}/{action}"
        assert browser.post(path, sent, Origin="https://evil.example").status == 403
        assert browser.post(path, sent, Origin="null", Sec_Fetch_Site="cross-site").status == 403
    for path in ("/desk/sign-in", "/desk/sign-in/callback", "/desk/sign-out"):
        assert browser.post(path, {}, Origin="https://evil.example").status == 403
    assert browser.get("/desk").status == 200, "still signed in"
    assert len(bureau.states.started) == before


NASTY = ['"><script>alert(1)</script>', "' onfocus='x", "{{ 7*7 }}", "</dd><b>x", "javascript:alert(1)"]


@pytest.mark.parametrize("nasty", NASTY)
def test_what_people_typed_and_stores_hold_never_becomes_markup(bureau: Bureau, nasty: str) -> None:
    requester = replace(
        ADA, contacts=(nasty, nasty), claims={"name": nasty, nasty: nasty}, account=nasty, country=nasty,
        for_whom=nasty, locators={nasty: [nasty]},
    )  # fmt: skip
    case = bureau.doubtful(
        [dict.fromkeys(TICKET, nasty) | {nasty: {nasty: [nasty]}}],
        requester=requester,
        risk=(nasty,),
        decisions={nasty: nasty, f"visit:{nasty}": nasty},
        plan={nasty: {"title": nasty, "records": 1, "treatment": nasty, "fields": [nasty]}},
        right=Right.DELETION,
    )
    browser = bureau.browser(*Role)
    pages = [
        browser.get(f"/desk/cases/{case.case_id}"),
        browser.get(f"/desk?show={nasty}&after={nasty}"),
        browser.get(f"/desk/find?reference={nasty}"),
        browser.get(f"/desk/sign-in?then={nasty}&why={nasty}"),
        browser.get(f"/desk/sign-in/callback?code={nasty}&state={'s' * 43}"),
        browser.get(f"/desk/cases/{case.case_id}?done={nasty}"),
        browser.post(f"/desk/cases/{case.case_id}/refuse", form(case, reason=nasty)),
    ]
    for page in pages:
        assert page.status < 500
        tags = re.sub(r'"[^"]*"', '""', " ".join(re.findall(r"<[^>]*>", page.body)))
        assert "<script" not in page.body
        assert "onfocus=" not in tags
        assert "<b>" not in page.body
        assert ">49<" not in page.body
        assert 'href="javascript' not in page.body


def test_every_answer_has_the_headers(bureau: Bureau) -> None:
    browser, case = bureau.browser(*Role), bureau.stuck()
    for path in ("/desk", f"/desk/cases/{case.case_id}", "/desk/nowhere/at/all", "/desk/sign-in"):
        page = browser.get(path)
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; ")
        assert "script-src" not in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert "<script" not in page.body
        assert not re.search(r'\s(style|on\w+)="', page.body)


def test_methods_and_addresses_that_do_not_exist(bureau: Bureau) -> None:
    browser = bureau.browser(*Role)
    assert browser.get("/desk/nowhere/at/all").status == 404
    assert browser.post("/desk").status == 405
    assert browser._send("DELETE", "/desk", None, {}).status == 405
    assert browser.get("/desk/sign-out").status == 200
    assert browser.get("/desk").status == 200


def test_the_resource_of_the_api_is_read_with_or_without_a_base(bureau: Bureau) -> None:
    for base in ("/prod", "", "/privacy"):
        event = proxy_event("GET", "/desk/sign-in", None, None, {"Host": HOST}, "1.2.3.4", base)
        event |= {"resource": "/desk/{proxy+}", "pathParameters": {"proxy": "sign-in"}}
        assert f'action="{base}/desk/sign-in"' in bureau.answer(event).body


def test_an_error_is_a_page_and_its_text_stays_inside(bureau: Bureau) -> None:
    browser, case = bureau.browser(*Role), bureau.stuck()
    with mock.patch("dsr.web.desk.showing.plans.of_version", side_effect=ValueError("ada@example.com")):
        page = browser.get(f"/desk/cases/{case.case_id}")
    assert page.status == 500
    assert "ada@" not in page.body


@pytest.fixture
def standing() -> dict[str, Any]:
    """A case and who looks at it, for one form after another."""
    return {}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gate=st.sampled_from(POSTS),
    form_sent=st.dictionaries(st.sampled_from(["version", "path", "decision", "visit", "reason"]), st.text()),
)
def test_no_form_breaks_a_page(
    bureau: Bureau, standing: dict[str, Any], gate: Gate, form_sent: dict[str, str]
) -> None:
    if not standing:
        standing |= {"case": bureau.stuck(), "browser": bureau.browser(*Role)}
    path = gate.pattern.format(case_id=standing["case"].case_id)
    status = standing["browser"].post(path, form_sent).status
    assert status in (303, 409, 422)
    if status == 303:  # it may have changed the case: the next form meets another
        standing.clear()
