"""The privacy notice: every promise of the sample's policy, what stays and why, on paper as on the page."""

import html
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dsr.datamap.compile import compile_file
from dsr.datamap.notice import RIGHTS, Notice, notice_of
from dsr.datamap.plan import from_json, to_json
from dsr.web.templates import render
from dsr_cli.main import main
from dsr_cli.print_notice import to_pdf
from tests.unit.front import Front, front_door_open
from tests.unit.world import HEAD, collection, compiled, store

CRAFTZONE = Path("infra/craftzone/datamap.yaml")
VALUES = {"account": "123456789012", "region": "eu-west-1", "user_pool": "eu-west-1_x"}
VALUES |= {"mailing": "https://hooks.letterbird.example/dsr", "revocation": "https://accounts.example/revoke"}


@pytest.fixture(scope="module")
def notice() -> Notice:
    return notice_of(compile_file(CRAFTZONE, VALUES))


def plain(page: str) -> str:
    """The text of a page, as read."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


# What CraftZone's policy promises, each line with words by which its reader finds it in the notice.
PROMISES = {
    "account": ("Your account", "Birth date, country, email, nickname"),
    "profile picture and its copies": (
        "Your profile picture",
        "CraftZone image CDN, which follows within 24 hours",
    ),
    "third-party sign-in": (
        "From the provider that you sign in with",
        "Federated refresh token, since a sign-in token",
    ),
    "official events": ("Events you entered", "Contact number, email, mailing address, name"),
    "posted artwork": ("Artwork you posted", "Originals of your artwork"),
    "rewards": ("Rewards sent to you", "Swiftwing Parcel", "in Ireland, only if you agreed"),
    "contact with support": (
        "Messages you wrote to support",
        "author phone, body",
        "To answer what you ask us",
    ),
    "network connection": (
        "When and from where you used the site",
        "IP address",
        "180 days, counted from “at”",
    ),
    "system permissions": ("Storage permissions of your devices", "Storage access"),
    "screening": ("Security screening of account access", "A score is computed from where and how often"),
    "consents": ("What you agreed to", "It stays for 3 years", "GDPR Art. 17(3)(e)"),
    "third parties": ("Who received your data", "Amazon Web Services: works with it for us", "Letterbird"),
    "consent before a new purpose": ("We ask for your consent before we use your data for any new purpose",),
    "how we reach people": ("by email, phone or text message",),
    "until the account is deleted": ("Until you delete your account", "can no longer be retrieved"),
    "no sale": ("We do not sell your data",),
    "children": (
        "Under 18 you may only join together with a parent or guardian",
        "A hint from anybody is enough",
    ),
    "print or download": ("You can print or download this notice at any time",),
    "exceptions": ("Rewards sent to you: It stays for 7 years", "invoices and shipping papers"),
    "what is shared stays": (
        "Your conversations with support: The record stays, since others share the record",
    ),
    "who to complain to": ("the data protection authority of the country you live in",),
    "requests": (
        "What you typed is destroyed some weeks after the request has ended",
        "as a code computed from",
        "a list of what was deleted",
        "for at most ten years",
    ),
}


@pytest.mark.parametrize("line", PROMISES)
def test_every_promise_stands_in_the_notice(notice: Notice, line: str) -> None:
    text = plain(render("policy_alone", told=notice))
    for words in PROMISES[line]:
        assert words in text, line


def test_the_rights_are_told_with_their_articles(notice: Notice) -> None:
    text = plain(render("policy_alone", told=notice))
    for _, said in RIGHTS:
        assert said in text
    assert {*re.findall(r"Art\. (\d+)", " ".join(said for _, said in RIGHTS))} == {
        *("7", "15", "16", "17", "18", "20", "21", "22")
    }


def test_every_collection_is_told_with_all_that_the_law_asks_for(notice: Notice) -> None:
    plan = compile_file(CRAFTZONE, VALUES)
    assert sorted(held.title for held in notice.holdings) == sorted(
        c.title for c in plan.collections.values()
    )
    asked = {"What", "Why", "Why we may", "How long", "When you have it deleted", "Who receives it"}
    for held in notice.holdings:
        said = dict(held.told)
        assert asked | {"Where it comes from"} <= said.keys(), held.title
        assert all(said.values()), held.title


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="needs poppler-utils to read the file")
def test_the_file_to_print_says_the_same_in_any_alphabet(notice: Notice, tmp_path: Path) -> None:
    controller = {**notice.controller, "name": "Žižka & Óó"}
    promises = ("Žluťoučký kůň, Ελλάδα, Київ — “quoted”",)
    odd = replace(notice, controller=controller, promises=promises)
    made = to_pdf(odd)
    assert made.isascii(), "it passes API Gateway as text"
    (tmp_path / "notice.pdf").write_bytes(made)
    said = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "notice.pdf", "-"], capture_output=True, check=True
    )
    text = re.sub(r"\s+", " ", said.stdout.decode())
    assert "Privacy notice of Žižka & Óó" in text
    assert said.stderr == b"", "nothing of the file had to be mended"
    assert "Žluťoučký kůň, Ελλάδα, Київ — “quoted”" in text
    for held in odd.holdings:
        assert held.title in text
    for words in (*odd.recipients, *odd.exceptions):
        assert words.split(", ")[0] in text
    assert f"page 1 of {text.count('· page')}" in text


def test_the_same_notice_gives_the_same_file_also_from_the_plan_as_it_ships(notice: Notice) -> None:
    shipped = from_json(to_json(compile_file(CRAFTZONE, VALUES)))
    assert notice_of(shipped) == notice
    assert to_pdf(notice_of(shipped)) == to_pdf(notice)


def test_what_a_map_says_never_becomes_markup(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>"
    text = HEAD.replace("to serve you", f'"{nasty}"')
    people = collection("people", {"id": "", "email": "identity: {is: email, verified: true}"})
    plan = compiled(tmp_path, store("a", people), head=text)
    page = render("policy_alone", told=notice_of(plan))
    assert nasty not in page
    assert html.escape(nasty) in page


def test_the_command_writes_both_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = [word for name, value in VALUES.items() for word in ("--set", f"{name}={value}")]
    assert main(["notice", str(CRAFTZONE), *values, "--out", str(tmp_path / "out")]) == 0
    assert "18 kinds of data" in capsys.readouterr().out
    assert (tmp_path / "out/notice.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "out/notice.pdf").read_bytes().startswith(b"%PDF-")


# -- on the public site ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with front_door_open() as opened:
        yield opened


def test_the_form_leads_to_the_notice_and_the_notice_to_the_file(front: Front) -> None:
    browser = front.browser()
    assert 'href="/prod/policy"' in browser.get("/").body
    page = browser.get("/policy")
    assert page.status == 200
    assert "Privacy notice of" in page.text
    assert 'href="/prod/policy.pdf"' in page.body


def test_the_file_comes_as_it_was_built(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = front.browser()
    assert browser.get("/policy.pdf").status == 404, "nothing was built here"
    (tmp_path / "dsr_plan").mkdir()
    (tmp_path / "dsr_plan/__init__.py").touch()
    (tmp_path / "dsr_plan/policy.pdf").write_bytes(b"%PDF-1.4")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "dsr_plan", raising=False)
    page = browser.get("/policy.pdf")
    del sys.modules["dsr_plan"]  # for good: monkeypatch would bring it back for the tests to come
    assert (page.status, page.headers["Content-Type"]) == (200, "application/pdf")
    assert page.body == "%PDF-1.4"
