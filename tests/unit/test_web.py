"""Every public page and what surrounds it: forms, states, headers, forgery, markup, logs."""

import html
import re
from collections.abc import Iterator
from io import StringIO
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsr.case import State
from dsr.log import logger
from dsr.web import forms
from dsr.web.http import read
from dsr.web.public import PublicPages
from dsr.web.router import Route
from tests.unit.front import (
    FORM,
    HOST,
    Browser,
    Front,
    code_in,
    front_door_open,
    link_in,
    proxy_event,
)

UNKNOWN = "0000-0000-0000-0000"
TOKEN = "t" * 22


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """One front door for all: each test compares what it finds with what it leaves."""
    with front_door_open() as opened:
        yield opened


@pytest.fixture(scope="module")
def proven(front: Front) -> tuple[Browser, str, str]:
    """A browser that proved its mailbox, its case, and a link that still works."""
    browser = front.browser()
    case_id = front.proven(browser)
    front.notice(case_id, "code", 0)
    [mail] = front.mails()
    return browser, case_id, link_in(mail)


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """What is logged meanwhile."""
    [handler] = logger.handlers
    stream = StringIO()
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"right": ""}, "right", forms.WORDS["right_missing"]),
        ({"right": "portability"}, "right", forms.WORDS["right_missing"]),
        ({"email": " "}, "email", forms.WORDS["email_missing"]),
        ({"email": "ada.example.com"}, "email", forms.WORDS["email_form"]),
        ({"email": "ada@localhost"}, "email", forms.WORDS["email_form"]),
        ({"email": "a@b.c\nBcc: x@y.z"}, "email", forms.WORDS["email_form"]),
        ({"email": "ada lovelace@example.com"}, "email", forms.WORDS["email_form"]),
        ({"email": "zoë@example.com"}, "email", forms.WORDS["email_letters"]),
        ({"email": "a" * 250 + "@example.com"}, "email", forms.WORDS["email_long"]),
        ({"other_emails": "ok@example.com\n\nno"}, "other_emails", "Other addresses, line 3"),
        ({"other_emails": "\n".join(f"a{i}@b.example" for i in range(5))}, "other_emails", "at most 4"),
        ({"country": "XX"}, "country", forms.WORDS["country_unknown"]),
        ({"phone": "call me"}, "phone", forms.WORDS["phone_form"]),
        ({"name": "x" * 201}, "name", forms.WORDS["name_long"]),
        ({"contract_number": "x" * 81}, "contract_number", forms.WORDS["contract_number_long"]),
        ({"for_whom": "neighbour"}, "for_whom", forms.WORDS["for_whom_unknown"]),
    ],
)
@pytest.mark.parametrize("path", ["/requests/check", "/requests"])
def test_an_error_is_named_above_and_at_the_field_and_nothing_typed_is_lost(
    front: Front, path: str, change: dict[str, str], field: str, words: str
) -> None:
    typed = FORM | {"submission": TOKEN, "name": "Ada Lovelace", "contract_number": "C-1"} | change
    before = front.tables()
    page = front.browser().post(path, typed)
    assert page.status == 422
    assert front.tables() == before
    assert re.search(rf'<a href="#{field}">[^<]*{re.escape(html.escape(words))}', page.body)
    assert re.search(
        rf'id="{field}-error"[^>]*><span[^>]*>Error:</span> [^<]*{re.escape(html.escape(words))}', page.body
    )
    assert f'id="{field}"' in page.body
    assert 'aria-invalid="true"' in page.body
    assert page.body.index("There is a problem") < page.body.index("<h1>")
    assert "<title>Error: " in page.body
    for name, value in typed.items():
        if name not in ("right", "country", "for_whom"):
            assert html.escape(value, quote=True).replace("&#x27;", "&#39;") in page.body, name


def test_the_answers_can_be_checked_and_changed_one_by_one(front: Front) -> None:
    browser, before = front.browser(), front.tables()
    typed = FORM | {"submission": TOKEN, "name": "Ada", "country": "FR", "other_emails": "a@b.example"}
    page = browser.post("/requests/check", typed)
    assert (page.status, page.text.count("Change")) == (200, 8)
    assert "France" in page.text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.body))
    assert typed.items() <= hidden.items()
    changed = browser.post("/requests/change", hidden | {"change": "email"})
    assert re.search(r'<input[^>]*id="email"[^>]*value="Ada@example.com"[^>]*autofocus', changed.body)
    assert front.tables() == before
    assert browser.get("/requests/check").location == "/prod/"


