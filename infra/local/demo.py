"""`make demo`: a person of the sample community gets their data, then has it deleted; everything is checked.

The person does only what a browser does: fill in forms, press buttons, read mail. Only the checks afterwards
look inside.
"""

import json
import re
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.table import Table

from dsr.bundle.verifying import verify_bundle
from dsr.certificate import verify
from dsr.datamap.plan import Plan, from_json
from infra.craftzone import load
from infra.craftzone.holdings import MEMBERS, PARCELS, Person
from infra.local import checks, desk, down, erasure_checks, mailing
from infra.local.browser import Browser, Page
from infra.local.cloud import Cloud
from infra.local.home import ROOT, Home, LocalCloudError
from infra.local.show import Show
from infra.local.traces import traces
from infra.local.up import Running, bring_up

PERSONA = "everything"
OUT = ROOT / "build/demo"
CERTIFICATE = OUT / "certificate.json"
KEY = OUT / "certificate-key.pem"
CODE = re.compile(r"^\s*(\d{4}) (\d{4})\s*$", re.MULTILINE)
CASE = re.compile(r"/requests/([0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){3})(?:[/?#]|$)")
MAIL_SECONDS = 30.0
WORK_SECONDS = 90.0
STEPS_TO_PROVE = 6
# As the page of a request says it, of the courier's records and of stores.
COURIERS = "Parcels with your rewards"
WAITING = ("Asked, not answered yet", "Told, not answered yet")
UNDER_WAY = ("Not started", "Searching", "Under way")
MUST_BE_SEEN = {"log", "execution", "table"}


@dataclass(frozen=True)
class Told:
    """How the story ended: the reference, where the bundle lies, and the page that belongs to the request."""

    case: str
    bundle: Path
    status_page: str


def demo(home: Home, port: int | None, wanted: int | None, show: Show, *, keep: bool) -> int:
    """Start from nothing, play the story, check it. `keep` leaves everything running afterwards.

    Returns the exit code: 0 if the bundle is the truth and nothing leaked.
    """
    running = bring_up(home, port, wanted, show, clean=True)
    try:
        show.say(f"\nWatch it:  form {running.url}/  mails {running.cloud.mailbox}\n")
        told = play(running, show)
        faults = check(running, told, show)
        show.say()
        faults += play_deletion(running, show)
    except LocalCloudError:
        if not keep:
            down.take_down(home)
        raise
    except BaseException:
        down.take_down(home)
        raise
    if not keep:
        with show.stage("stop the local cloud"):
            down.take_down(home)
    show.say(f"\nbundle       {told.bundle}")
    show.say(f"certificate  {CERTIFICATE}, key {KEY}")
    show.say(f"form         {running.url}/")
    show.say(f"status page  {told.status_page}")
    show.say(f"mails        {running.cloud.mailbox}")
    if keep:
        show.say("It still runs, so that you can look at these; `make down` stops it.")
    else:
        show.say(
            "`make up` starts it again with all that it holds, this case included, for you to look at these."
        )
    if faults:
        show.say(f"\n[red]{len(faults)} faults:[/]")
        for fault in faults:
            show.console.print(f"  {fault}", markup=False)
        return 1
    show.say(f"\nEverything checked, nothing found wrong. {show.total():.0f} s in all.")
    return 0


def play(running: Running, show: Show) -> Told:
    """The story: ask, confirm, sign in, wait, download. Raises LocalCloudError if it goes another way."""
    person = running.community.person(PERSONA)
    browser = Browser()
    asked_at = time.time()
    with show.stage(f"{person.name} asks for a copy of their data"):
        page = ask(browser, running.url, person)
        case = case_of(page)
    with show.stage("they confirm their mailbox and sign in to their account"):
        page = identify(browser, running.cloud, page, person, asked_at)
    started = time.monotonic()
    waiting = f"all stores are searched, and the mailing provider is asked (request {case})"
    with show.stage(waiting):
        page = wait_until(browser, page, only_the_courier, lambda text: show.detail(waiting, text))
    gathered = time.monotonic() - started
    with show.stage("an agent asks the courier, and hands in at the desk what they sent"):
        courier_sends(running, case)
        page = wait_until(browser, page, offers_download)
    with show.stage("they download it"):
        content = download(browser, running.cloud, page, person)
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / "bundle.zip").write_bytes(content)
    show.say(f"  {gathered:.1f} s from proven identity to the last store, {len(content):,} bytes")
    return Told(case, OUT / "bundle.zip", f"{running.url}/requests/{case}")


