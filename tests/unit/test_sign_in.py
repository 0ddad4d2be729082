"""Signing in with an account, and what may be downloaded after which proof."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from dsr.case import State
from dsr.casebook import now
from dsr.errors import Refused
from dsr.parameters import SignIn
from dsr.web import forms, oidc
from tests.unit.front import (
    HOST,
    REGION,
    SIGN_IN,
    Browser,
    Front,
    code_in,
    front_door_open,
)

UNKNOWN = "0000-0000-0000-0000"
TOKEN = "t" * 22


@pytest.fixture
def front() -> Iterator[Front]:
    with front_door_open() as opened:
        yield opened


def claims(given: str, **change: Any) -> dict[str, Any]:
    at = int(time.time())
    return {
        "iss": SIGN_IN["issuer"], "aud": SIGN_IN["client_id"], "sub": "sub-1", "nonce": given, "iat": at,
        "exp": at + 3600, "auth_time": at, "token_use": "id", "email": "someone-else@example.com",
    } | change  # fmt: skip


def awaiting_sign_in(front: Front, browser: Browser) -> str:
    case_id = front.proven(browser)
    front.put(case_id, state=State.AWAITING_IDENTITY, needs="account", token="waiting")
    return case_id


def signed_in(front: Front, browser: Browser, case_id: str, then: str = "", **change: Any) -> Any:
    """Go to the sign-in page and come back with these claims."""
    page = browser.post(f"/requests/{case_id}/sign-in", {"then": then} if then else {})
    asked = {k: v[0] for k, v in parse_qs(urlsplit(page.location).query).items()}
    back = {"code": "the-code", "state": asked["state"]}

    def exchange(_: SignIn, uri: str, code: str, verifier: str) -> dict[str, Any]:
        assert (uri, code) == (asked["redirect_uri"], "the-code")
        from dsr.identity import challenge

        assert challenge(verifier) == asked["code_challenge"]
        return claims(asked["nonce"], **change)

    with mock.patch.object(oidc, "_exchange", exchange):
        return browser.post("/sign-in/callback", back)


def test_an_account_holder_signs_in(front: Front) -> None:
    browser = front.browser()
    case_id = awaiting_sign_in(front, browser)
    page = browser.get(f"/requests/{case_id}")
    assert "Sign in to continue" in page.text
    assert "form-action 'self' https://login.example;" in page.headers["Content-Security-Policy"]
    leaving = browser.post(f"/requests/{case_id}/sign-in")
    assert leaving.location.startswith("https://login.example/oauth2/authorize?")
    asked = {k: v[0] for k, v in parse_qs(urlsplit(leaving.location).query).items()}
    assert asked["redirect_uri"] == f"https://{HOST}/prod/sign-in/callback"
    assert (asked["code_challenge_method"], asked["prompt"], asked["scope"]) == ("S256", "login", "openid")
    before = front.tables()
    returned = browser.get(f"/sign-in/callback?code=abc&state={asked['state']}")
    assert "press the button" in returned.text
    assert front.tables() == before
    done = signed_in(front, browser, case_id)
    assert done.location == f"/prod/requests/{case_id}"
    case = front.book.get(case_id)
    assert (case.state, case.token, front.states.woken[-1]) == (State.RESOLVING, "", "waiting")
    assert case.signed_in_at
    assert front.book.requester(case).account == "sub-1"
    assert front.book.requester(case).contacts == ("Ada@example.com",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iss": "https://evil.example"}, "Signing in did not work"),
        ({"aud": "another-client"}, "Signing in did not work"),
        ({"nonce": "another"}, "Signing in did not work"),
        ({"exp": 1}, "Signing in did not work"),
        ({"token_use": "access"}, "Signing in did not work"),
        ({"sub": ""}, "Signing in did not work"),
        ({"sub": None}, "Signing in did not work"),
        ({"auth_time": int(time.time()) - 3600}, "too long ago"),
        ({"auth_time": None}, "too long ago"),
    ],
)
def test_a_token_that_is_not_as_it_must_be(front: Front, change: dict[str, Any], words: str) -> None:
    browser = front.browser()
    case_id = awaiting_sign_in(front, browser)
    page = signed_in(front, browser, case_id, **change)
    assert page.status == 422
    assert words in page.text
    assert front.book.get(case_id).state is State.AWAITING_IDENTITY


def test_a_sign_in_is_of_the_browser_that_began_it_and_single_use(front: Front) -> None:
    mine, other = front.browser(), front.browser("198.51.100.9")
    case_id = awaiting_sign_in(front, mine)
    front.proven(other, email="grace@example.com")
    leaving = mine.post(f"/requests/{case_id}/sign-in")
    state = parse_qs(urlsplit(leaving.location).query)["state"][0]
    with mock.patch.object(oidc, "account", return_value="sub-1") as account:
        for browser in (other, front.browser()):
            assert browser.post("/sign-in/callback", {"code": "c", "state": state}).status == 422
        assert not account.called
        assert mine.post("/sign-in/callback", {"code": "c", "state": state}).status == 303
        assert mine.post("/sign-in/callback", {"code": "c", "state": state}).status == 422
        assert mine.post("/sign-in/callback", {"code": "c", "state": "nonsense"}).status == 422
    assert mine.get("/sign-in/callback?error=access_denied").status == 422


def test_who_cannot_sign_in_asks_a_person(front: Front) -> None:
    browser = front.browser()
    case_id = awaiting_sign_in(front, browser)
    page = browser.follow(browser.post(f"/requests/{case_id}/no-sign-in"))
    assert "A person is looking" in page.text
    case = front.book.get(case_id)
    assert (case.state, case.risk) == (State.AWAITING_APPROVAL, ("no_sign_in",))
    assert front.states.woken[-1] == "waiting"


def test_tokens_are_fetched_over_tls_only() -> None:
    for domain in ("http://login.example", "ftp://login.example", "http://localhost.evil.example"):
        with pytest.raises(Refused, match="https"):
            oidc.account(SignIn(domain, "c", "i"), "back", "code", "verifier", "nonce")


def ready(front: Front, browser: Browser, **changes: Any) -> str:
    case_id = front.proven(browser)
    bundle = {"key": f"bundles/{case_id}/{case_id}.zip", "size": 3_400_000}
    boto3.client("s3", region_name=REGION).put_object(Bucket="dsr-bundles", Key=bundle["key"], Body=b"zip")
    front.put(case_id, state=State.READY, bundle=bundle, **changes)
    return case_id


def later(seconds: int) -> Any:
    return mock.patch("time.time", return_value=time.time() + seconds)


def test_a_download_right_after_the_proof(front: Front) -> None:
    browser = front.browser()
    case_id = ready(front, browser)
    assert "Download your data (ZIP, 3.4 MB)" in browser.get(f"/requests/{case_id}").text
    page = browser.get(f"/requests/{case_id}/download")
    assert "works for 5 minutes" in page.text
    before = front.tables()
    browser.get(f"/requests/{case_id}/download")
    assert front.tables() == before
    gone = browser.post(f"/requests/{case_id}/download")
    assert gone.status == 303
    link = urlsplit(gone.location)
    assert f"{link.scheme}://{link.netloc}" in page.headers["Content-Security-Policy"]
    asked = {k: v[0] for k, v in parse_qs(link.query).items()}
    assert asked["X-Amz-Expires"] == "300"
    assert asked["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert asked["response-content-disposition"] == f'attachment; filename="your-data-{case_id}.zip"'
    case = front.book.get(case_id)
    assert (case.state, case.downloads) == (State.DELIVERED, 1)
    event = front.book.events(case_id)[-1]
    assert (event.name, event.about) == ("downloaded", {"proof": "mailbox"})
    assert "You have downloaded" in browser.get(f"/requests/{case_id}").text
    assert browser.post(f"/requests/{case_id}/download").location.startswith("https://")
    assert front.book.get(case_id).downloads == 2
    assert [e.name for e in front.book.events(case_id)].count("downloaded") == 2, "each is recorded"


def test_a_bundle_of_several_zips_has_a_button_and_a_link_for_each(front: Front) -> None:
    browser = front.browser()
    case_id = ready(front, browser)
    parts = [{"key": f"bundles/{case_id}/{n}.zip", "size": n * 10**9} for n in (9, 8, 1)]
    bundle = {"key": parts[0]["key"], "size": 18 * 10**9, "parts": parts}
    front.put(case_id, state=State.READY, bundle=bundle)
    page = browser.get(f"/requests/{case_id}/download")
    assert "it comes in 3 files" in page.text
    assert [
        f"Download file {n} of 3 (ZIP, {size}.0 GB)" in page.text for n, size in ((1, 9), (2, 8), (3, 1))
    ] == [True] * 3
    for number, part in enumerate(parts, 1):
        link = urlsplit(browser.post(f"/requests/{case_id}/download", {"part": str(number)}).location)
        assert link.path.endswith(part["key"])
        asked = {k: v[0] for k, v in parse_qs(link.query).items()}
        name = f"your-data-{case_id}-{number}-of-3.zip"
        assert asked["response-content-disposition"] == f'attachment; filename="{name}"'
        event = front.book.events(case_id)[-1]
        assert (event.name, event.about) == ("downloaded", {"proof": "mailbox", "part": str(number)})
    before = front.book.get(case_id)
    for wrong in ("0", "4", "-1", "x", "１"):
        refused = browser.post(f"/requests/{case_id}/download", {"part": wrong})
        assert refused.location == f"/prod/requests/{case_id}/download"
    assert front.book.get(case_id) == before


def test_ten_minutes_later_a_download_asks_for_a_code_again(front: Front) -> None:
    browser = front.browser()
    case_id = ready(front, browser)
    with later(601):
        assert "ask for a code again" in browser.get(f"/requests/{case_id}/download").text
        refused = browser.post(f"/requests/{case_id}/download")
        assert refused.location == f"/prod/requests/{case_id}/download"
        sent = browser.follow(browser.post(f"/requests/{case_id}/code", {"then": "download"}))
        assert "on its way" in sent.text
        front.run_calls()
        [mail] = front.mails()
        assert mail["subject"] == "CraftZone: your code"
        wrong = browser.post(f"/requests/{case_id}/confirm", {"code": "1", "then": "download"})
        assert "ask for a code again" in wrong.text
        assert forms.WORDS["code_form"] in wrong.text
        page = browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mail), "then": "download"})
        assert page.location == f"/prod/requests/{case_id}/download"
        assert browser.post(f"/requests/{case_id}/download").location.startswith("https://")
    assert front.book.get(case_id).state is State.DELIVERED


def test_a_download_that_rests_on_an_account_asks_for_that_account(front: Front) -> None:
    browser = front.browser()
    case_id = ready(front, browser, signed_in_at=now())
    case = front.book.get(case_id)
    requester = replace(front.book.requester(case), account="sub-1")
    front.put(case_id, sealed=front.book.seal_requester(case, requester))
    assert "sign in again" in browser.get(f"/requests/{case_id}/download").text
    refused = browser.post(f"/requests/{case_id}/download")
    assert refused.location == f"/prod/requests/{case_id}/download"
    other = signed_in(front, browser, case_id, "download", sub="sub-2")
    assert "another account" in other.text
    assert browser.post(f"/requests/{case_id}/download").location.startswith("/prod")
    page = signed_in(front, browser, case_id, "download")
    assert page.location == f"/prod/requests/{case_id}/download"
    assert browser.post(f"/requests/{case_id}/download").location.startswith("https://")
    assert front.book.events(case_id)[-1].about == {"proof": "account"}
    with later(601):
        assert browser.post(f"/requests/{case_id}/download").location.startswith("/prod")


def test_another_account_signed_in_earlier_in_another_browser_downloads_nothing(front: Front) -> None:
    """The first to sign in was not the account holder; that browser must not profit from the second."""
    first = front.browser()
    case_id = awaiting_sign_in(front, first)
    assert signed_in(front, first, case_id, sub="intruder").status == 303
    front.put(case_id, state=State.AWAITING_IDENTITY, needs="account")
    front.notice(case_id, "code", 0)
    [mail] = front.mails()
    second = front.browser()
    assert second.post(f"/requests/{case_id}/confirm", {"code": code_in(mail)}).status == 303
    assert signed_in(front, second, case_id, sub="owner").status == 303
    front.put(case_id, state=State.READY, bundle={"key": "k", "size": 1})
    assert first.post(f"/requests/{case_id}/download").location.startswith("/prod")
    assert second.post(f"/requests/{case_id}/download").location.startswith("https://")


def test_no_bundle_no_download(front: Front) -> None:
    browser = front.browser()
    case_id = ready(front, browser)
    front.put(case_id, bundle={})
    assert "no longer here" in browser.get(f"/requests/{case_id}").text
    assert browser.get(f"/requests/{case_id}/download").location == f"/prod/requests/{case_id}"
    assert browser.post(f"/requests/{case_id}/download").location.startswith("/prod")
    assert front.book.get(case_id).downloads == 0