@given(st.emails())
def test_ordinary_addresses_are_taken(address: str) -> None:
    assert forms.email_fault(address) is None


@given(st.text(max_size=40))
def test_no_address_with_a_line_break_or_space_is_taken(text: str) -> None:
    if any(c.isspace() for c in text):
        assert forms.email_fault(text) is not None


def test_countries_are_those_of_iso_3166() -> None:
    countries = forms.countries()
    assert len(countries) == 249
    assert countries["GB"] == "United Kingdom"
    assert all(re.fullmatch(r"[A-Z]{2}", code) for code in countries)


HEADINGS = {
    State.RECEIVED: "We are collecting your data",
    State.AWAITING_IDENTITY: "Sign in to continue",
    State.RESOLVING: "We are collecting your data",
    State.AWAITING_APPROVAL: "A person is looking at your request",
    State.VERIFIED: "We are collecting your data",
    State.GATHERING: "We are collecting your data",
    State.BUNDLING: "We are collecting your data",
    State.READY: "Your data is ready",
    State.DELIVERED: "You have downloaded your data",
    State.AWAITING_CONFIRMATION: "Check what we will delete",
    State.COOLING_OFF: "Your data will be deleted",
    State.ERASING: "We are deleting your data",
    State.CONFIRMING: "We are checking that it is gone",
    State.CERTIFYING: "We are signing your certificate",
    State.NEEDS_ATTENTION: "A person is looking at your request",
    State.ERASED: "Your data is deleted",
    State.ERASED_IN_PART: "Your data is deleted, except for what we must keep",
    State.NOTHING_FOUND: "We found no data about you",
    State.CLOSED: "This request is closed",
    State.KEPT: "This request is closed",
    State.EXPIRED: "This request has ended",
    State.WITHDRAWN: "You have withdrawn this request",
    State.REFUSED: "We could not do what you asked",
}
# What is kept; without anything in it, what is left stands in copies alone.
KEPT = {
    "title": "Rewards sent to you", "records": 2, "treatment": "keep", "until": "2033-12-04",
    "reason": "accounts must be kept", "law": "GDPR Art. 17(3)(b)",
}  # fmt: skip
GETS = [r.pattern for r in PublicPages.routes(mock.MagicMock()) if r.method == "GET"]


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_page_and_no_get_changes_anything(
    front: Front, proven: tuple[Browser, str, str], state: State
) -> None:
    browser, case_id, link = proven
    front.put(
        case_id,
        state=state,
        needs="account",
        plan={"events.rewards": KEPT} if state is State.ERASED_IN_PART else {},
        bundle={"key": "k", "size": 9, "expires_at": "2026-12-04T10:00:00+00:00"},
    )
    before = front.tables()
    page = browser.get(f"/requests/{case_id}")
    assert (page.status, re.search(r"<h1>([^<]+)</h1>", page.body)[1]) == (200, HEADINGS[state])  # type: ignore[index]
    values = {"case_id": case_id, "token": link.rpartition("/")[2], "file": "style.css", "action": "confirm"}
    for pattern in GETS:
        path = pattern.format(**values)
        for query in ("", "?sent=1&code=abc&state=" + "s" * 43):
            for one in (browser, front.browser()):
                # A link to prove a mailbox is none to cancel by; no notice was printed for these tests.
                missing = path == "/policy.pdf" or path.startswith("/cancel/")
                assert one.get(path + query).status in ((404,) if missing else (200, 303, 422)), path
    assert browser._send("HEAD", f"/requests/{case_id}", None, {}).body == ""
    assert front.tables() == before


def test_every_answer_has_the_headers(front: Front) -> None:
    browser = front.browser()
    answers = {
        path: browser.get(path)
        for path in (
            "/",
            "/requests",
            f"/requests/{UNKNOWN}",
            "/static/style.css",
            "/nowhere",
            "/healthz",
            "/confirm/x",
        )
    }
    answers["303"] = browser.post("/requests/find", {"reference": UNKNOWN})
    answers["403"] = browser.post("/requests", FORM, Origin="https://evil.example")
    answers["422"] = browser.post("/requests", {})
    for path, page in answers.items():
        policy = page.headers["Content-Security-Policy"]
        assert policy == (
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ), path
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert "max-age=" in page.headers["Strict-Transport-Security"]
        assert page.headers["Permissions-Policy"]
        assert ("no-store" in page.headers["Cache-Control"]) is (path != "/static/style.css")
        assert "<script" not in page.body
        assert not re.search(r'\s(style|on\w+)="', page.body)