def play_deletion(running: Running, show: Show) -> list[str]:
    """The second half: the same person has everything deleted. Returns what is wrong afterwards."""
    person = running.community.person(PERSONA)
    truth = running.community.records_of(PERSONA, typed={"name": person.name})
    with show.stage("every record of everybody in every store is noted"):
        before = load.snapshot(running.stores)
    browser = Browser()
    asked_at = time.time()
    with show.stage(f"{person.name} asks for deletion, and proves who asks"):
        page = ask(browser, running.url, person, right="deletion")
        case = case_of(page)
        page = identify(browser, running.cloud, page, person, asked_at)
    with show.stage("they read the plan and confirm it"):
        page = wait_until(browser, page, lambda page: page.has_form(action="/confirm-deletion"))
        form = page.form(action="/confirm-deletion")
        ticked = {name: values[0] for name, values in form.choices.items() if values}
        page = browser.submit(page, form, **ticked)
    started = time.monotonic()
    with show.stage("everything is erased; the mailing provider is told, and answers later"):
        page = wait_until(browser, page, only_the_courier)
    with show.stage("an agent tells the courier, and closes the task at the desk"):
        courier_deletes(running, case)
    with show.stage("everything is read again and certified"):
        page = wait_until(browser, page, offers_certificate)
        took = time.monotonic() - started
        certificate = next(link for link in page.links if link.endswith("/certificate"))
        CERTIFICATE.write_bytes(browser.get(absolute(page, certificate)).body)
        said = verify(CERTIFICATE.read_bytes(), KEY.read_bytes())
    show.say(f"  {took:.1f} s from confirmation to certificate; its signature holds, checked offline")
    show.console.print(erased(said))
    show.console.print(told(said))
    needles = checks.Needles(running.community.personal_values_of(PERSONA))
    with show.stage("compare every record of every store with what it was"):
        after = load.snapshot(running.stores)
        faults = erasure_checks.faults(load_plan(), truth, before, after, needles)
        faults += erasure_checks.recipient_faults(load_plan(), said)
        [member] = running.community.holdings(PERSONA).records[MEMBERS]
        if member["federated"]["refresh_token"] not in mailing.revoked(running.home):
            faults.append("their token was not revoked at the provider that they sign in with")
    others = sum(len(records) for records in after.values())
    show.say(f"  {others:,} records compared")
    with show.stage("look for their values in every log, history, queue and table of the product"):
        faults += leaks(running, case, needles)
    return faults


def load_plan() -> Plan:
    """The plan that was deployed."""
    return from_json((ROOT / "build/plan/plan.json").read_bytes())


def erased(certificate: dict[str, Any]) -> Table:
    """What the certificate says, per collection, as a table."""
    table = Table("store", "collection", "found", "erased", "left", "how", title="What the certificate says")
    for entry in certificate["collections"]:
        how = entry["treatment"]
        if how == "keep":
            how = f"kept until {entry['until']}: {entry['law']}"
        elif how != "delete":
            how = f"{how}: {', '.join(entry['fields'])}"
        numbers = (str(entry[name]) for name in ("found", "erased", "remaining"))
        table.add_row(entry["store"], entry["collection"], *numbers, how)
    return table


def told(certificate: dict[str, Any]) -> Table:
    """Whom the certificate names as told (GDPR Art. 19), as a table."""
    table = Table("recipient", "is", "told", "answered", "answer", title="Who was told, and their answers")
    for entry in certificate["recipients"]:
        moments = (entry[name][:19].replace("T", " ") for name in ("told_at", "answered_at"))
        table.add_row(entry["name"], entry["role"], *moments, entry["answer"])
    return table


def only_the_courier(page: Page) -> bool:
    """Whether the page says that the courier is asked, and nothing else is under way."""
    asked = any(f"{COURIERS} {word}" in page.text for word in WAITING)
    return asked and not any(word in page.text for word in UNDER_WAY)


