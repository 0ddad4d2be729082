"""What a requester does with a case, from opening to withdrawing, download or deletion. The rules, no pages.

Every change reads the case, decides, and writes on the condition that nothing came between; a
change that ends a wait wakes the workflow.
"""

import base64
import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from dsr import casekey, workflow
from dsr.aws import client
from dsr.canonical import digest
from dsr.case import MOVES, Case, Proof, Requester, Right, State, new_case_id
from dsr.casebook import Casebook, now
from dsr.errors import Conflict, NotFound, Refused
from dsr.front_door import FrontDoor
from dsr.identity import Grant, Level
from dsr.language import FALLBACK
from dsr.opening import new_case
from dsr.phones import kind_of
from dsr.subjects import Subjects

# Why a case that is asked for somebody else waits for a person's approval.
RISKS: dict[str, tuple[str, ...]] = {"self": (), "child": ("minor",), "other": ("other",)}

_ERASING = (State.ERASING, State.CONFIRMING, State.CERTIFYING)

_TRIES = 6  # writes against one case that come between are at most the workflow's and another tab's


@dataclass(frozen=True)
class Submission:
    """A form that was checked. `token` is the form's own random word: sent twice, it is one case."""

    token: str
    right: Right
    contacts: tuple[str, ...]
    claims: dict[str, str] = field(default_factory=dict)
    country: str = ""
    for_whom: str = "self"


@dataclass(frozen=True)
class _Change:
    to: State
    name: str
    about: dict[str, str]
    fields: dict[str, Any]


def level_needed(case: Case) -> Level:
    """The proof that disclosing and deleting ask for again: that which the case itself rests on."""
    return Level.ACCOUNT if case.signed_in_at else Level.MAILBOX


def has_bundle(case: Case) -> bool:
    """Whether the case has a bundle to hand over: also while a supplement to it is made."""
    there = case.state in (State.READY, State.DELIVERED) or (case.follow_up == "adding" and not case.ended)
    return there and bool(case.bundle.get("key"))


def zips_of(case: Case) -> list[dict[str, Any]]:
    """The zips of the case's bundle, in order: key and size of each, and `supplement` of what came later."""
    bundle = case.bundle
    first = list(bundle.get("parts") or [{"key": bundle["key"], "size": bundle.get("size", 0)}])
    if bundle.get("supplement"):
        first = [{**zipped, "supplement": True} for zipped in first]
    return first + [{**zipped, "supplement": True} for zipped in bundle.get("supplements", ())]


def has_begun(case: Case) -> bool:
    """Whether a deletion erases, or stopped while it did: then nothing can be taken back any more."""
    return case.state in _ERASING or case.resume in _ERASING


def may_withdraw(case: Case, grant: Grant) -> bool:
    """Whether the session may withdraw the case: once the mailbox is proven, only who proved it."""
    if State.WITHDRAWN not in MOVES[case.state] or has_begun(case) or case.follow_up == "adding":
        return False
    return grant.level >= Level.MAILBOX or case.contacts[0] is Proof.PENDING