def test_the_cookie(front: Front) -> None:
    browser = front.browser()
    front.submit(browser)
    [cookie] = browser.post("/requests", FORM | {"submission": TOKEN}).cookies
    name, *rest = cookie.split("; ")
    assert name.startswith("__Host-dsr=")
    assert len(name) == len("__Host-dsr=") + 43
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(rest)
    assert "Domain" not in cookie


@pytest.mark.parametrize(
    ("accepted", "language"), [("de-AT,de;q=0.9,en;q=0.5", "de"), ("pl", "en"), ("", "en")]
)
def test_a_case_speaks_the_language_of_the_browser_that_opened_it(
    front: Front, accepted: str, language: str
) -> None:
    form = FORM | {"submission": TOKEN, "email": f"x{len(accepted)}@example.com"}
    answer = front.browser().post("/requests", form, Accept_Language=accepted)
    case = front.book.get(answer.location.rpartition("/")[2])
    assert case.language == language


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": f"https://{HOST}"}, True),
        ({"Origin": f"https://{HOST}", "Sec_Fetch_Site": "same-origin"}, True),
        ({"Origin": "null", "Sec_Fetch_Site": "same-origin"}, True),
        ({"Origin": "null", "Sec_Fetch_Site": "none"}, True),
        ({"Origin": "null", "Sec_Fetch_Site": "cross-site"}, False),
        ({"Origin": "null", "Sec_Fetch_Site": "same-site"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": f"https://{HOST}.evil.example"}, False),
        ({"Origin": f"https://{HOST}:444"}, False),
        ({"Origin": f"https://{HOST}", "Host": "behind-a-proxy.example"}, True),
    ],
)
def test_forms_of_other_sites_are_refused(front: Front, headers: dict[str, str], allowed: bool) -> None:
    page = front.browser().post("/requests/find", {"reference": UNKNOWN}, **headers)
    assert page.status == (303 if allowed else 403)


def test_forged_posts_change_nothing(front: Front) -> None:
    browser = front.browser()
    case_id = front.proven(browser)
    before = front.tables()
    for route in front.public._pages().routes():
        if route.method == "POST":
            path = route.pattern.format(case_id=case_id, token="t" * 22)
            assert browser.post(path, FORM, Origin="https://evil.example").status == 403
    assert front.tables() == before


def test_methods_and_addresses_that_do_not_exist(front: Front) -> None:
    browser = front.browser()
    for path in (
        "/nowhere",
        "/requests/x/y/z",
        "/requests/not-a-reference",
        "/static/../handler.py",
        "/static/x",
    ):
        assert browser.get(path).status == 404, path
    page = browser.post("/")
    assert (page.status, page.headers["Allow"]) == (405, "GET")
    assert browser._send("DELETE", "/requests", None, {}).status == 405
    assert browser.get(f"/requests/{UNKNOWN.lower().replace('-', '')}").status == 200
    assert browser.get(f"/requests/{UNKNOWN}/confirm").location == f"/prod/requests/{UNKNOWN}"


@pytest.mark.parametrize("typed", ["", "x", "K7Q2-9FXM", "U" * 16])
def test_a_reference_mistyped(front: Front, typed: str) -> None:
    page = front.browser().post("/requests/find", {"reference": typed})
    assert page.status == 422
    assert f'value="{typed}"' in page.body


def test_a_reference_read_over_the_phone(front: Front) -> None:
    page = front.browser().post("/requests/find", {"reference": "k7q2 9fxm 3twd 5bhp"})
    assert page.location == "/prod/requests/K7Q2-9FXM-3TWD-5BHP"