def courier_sends(running: Running, case: str) -> None:
    """The desk's part of a copy: what the courier holds by the numbers on the task's page, as a file."""
    browser, page = at_the_task(running, case)
    records = [r for r in load.held_by_others(running.stores, PARCELS) if r["tracking_number"] in page.text]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    page = browser.upload(page, page.form(action="/file"), "delivery-records.jsonl", lines.encode())
    desk.close_task(browser, page, "answered")


def courier_deletes(running: Running, case: str) -> None:
    """The desk's part of a deletion."""
    browser, page = at_the_task(running, case)
    held = load.held_by_others(running.stores, PARCELS)
    left = [record for record in held if record["tracking_number"] not in page.text]
    load.give_others(running.stores, PARCELS, left)
    desk.close_task(browser, page, "erased", "Deleted on our side, says their privacy team.")


def at_the_task(running: Running, case: str) -> tuple[Browser, Page]:
    """An agent's browser, at the task of the case."""
    browser = Browser()
    page = desk.sign_in(browser, running.url, "agents", f"/desk/cases/{case}")
    return browser, desk.open_task(browser, page, "courier")


def ask(browser: Browser, url: str, person: Person, right: str = "access") -> Page:
    """Fill in the form as this person and send it. Returns the page that follows."""
    page = browser.get(f"{url}/")
    form = page.form("submission", "right", "email")
    page = browser.submit(page, form, right=right, email=person.email, name=person.name, for_whom="self")
    page = browser.submit(page, page.form(action="/requests"))  # the answers, shown once more to be checked
    if page.status != 200:
        raise LocalCloudError(f"the form was answered with {page.status}: {page.text[:400]}")
    return page


def case_of(page: Page) -> str:
    """The reference of the request whose page this is. Raises LocalCloudError if it is none."""
    found = CASE.search(urlsplit(page.url).path)
    if not found:
        raise LocalCloudError(f"{page.url} is no page of a request; it says: {page.text[:400]}")
    return found[1]


def prove(browser: Browser, cloud: Cloud, page: Page, person: Person, since: float) -> Page:
    """Do whatever the page asks to prove who one is: a code from the mailbox, the account's sign-in.

    `since`: codes mailed before that moment (seconds since 1970) are old. Returns the first page that asks no
    more.
    """
    used: set[str] = set()
    for _ in range(STEPS_TO_PROVE):
        if page.has_form("code"):
            code = mailed_code(cloud, person.email, since, used)
            used.add(code)
            page = browser.submit(page, page.form("code"), code=code)
        elif page.has_form(action="/sign-in"):
            page = sign_in(browser, page, person)
        else:
            return page
    raise LocalCloudError(f"{page.url} goes on asking for proof; it says: {page.text[:400]}")


def sign_in(browser: Browser, page: Page, person: Person) -> Page:
    """Through the company's own sign-in page and back."""
    hosted = browser.submit(page, page.form(action="/sign-in"))
    form = hosted.form("username", "password")
    back = browser.submit(hosted, form, username=person.email, password=load.DEMO_PASSWORD)
    return browser.submit(back, back.form(action="/sign-in/callback"))


def mailed_code(cloud: Cloud, address: str, since: float, used: set[str]) -> str:
    """The newest unused code mailed to `address`, waited for. Raises LocalCloudError if none comes."""
    end = time.monotonic() + MAIL_SECONDS
    while time.monotonic() < end:
        for mail in reversed(cloud.mails(address)):
            found = CODE.search(mail.text)
            if mail.sent_at >= since and found and "".join(found.groups()) not in used:
                return "".join(found.groups())
        time.sleep(0.1)
    raise LocalCloudError(f"no mail with a code came within {MAIL_SECONDS:.0f} s")


def identify(browser: Browser, cloud: Cloud, page: Page, person: Person, since: float) -> Page:
    """Confirm the mailbox with the code mailed after `since`, then sign in to the account."""
    page = wait_until(browser, page, lambda page: page.has_form("code"))
    page = prove(browser, cloud, page, person, since)
    # Whether they have an account is looked up once the mailbox is proven.
    page = wait_until(browser, page, lambda page: page.has_form(action="/sign-in"))
    return sign_in(browser, page, person)