@dataclass(frozen=True)
class Requests:
    """The actions. `request_workflow` is the state machine's ARN, `send_notice` a function's name."""

    book: Casebook
    door: FrontDoor
    case_key: str
    request_workflow: str
    send_notice: str
    bundles: str
    link_seconds: int
    cooling_hours: int = 72  # between the confirmation of a deletion and its first delete

    def open(self, said: Submission, map_version: str, language: str = FALLBACK) -> str:
        """Open the case of a submission and start its workflow; returns the case id.

        The id follows from the form's token and what was asked, so that a double click, a reload
        or a retry is one case, while the same page corrected and sent again is another. Nothing
        is looked up about the addresses.
        """
        mac = self.door.mac("submission", said.token, said.right.value, *said.contacts)
        case_id = new_case_id(hashlib.sha256(mac.encode()).digest()[:10])
        try:
            case = self.book.get(case_id)
        except NotFound:
            case = self._new_case(case_id, said, map_version, language)
            if not self.book.open(case, "web"):
                case = self.book.get(case_id)
        if case.state is State.RECEIVED:
            workflow.start(case, self.request_workflow)
        return case_id

    def _new_case(self, case_id: str, said: Submission, map_version: str, language: str) -> Case:
        requester = Requester(said.contacts, said.claims, "", said.country, said.for_whom)
        return new_case(
            self.book, self.case_key, case_id, requester,
            right=said.right, state=State.RECEIVED, map_version=map_version,
            contacts=(Proof.PENDING,) * len(said.contacts), risk=RISKS[said.for_whom], language=language,
        )  # fmt: skip

    def ask_for_code(self, case_id: str, contact: int) -> None:
        """Have a code sent to a contact. Whether there is such a case is found out elsewhere, later."""
        self._notify(case_id, {"notice": "code", "contact": contact})

    def _notify(self, case_id: str, what: dict[str, Any]) -> None:
        payload = json.dumps({"case_id": case_id, **what}).encode()
        client("lambda").invoke(FunctionName=self.send_notice, InvocationType="Event", Payload=payload)

    def confirm(self, case_id: str, contact: int) -> Case:
        """Record that a contact is proven; with the last one open, the case goes on. Raises NotFound.

        With the first one the code for a phone number is sent: not before, so that nobody gets a text
        message, and nobody pays for it, at the word of who has not even a mailbox.
        """
        settled = False

        def decide(case: Case) -> _Change | None:
            nonlocal settled
            change = _settle(case, contact, Proof.CONFIRMED)
            settled = change is not None
            if change and contact > 0 and kind_of(self.book.requester(case).contacts[contact]) == "phone":
                change = replace(change, about=change.about | {"proof": "phone"})
            return change

        case = self._change(case_id, decide)
        if settled and contact == 0 and Proof.PENDING in case.contacts:
            for number, further in enumerate(self.book.requester(case).contacts):
                if kind_of(further) == "phone" and case.contacts[number] is Proof.PENDING:
                    self.ask_for_code(case_id, number)
        return case

    def skip(self, case_id: str, contact: int) -> Case:
        """Give up a further address or number; it finds nothing. Raises NotFound, Refused for the first."""
        if contact == 0:
            raise Refused("the first address cannot be skipped")

        def decide(case: Case) -> _Change | None:
            return _settle(case, contact, Proof.SKIPPED)

        return self._change(case_id, decide)

    def withdraw(self, case_id: str, grant: Grant) -> Case:
        """End the case at the requester's wish. Raises NotFound, Refused once it is too late."""

        def decide(case: Case) -> _Change | None:
            if case.state is State.WITHDRAWN:
                return None
            if not may_withdraw(case, grant):
                raise Refused(f"a case cannot be withdrawn when {case.state}")
            return _Change(State.WITHDRAWN, "withdrawn", {}, {"expires_at": None})

        return self._change(case_id, decide)

    def cancel(self, case_id: str) -> Case:
        """Cancel a deletion before it begins, for who has its mail. Raises NotFound, Refused."""

        def decide(case: Case) -> _Change | None:
            if case.state is State.WITHDRAWN:
                return None
            if case.state is not State.COOLING_OFF:
                raise Refused(f"a deletion cannot be cancelled when its case is {case.state}")
            return _Change(State.WITHDRAWN, "cancelled", {}, {"expires_at": None})

        return self._change(case_id, decide)

    def cannot_sign_in(self, case_id: str) -> Case:
        """The account holder cannot sign in any more: a person decides. Raises NotFound."""

        def decide(case: Case) -> _Change | None:
            if not awaits_sign_in(case):
                return None
            fields = {"risk": (*case.risk, "no_sign_in"), "expires_at": None}
            return _Change(State.AWAITING_APPROVAL, "sign_in_given_up", {"reason": "no_sign_in"}, fields)

        return self._change(case_id, decide)

    def signed_in(self, case_id: str, account: str) -> bool:
        """Record a sign-in, `account` being the subject of its token; False if it is another than before.

        Whether the account is the one whose data was found is decided when the subject is resolved.
        Raises NotFound.
        """
        fits = True

        def decide(case: Case) -> _Change | None:
            nonlocal fits
            requester = self.book.requester(case)
            if awaits_sign_in(case):
                sealed = self.book.seal_requester(case, replace(requester, account=account))
                fields = {"sealed": sealed, "signed_in_at": now(), "expires_at": None}
                return _Change(State.RESOLVING, "signed_in", {"proof": "account"}, fields)
            fits = requester.account == account
            return None

        self._change(case_id, decide)
        return fits

    def is_proven(self, case: Case, grant: Grant, at: float) -> bool:
        """Whether this session proved within the last minutes what the case rests on."""
        return grant.is_fresh(level_needed(case), at) and self._is_account(case, grant)

    def _is_account(self, case: Case, grant: Grant) -> bool:
        """Whether the session, where the case rests on an account, signed in with that account."""
        if level_needed(case) is Level.MAILBOX:
            return True
        return grant.account == self.door.mac("account", self.book.requester(case).account)

    def may_download(self, case: Case, grant: Grant, at: float) -> bool:
        """Whether there is a bundle and this session proved freshly enough who it is."""
        return has_bundle(case) and self.is_proven(case, grant, at)

    def download(self, case_id: str, grant: Grant, number: int = 1) -> str:
        """A link to a zip of the bundle that lives for minutes; the first makes the case delivered.

        `number`: which, where the bundle comes in several. Raises NotFound, and Refused without such a zip
        or a fresh proof.
        """

        def decide(case: Case) -> _Change | None:
            if not self.may_download(case, grant, time.time()) or not 1 <= number <= len(zips_of(case)):
                raise Refused("no bundle, or no fresh proof")
            about = {"proof": level_needed(case).name.lower()}
            about |= {"part": str(number)} if len(zips_of(case)) > 1 else {}
            to = State.DELIVERED if case.state is State.READY else case.state
            return _Change(to, "downloaded", about, {"downloads": case.downloads + 1})

        case = self._change(case_id, decide)
        zips = zips_of(case)
        first = sum("supplement" not in zipped for zipped in zips)
        which = f"-{number}-of-{first}" if 1 < first >= number else ""
        which = f"-supplement-{number - first}" if number > first else which
        return self._link(
            zips[number - 1]["key"],
            ResponseContentDisposition=f'attachment; filename="your-data-{case_id}{which}.zip"',
            ResponseContentType="application/zip",
        )

    # -- deletion -------------------------------------------------------------------------------

    def may_see_plan(self, case: Case, grant: Grant) -> bool:
        """Whether this session may read what is held and will be deleted.

        As long as the account is there its sign-in is asked for; afterwards nobody can sign in any
        more, and the mailbox must do for what is only titles and numbers.
        """
        if case.state not in (State.AWAITING_CONFIRMATION, State.COOLING_OFF):
            return grant.level >= Level.MAILBOX
        return grant.level >= level_needed(case) and self._is_account(case, grant)

    def copies_under_way(self, case: Case) -> list[Case]:
        """The access cases of the same person whose copy a deletion would come before."""
        return Subjects(self.book).unfinished_access(case.subject) if case.subject else []

    def confirm_deletion(self, case_id: str, grant: Grant, waive: bool) -> Case:
        """The person wants it, having seen the plan; `waive`: without waiting for their copy.

        Confirmed already, it only notes that they will not wait. Raises NotFound, and Refused
        without a plan or a fresh proof.
        """

        def decide(case: Case) -> _Change | None:
            if case.state not in (State.AWAITING_CONFIRMATION, State.COOLING_OFF):
                raise Refused(f"there is nothing to confirm when {case.state}")
            if not self.is_proven(case, grant, time.time()):
                raise Refused("no fresh proof")
            about = {"proof": level_needed(case).name.lower()} | ({"decision": "waive"} if waive else {})
            if case.state is State.AWAITING_CONFIRMATION:
                about["plan"] = digest(case.plan)
                at = now()
                begins = at + timedelta(hours=self.cooling_hours)
                fields = {"confirmed_at": at, "expires_at": begins, "waived": waive}
                return _Change(State.COOLING_OFF, "deletion_confirmed", about, fields)
            if case.waived or not waive:
                return None
            # The clock wakes the workflow, at once where the time for second thoughts is over.
            return _Change(State.COOLING_OFF, "copy_waived", about, {"waived": True})

        return self._change(case_id, decide)

    def certificate(self, case: Case, supplement: bool = False) -> str:
        """The certificate, or its supplement, as its file. Raises NotFound."""
        s3 = client("s3")
        key = case.supplement if supplement else case.certificate
        try:
            content: bytes = s3.get_object(Bucket=self.bundles, Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            raise NotFound(f"no certificate of case {case.case_id}") from None
        return content.decode("utf-8")

    def secret(self, case: Case) -> str:
        """The word by which its person can show that the certificate is theirs; "" where there is none."""
        sealed = base64.b64decode(case.secret)
        return casekey.unseal(case.case_id, self.book.keys, sealed).decode() if sealed else ""

    # -- links ----------------------------------------------------------------------------------

    def bundles_origin(self) -> str:
        """Scheme and host that links to bundles lead to; made without a call."""
        parts = urlsplit(self._link("-"))
        return f"{parts.scheme}://{parts.netloc}"

    def _link(self, key: str, **more: str) -> str:
        link: str = client("s3").generate_presigned_url(
            "get_object",
            Params={"Bucket": self.bundles, "Key": key, **more},
            ExpiresIn=self.link_seconds,
        )
        return link

    def _change(self, case_id: str, decide: Callable[[Case], _Change | None]) -> Case:
        for attempt in range(_TRIES):
            case = self.book.get(case_id)
            change = decide(case)
            if change is None:
                return case
            leaves = change.to is not case.state
            fields = change.fields | ({"token": ""} if leaves else {})
            try:
                moved = self.book.move(case, change.to, change.name, "requester", change.about, **fields)
            except Conflict:
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  apart from the other writer
                continue
            if leaves:
                workflow.wake(case.token)
            return moved
        raise Conflict(f"case {case_id} would not hold still")


def awaits_sign_in(case: Case) -> bool:
    """Whether the mailbox is proven and the account's sign-in is what the case waits for."""
    return case.state is State.AWAITING_IDENTITY and case.needs == "account" and case.mailbox_proven


def _settle(case: Case, contact: int, proof: Proof) -> _Change | None:
    """The change that settles an open contact; None when there is nothing to settle any more."""
    waiting = case.state in (State.RECEIVED, State.AWAITING_IDENTITY)
    if not waiting or contact >= len(case.contacts) or case.contacts[contact] is not Proof.PENDING:
        return None
    contacts = tuple(proof if i == contact else was for i, was in enumerate(case.contacts))
    complete = replace(case, contacts=contacts).mailbox_proven
    name = "contact_confirmed" if proof is Proof.CONFIRMED else "contact_skipped"
    return _Change(
        State.RESOLVING if complete else case.state,
        name,
        {"contact": str(contact), **({"proof": "mailbox"} if proof is Proof.CONFIRMED else {})},
        {"contacts": contacts, **({"expires_at": None} if complete else {})},
    )