NASTY = st.sampled_from(
    ['"><script>alert(1)</script>', "' onfocus='x", "{{ 7*7 }}", "</title><b>", "&amp;<i>", "\u202e\x00"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.fixed_dictionaries(dict.fromkeys(forms._FIELDS, NASTY)),
    path=st.sampled_from(["check", "change"]),
)
def test_what_is_typed_never_becomes_markup(front: Front, values: dict[str, str], path: str) -> None:
    for typed in (
        values,
        values
        | {
            "right": "access",
            "email": "a@b.example",
            "other_emails": "",
            "phone": "",
            "country": "",
            "for_whom": "self",
        },
    ):
        page = front.browser().post(f"/requests/{path}", typed | {"change": values["name"]})
        tags = re.sub(r'"[^"]*"', '""', " ".join(re.findall(r"<[^>]*>", page.body)))
        assert "<script" not in page.body
        assert "onfocus=" not in tags
        assert "<b>" not in page.body
        assert "<i>" not in page.body
        assert ">49<" not in page.body
        assert "\x00" not in page.body


@pytest.mark.parametrize("nasty", ['"><script>', "<b>x</b>"])
def test_nothing_from_addresses_or_queries_becomes_markup(front: Front, nasty: str) -> None:
    browser = front.browser()
    pages = [
        browser.get(f"/requests/{nasty}"),
        browser.get(f"/confirm/{nasty}"),
        browser.get(f"/static/{nasty}"),
        browser.get(f"/?right={nasty}"),
        browser.get(f"/sign-in/callback?code={nasty}&state={'s' * 43}"),
        browser.post("/requests/find", {"reference": nasty}),
        browser.post(f"/requests/{UNKNOWN}/confirm", {"code": nasty, "contact": nasty, "then": nasty}),
    ]
    for page in pages:
        assert nasty not in page.body
        assert nasty not in page.location


def test_the_base_of_addresses_is_that_of_the_request(front: Front) -> None:
    for base in ("/prod", "", "/privacy"):
        browser = Browser(front, base=base)
        page = browser.get("/requests")
        assert f'action="{base}/requests/find"' in page.body
        assert browser.post("/requests/find", {"reference": UNKNOWN}).location == f"{base}/requests/{UNKNOWN}"


def test_behind_a_custom_domain_the_path_carries_the_base_too() -> None:
    event = proxy_event("GET", "/requests", {"a": "b"}, None, {"Host": "x"}, "1.2.3.4")
    event |= {"path": "/privacy/requests", "requestContext": {"path": "/privacy/requests"}}
    request = read(event)
    assert (request.path, request.base) == ("/requests", "/privacy")


def test_a_body_may_come_encoded_and_must_be_a_form(front: Front) -> None:
    headers = {"Host": HOST, "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    form = {"reference": UNKNOWN}
    event = proxy_event("POST", "/requests/find", None, form, headers, "1.2.3.4", encoded=True)
    assert front.answer(event).status == 303
    json_event = proxy_event(
        "POST", "/requests/find", None, form, headers | {"Content-Type": "text/plain"}, "1.2.3.4"
    )
    assert front.answer(json_event).status == 422
    large = proxy_event("POST", "/requests/find", None, form | {"x": "y" * 70_000}, headers, "1.2.3.4")
    assert front.answer(large).status == 422
    bare = proxy_event("GET", "/", None, None, {}, "") | {"headers": None, "multiValueHeaders": None}
    assert front.answer(bare).status == 200


def test_an_error_is_a_page_and_its_text_stays_inside(front: Front, logged: StringIO) -> None:
    browser = front.browser()
    case_id = front.proven(browser)
    with mock.patch.object(type(front.book), "get", side_effect=ValueError("secret ada@example.com")):
        page = browser.get(f"/requests/{case_id}")
    assert page.status == 500
    assert "Something went wrong on our side" in page.text
    assert "secret" not in page.body
    with mock.patch("dsr.web.shell.render", side_effect=ValueError("secret")):
        page = browser.get("/")
    assert (page.status, page.body.startswith("Something went wrong")) == (500, True)
    assert "ValueError" in logged.getvalue()
    assert "secret" not in logged.getvalue()


def test_no_log_line_holds_what_is_personal_or_secret(front: Front, logged: StringIO) -> None:
    browser = front.browser()
    case_id = front.submit(browser, name="Lovelace", phone="+44 20 7946 0123")
    front.notice(case_id, "code")
    [mail] = front.mails()
    browser.get(link_in(mail))
    browser.post(f"/requests/{case_id}/confirm", {"code": "11112222"})
    browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mail)})
    browser.post(f"/requests/{case_id}/code")
    front.run_calls()
    assert case_id in logged.getvalue()
    code, cookie = code_in(mail), browser.jar["__Host-dsr"]
    secrets = ["ada@", "Ada", "Lovelace", "7946 0123", code, code.replace(" ", ""), "11112222", cookie]
    for secret in [*secrets, link_in(mail)[-22:], "203.0.113.7"]:
        assert secret not in logged.getvalue()


def test_routes_are_told_apart_by_segments() -> None:
    route = Route("GET", "/requests/{case_id}/{action}", mock.MagicMock())
    assert route.match("/requests/a/b") == {"case_id": "a", "action": "b"}
    assert route.match("/requests/a") is None
    assert route.match("/requests/a/b/c") is None
    assert Route("GET", "/", mock.MagicMock()).match("/") == {}