def offers_certificate(page: Page) -> bool:
    """Whether the status page offers the certificate."""
    return any(link.endswith("/certificate") for link in page.links)


def offers_download(page: Page) -> bool:
    """Whether the status page offers the download."""
    linked = any(urlsplit(link).path.endswith("/download") for link in page.links)
    return linked or page.has_form(action="/download")


def wait_until(
    browser: Browser, page: Page, reached: Callable[[Page], bool], tell: Callable[[str], object] | None = None
) -> Page:
    """Reload the status page until it has `reached` what is waited for. Raises LocalCloudError if never."""
    end = time.monotonic() + WORK_SECONDS
    while not reached(page):
        if time.monotonic() > end:
            raise LocalCloudError(f"waited for {WORK_SECONDS:.0f} s; the page says: {page.text[:1000]}")
        if tell:
            tell(page.text[:100])
        time.sleep(0.1)
        page = browser.get(page.url)
    return page


def download(browser: Browser, cloud: Cloud, page: Page, person: Person, part: int = 1) -> bytes:
    """Open the download page, prove again what it asks, and press its button (of several that one). Returns
    the bytes of the zip."""
    asked_at = time.time()
    for link in page.links:
        if urlsplit(link).path.endswith("/download"):
            page = browser.get(absolute(page, link))
            break
    page = prove(browser, cloud, page, person, asked_at)
    forms = [form for form in page.forms if form.action.endswith("/download")]
    if len(forms) < part:
        raise LocalCloudError(f"the page {page.url} offers no file {part}; it says: {page.text[:400]}")
    file = browser.submit(page, forms[part - 1])
    if file.status != 200 or not zipfile.is_zipfile(BytesIO(file.body)):
        raise LocalCloudError(f"the download gave {file.status} and no bundle: {file.text[:400]}")
    return file.body


def check(running: Running, told: Told, show: Show) -> list[str]:
    """Print what the bundle holds, and find what is wrong: with it, or left behind in the product."""
    with show.stage("compare the bundle with what the community holds about them"):
        bundle = checks.read_bundle(told.bundle)
        person = running.community.person(PERSONA)
        truth = running.community.records_of(PERSONA, typed={"name": person.name})
        faults = checks.manifest_faults(bundle) + checks.record_faults(truth, bundle)
        KEY.write_bytes(Browser().get(f"{running.url}/.well-known/dsr/certificate-key.pem").body)
        faults += verify_bundle([told.bundle], KEY.read_bytes()).faults
    show.console.print(contents(bundle))
    with show.stage("look for their values in every log, history, queue and table of the product"):
        needles = checks.Needles(running.community.personal_values_of(PERSONA))
        faults += leaks(running, told.case, needles)
    return faults


def leaks(running: Running, case: str, needles: checks.Needles) -> list[str]:
    """Where the product holds one of the values though it may not, as sentences."""
    faults, seen = [], set()
    for where, text in traces(running.cloud):
        if case in text:
            seen.add(where.split()[0])
        faults += [f"leak: {where} holds {value!r}" for value in sorted(needles.in_text(text))]
    # The reference stands in all three: where it is not found, the search has looked at nothing.
    faults += [f"the search saw no {kind} of this request" for kind in sorted(MUST_BE_SEEN - seen)]
    return list(dict.fromkeys(faults))


def contents(bundle: checks.Bundle) -> Table:
    """What the bundle holds, per store, as a table."""
    table = Table("store", "collection", "records", "files", title="What the bundle holds")
    for column in table.columns[2:]:
        column.justify = "right"
    originals = bundle.originals
    for (store, collection), records in bundle.records.items():
        files = originals.pop(store, [])
        size = sum(size for size, _ in files)
        table.add_row(
            store, collection, f"{len(records):,}", f"{len(files)} ({size / 1024:,.0f} KB)" if files else ""
        )
    return table


def absolute(page: Page, link: str) -> str:
    """`link` as the address that `page` means by it."""
    from urllib.parse import urljoin

    return urljoin(page.url, link)
