"""When which mail or text message is sent: codes as often as asked for, everything else once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dsr.aws import client
from dsr.case import Case, Proof, Requester, State
from dsr.casebook import Casebook, now
from dsr.errors import Conflict, NotFound
from dsr.front_door import FrontDoor
from dsr.holdbook import Holdbook
from dsr.holds import told
from dsr.identity import DAY_SECONDS, show_code
from dsr.log import logger
from dsr.notices import mails
from dsr.notices.texts import code_text
from dsr.phones import kind_of
from dsr.plan_in_words import in_words
from dsr.subjects import Subjects

_UNPROVEN = (State.RECEIVED, State.AWAITING_IDENTITY)
_TRIES = 6
_CANCEL_UNTIL = timedelta(days=90)  # after which the workflow waits no more


@dataclass(frozen=True)
class Notices:
    """`controller` is the map's (name, contact, complaint), `public_url` the address of the public pages."""

    book: Casebook
    door: FrontDoor
    controller: Callable[[], dict[str, str]]
    public_url: Callable[[], str]
    sender: str
    identity_days: int
    most_codes: int  # an hour to one address
    texts: bool = False  # whether codes go to phone numbers at all
    most_texts: int = 5  # a day to one number
    most_texts_of_all: int = 100  # an hour, whoever asks

    def send(self, case_id: str, notice: str, contact: int | None = None) -> int:
        """Send the notice; returns how many messages went out. An unknown case gets none and is no error.

        Raises ValueError for a notice that does not exist.
        """
        if notice not in mails.ONCE and notice not in ("code", "download_code"):
            raise ValueError(f"there is no notice {notice!r}")
        try:
            case = self.book.get(case_id)
        except NotFound:
            logger.info("there is no such case", case_id=case_id, notice=notice)
            return 0
        try:
            requester = self.book.requester(case)
        except NotFound:
            requester = None  # the key is destroyed: nobody knows any more whom to write to
        if case.dry_run:
            return 0  # nobody but the desk hears of it
        if notice in mails.ONCE:
            return self._send_once(case, requester, notice)
        if requester is None:
            return 0
        if notice == "download_code":
            contact = 0
        wanted = range(len(case.contacts)) if contact is None else (contact,)
        sent = sum(self._send_code(case, requester, i, contact is not None) for i in wanted)
        if contact is None:
            self._await_identity(case_id)
        return sent

    # -- codes ----------------------------------------------------------------------------------

    def _send_code(self, case: Case, requester: Requester, contact: int, asked_for: bool) -> int:
        """One code to one contact; 0 if there is nothing to prove or its mailbox had enough for now."""
        if contact >= len(case.contacts):
            return 0
        open_ = case.contacts[contact] is Proof.PENDING and case.state in _UNPROVEN
        if not open_ and not (asked_for and contact == 0):
            return 0
        address = requester.contacts[contact]
        if kind_of(address) == "phone":
            return self._text_code(case, address, contact) if asked_for else 0
        if not self.door.admit("address", address.lower(), self.most_codes):
            logger.info("the address had enough codes", case_id=case.case_id, contact=contact)
            return 0
        code, link = self.door.new_code(case.case_id, contact)
        kind = mails.show if not open_ else mails.confirm if contact == 0 else mails.confirm_further
        page = f"{self.public_url()}/confirm/{link}"
        return self._mail(case, address, kind(self._facts(case, "code"), show_code(code), page))

    def _text_code(self, case: Case, number: str, contact: int) -> int:
        """A code by text message; 0 before the mailbox is proven, and where there were enough of them."""
        if not self.texts or case.contacts[0] is not Proof.CONFIRMED:
            return 0
        if not self.door.admit("number", number, self.most_texts, DAY_SECONDS):
            logger.info("the number had enough codes", case_id=case.case_id, contact=contact)
            return 0
        if not self.door.admit("texts", "all", self.most_texts_of_all):
            logger.warning("there were enough text messages this hour", case_id=case.case_id)
            return 0
        code, _ = self.door.new_code(case.case_id, contact)
        told = self.controller()
        sns = client("sns")
        try:
            sns.publish(
                PhoneNumber=number,
                Message=code_text(told["name"], told["contact"], show_code(code)),
                MessageAttributes={
                    "AWS.SNS.SMS.SMSType": {"DataType": "String", "StringValue": "Transactional"}
                },
            )
        except (
            sns.exceptions.InvalidParameterException,
            sns.exceptions.InvalidParameterValueException,
            sns.exceptions.OptedOutException,
        ):
            logger.warning("the number cannot be reached", case_id=case.case_id, contact=contact)
            return 0
        return 1

    def _await_identity(self, case_id: str) -> None:
        """RECEIVED to AWAITING_IDENTITY, unless a code came back before we got here."""
        for _ in range(_TRIES):
            case = self.book.get(case_id)
            if case.state is not State.RECEIVED:
                return
            expires = now() + timedelta(days=self.identity_days)
            about = {"notice": "code"}
            try:
                self.book.move(
                    case, State.AWAITING_IDENTITY, "code_sent", "workflow", about, expires_at=expires
                )
            except Conflict:
                continue
            return
        raise Conflict(f"case {case_id} would not hold still")

    # -- once -----------------------------------------------------------------------------------

    def _send_once(self, case: Case, requester: Requester | None, notice: str) -> int:
        """A notice of which there is one per case; recorded as undeliverable where there is no address.

        It is recorded after it is sent: a worker killed in the instant between sends it a second
        time, which is better than a person who never hears of their data.
        """
        if notice in case.notices:
            return 0
        mail = mails.ONCE[notice](self._facts(case, notice))
        sent = sum(self._mail(case, address, mail) for address in _addresses(case, requester, notice))
        outcome = "sent" if sent else "undeliverable"
        for _ in range(_TRIES):
            if notice in case.notices:
                return sent
            notices = (*case.notices, notice)
            about = {"notice": notice, "outcome": outcome}
            try:
                self.book.move(case, case.state, "notice_sent", "workflow", about, notices=notices)
            except Conflict:
                case = self.book.get(case.case_id)
                continue
            return sent
        raise Conflict(f"case {case.case_id} would not hold still")

    # -- mail -----------------------------------------------------------------------------------

    def _facts(self, case: Case, notice: str) -> mails.Facts:
        controller = self.controller()
        kept = case.bundle.get("expires_at") if case.bundle else None
        until = datetime.fromisoformat(kept) if isinstance(kept, str) else None
        return mails.Facts(
            company=controller["name"],
            contact=controller["contact"],
            complaint=controller.get("complaint", ""),
            case_id=case.case_id,
            right=case.right,
            page=f"{self.public_url()}/requests/{case.case_id}",
            due_at=case.due_at,
            expires_at=until or case.expires_at,
            in_part=case.outcome == "delivered_in_part",
            reason=case.outcome,
            planned=bool(case.plan),
            waits=self._waits(case),
            cancel=self._cancel(case) if notice == State.COOLING_OFF else "",
            by_site=case.channel == "site",
            kept=tuple(kept.sentence for kept in in_words(case.plan).kept),
            held=told(Holdbook(self.book.cases).all(), case) if notice == "held" else (),
            joined=case.joined,
        )

    def _cancel(self, case: Case) -> str:
        """The link that cancels, good as long as the deletion may wait for a copy or a hold."""
        until = (case.expires_at or now()) + _CANCEL_UNTIL
        return f"{self.public_url()}/cancel/{self.door.new_cancel(case.case_id, int(until.timestamp()))}"

    def _waits(self, case: Case) -> bool:
        """Whether the deletion waits until a copy is handed over."""
        waiting = case.state is State.COOLING_OFF and bool(case.subject) and not case.waived
        return waiting and bool(Subjects(self.book).unfinished_access(case.subject))

    def _mail(self, case: Case, address: str, mail: mails.Mail) -> int:
        """Hand one mail to SES; 0 if it says that the address can never be delivered to."""
        local, _, domain = address.rpartition("@")
        ses = client("sesv2")
        message: dict[str, Any] = {
            "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
            "Body": {
                "Text": {"Data": mail.text, "Charset": "UTF-8"},
                "Html": {"Data": mail.html, "Charset": "UTF-8"},
            },
            # RFC 3834: no mailbox answers this by itself.
            "Headers": [{"Name": "Auto-Submitted", "Value": "auto-generated"}],
        }
        try:
            ses.send_email(
                FromEmailAddress=self.sender,
                Destination={"ToAddresses": [f"{local}@{domain.encode('idna').decode('ascii')}"]},
                Content={"Simple": message},
            )
        except ses.exceptions.BadRequestException:
            logger.warning("the address cannot be delivered to", case_id=case.case_id)
            return 0
        return 1


def _addresses(case: Case, requester: Requester | None, notice: str) -> tuple[str, ...]:
    """Where a notice goes: the first address, but a deletion to come to every one that was confirmed and
    those on the account: who asked may be somebody who got hold of one mailbox.

    None once the key is destroyed, or where the company's site told no address.
    """
    if requester is None:
        return ()
    if notice not in (State.COOLING_OFF, State.WITHDRAWN):
        return requester.contacts[:1]
    known = zip(requester.contacts, case.contacts, strict=True)
    confirmed = (contact for contact, proof in known if proof is Proof.CONFIRMED)
    return (*(c for c in confirmed if kind_of(c) == "email"), *requester.account_contacts)
