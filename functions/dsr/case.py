"""A case: one request and all its history. States, the allowed moves between them, the next step.

Pure: knows neither AWS nor the time of day. `MOVES` and `STEPS` are the documentation.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from dsr.errors import Conflict


class Right(StrEnum):
    """What is asked for."""

    ACCESS = "access"  # GDPR Art. 15, CCPA 1798.110
    DELETION = "deletion"  # GDPR Art. 17, CCPA 1798.105


class State(StrEnum):
    """Where a case stands."""

    RECEIVED = "received"
    AWAITING_IDENTITY = "awaiting_identity"
    RESOLVING = "resolving"
    AWAITING_APPROVAL = "awaiting_approval"
    VERIFIED = "verified"
    GATHERING = "gathering"
    BUNDLING = "bundling"
    READY = "ready"
    DELIVERED = "delivered"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    COOLING_OFF = "cooling_off"
    ERASING = "erasing"
    CONFIRMING = "confirming"
    CERTIFYING = "certifying"
    KEPT = "kept"
    NEEDS_ATTENTION = "needs_attention"
    ERASED = "erased"
    ERASED_IN_PART = "erased_in_part"
    NOTHING_FOUND = "nothing_found"
    CLOSED = "closed"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"


S = State
ENDED = frozenset({S.ERASED, S.ERASED_IN_PART, S.NOTHING_FOUND, S.CLOSED, S.EXPIRED, S.WITHDRAWN, S.REFUSED})

MOVES: dict[State, frozenset[State]] = {
    S.RECEIVED: frozenset({S.AWAITING_IDENTITY, S.RESOLVING, S.WITHDRAWN, S.REFUSED}),
    S.AWAITING_IDENTITY: frozenset({S.RESOLVING, S.EXPIRED, S.WITHDRAWN, S.REFUSED, S.AWAITING_APPROVAL}),
    S.RESOLVING: frozenset(
        {
            S.CLOSED,  # joined to a deletion of the same person
            S.AWAITING_IDENTITY,
            S.AWAITING_APPROVAL,
            S.VERIFIED,
            S.NEEDS_ATTENTION,
            S.WITHDRAWN,
        }
    ),
    S.AWAITING_APPROVAL: frozenset({S.RESOLVING, S.REFUSED, S.WITHDRAWN}),
    S.VERIFIED: frozenset({S.GATHERING, S.WITHDRAWN}),
    S.GATHERING: frozenset(
        {
            *(S.BUNDLING, S.AWAITING_CONFIRMATION, S.COOLING_OFF, S.NOTHING_FOUND),
            *(S.NEEDS_ATTENTION, S.WITHDRAWN, S.CLOSED),
            S.RESOLVING,  # a reference followed late leads to what tells who it is
            *(S.READY, S.DELIVERED),  # what came late adds nothing to the copy
        }
    ),
    S.BUNDLING: frozenset({S.READY, S.NEEDS_ATTENTION, S.CLOSED}),  # closed: a deletion has overtaken it
    # What was missing in a copy is added when it comes after all.
    S.READY: frozenset({S.DELIVERED, S.CLOSED, S.GATHERING}),
    S.DELIVERED: frozenset({S.CLOSED, S.GATHERING}),
    S.AWAITING_CONFIRMATION: frozenset({S.COOLING_OFF, S.EXPIRED, S.WITHDRAWN, S.REFUSED}),
    S.COOLING_OFF: frozenset({S.ERASING, S.WITHDRAWN, S.REFUSED}),
    S.ERASING: frozenset({S.CONFIRMING, S.NEEDS_ATTENTION}),
    S.CONFIRMING: frozenset({S.CERTIFYING, S.ERASING, S.NEEDS_ATTENTION}),
    S.CERTIFYING: frozenset({S.ERASED, S.ERASED_IN_PART}),
    # What an earlier deletion kept by law: it waits for the day on which that may go (`dsr.kept`).
    S.KEPT: frozenset({S.VERIFIED}),
    # What is erased is looked for once more when its copies have caught up, and told when the last has ended.
    S.ERASED: frozenset({S.CONFIRMING, S.CERTIFYING}),
    S.ERASED_IN_PART: frozenset({S.CONFIRMING, S.CERTIFYING}),
    # Back to where it stopped (`resume`), or ended by an agent.
    S.NEEDS_ATTENTION: frozenset(
        {S.RESOLVING, S.GATHERING, S.BUNDLING, S.ERASING, S.CONFIRMING, S.REFUSED, S.WITHDRAWN, S.CLOSED}
    ),
    **{ended: frozenset() for ended in ENDED - {S.ERASED, S.ERASED_IN_PART}},
}

# What the workflow does for a case in this state; states without a step need a person or have ended.
STEPS: dict[State, str] = {
    S.RECEIVED: "send_code",
    S.AWAITING_IDENTITY: "await_identity",
    S.RESOLVING: "resolve",
    S.VERIFIED: "gather",
    S.GATHERING: "gather",
    S.BUNDLING: "bundle",
    S.READY: "announce",
    S.NOTHING_FOUND: "announce",
    S.EXPIRED: "announce",
    S.REFUSED: "announce",
    S.AWAITING_CONFIRMATION: "await_confirmation",
    S.COOLING_OFF: "cool_off",
    S.ERASED: "announce",
    S.ERASED_IN_PART: "announce",
    S.ERASING: "erase",
    S.CONFIRMING: "confirm",
    S.CERTIFYING: "certify",
}
REST = "rest"
KEPT_CHANNEL = "kept"  # of a case that deletes what an earlier one kept
# After a copy in part the rest is being added; can be downloaded; is nothing, as they say; does not come.
FOLLOW_UPS = ("adding", "followed", "nothing_more", "not_following")
AWAIT_ANSWERS = "await_answers"  # of stores: beside the state's own step
WAITS = frozenset({"await_identity", "await_confirmation", "cool_off", AWAIT_ANSWERS})  # by a stored token
# Where stores work, and may answer later.
WORKS = frozenset({S.GATHERING, S.ERASING, S.CONFIRMING})


def check_move(was: State, to: State) -> None:
    """Raises Conflict unless a case may go from `was` to `to`."""
    if to not in MOVES[was]:
        raise Conflict(f"a case may not go from {was} to {to}")


# Crockford's base32: no I, L, O, U, so that a reference survives being read over the phone.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_case_id(entropy: bytes | None = None) -> str:
    """A reference of 80 random bits, such as `K7Q2-9FXM-3TWD-5BHP`.

    `entropy` (10 bytes) is given where the same submission must yield the same reference.
    """
    number = int.from_bytes(entropy if entropy is not None else secrets.token_bytes(10), "big")
    digits = "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in range(15, -1, -1))
    return "-".join(digits[i : i + 4] for i in range(0, 16, 4))


def read_case_id(text: str) -> str | None:
    """The reference as we write it, from what a person typed (spaces, lower case, O for 0); or None."""
    plain = text.upper().replace("-", "").replace(" ", "")
    plain = plain.replace("O", "0").replace("I", "1").replace("L", "1")
    if len(plain) != 16 or any(c not in _ALPHABET for c in plain):
        return None
    return "-".join(plain[i : i + 4] for i in range(0, 16, 4))


class Proof(StrEnum):
    """Where the proof of one contact stands."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Attention:
    """Why a person must look: which visit, a fixed word, and the thing at fault; no personal data."""

    visit: str
    reason: str
    about: str = ""


@dataclass(frozen=True)
class Case:
    """A case as stored. Nothing here names a person: `sealed` is encrypted under the case's own key."""

    case_id: str
    right: Right
    state: State
    version: int
    received_at: datetime
    due_at: datetime
    updated_at: datetime
    regimes: tuple[str, ...]
    map_version: str
    recipient: str  # the public half of the case's key: whoever has it can seal, not open
    sealed: bytes  # `Requester` as JSON, sealed
    contacts: tuple[Proof, ...] = (Proof.PENDING,)
    signed_in_at: datetime | None = None
    needs: str = "mailbox"  # the proof that is still asked for: mailbox, account
    risk: tuple[str, ...] = ()  # why a person must approve: minor, agent, other, no_sign_in
    approved: bool = False
    attempt: int = 1
    resume: State | None = None
    attention: tuple[Attention, ...] = ()
    # What agents decided: `store.collection` → include | exclude, `visit:<id>` → leave_out.
    decisions: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    outcome: str = ""
    bundle: dict[str, Any] = field(default_factory=dict)  # key, size, sha256, expires_at
    downloads: int = 0
    token: str = ""  # of the workflow's waiting task
    woken: str = ""  # the last one that was taken off: whoever did may have been killed before it was used
    expires_at: datetime | None = None  # when waiting ends by itself
    # The visits whose stores answer later: nothing else is to be done for the case meanwhile.
    waiting_for: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()  # of these, those that an agent makes by hand
    # Who asked: the person (web), the company's own site (site), or a restored collection in which somebody
    # came back who was erased before (restore; `erased_at` is when), the
    # desk (a dry run), or the day on which what was kept may go (kept).
    channel: str = "web"
    subject: str = ""  # keyed hash of who it is about: cases of one person find each other by it
    joined: str = ""  # the case that does what this one asked for
    # What deletion will do: by collection path what `planning.plan_of` says.
    plan: dict[str, dict[str, Any]] = field(default_factory=dict)
    follows: str = ""  # the case whose kept records this one deletes, when their time is over
    followed_by: tuple[str, ...] = ()  # the cases that delete what this one kept
    dry_run: bool = False  # ends with the plan: nothing is done by it, and nobody but the desk hears of it
    confirmed_at: datetime | None = None  # when the person confirmed the plan
    waived: bool = False  # the person does not wait for their copy before the deletion
    round: int = 0  # of erasing: what arrives meanwhile is erased in the next one
    certificate: str = ""  # where it lies
    last_days: bool = False  # their copy goes soon, and they have not downloaded it
    erased_at: datetime | None = None  # when a second read found nothing left, and it was certified
    # When all is read once more, since copies that lag may have brought something back; None: not any more.
    check_at: datetime | None = None
    checked_at: datetime | None = None  # when that read found nothing left
    check_round: int = 0  # the round that it began with
    rounds_from: int = 0  # the round in which a person last let it go on though data kept arriving
    supplement_at: datetime | None = None  # when the last copy has ended, which a supplement then says
    supplement: str = ""  # where it lies
    secret: str = ""  # the word that binds the certificate to its person; sealed, in base64
    key_destroyed: bool = False  # nothing personal of the case can be read any more
    head: str = ""  # hash of its last event: the end of its chain
    language: str = "en"  # of who asks, as their browser said
    # Of a copy that went out in part: the visits whose answer is still taken, and until when (ISO 8601);
    # those whose answer has come since; and what becomes of them: one of `FOLLOW_UPS`.
    late: dict[str, str] = field(default_factory=dict)
    adding: tuple[str, ...] = ()
    follow_up: str = ""

    @property
    def ended(self) -> bool:
        """Whether what was asked is answered; of a deletion only its copies may still be followed up."""
        return self.state in ENDED

    @property
    def rests(self) -> bool:
        """Whether nothing will ever be done for the case any more."""
        return self.ended and self.key_destroyed and not (self.check_at or self.supplement_at)

    @property
    def added_now(self) -> tuple[str, ...]:
        """The visits that the supplement under way brings; the others of `adding` are for the next one."""
        now = self.follow_up == "adding"
        return tuple(v for v in self.adding if now and self.decisions.get(f"visit:{v}") != "leave_out")

    @property
    def mailbox_proven(self) -> bool:
        """Whether the first contact is confirmed and no other is still open."""
        return self.contacts[:1] == (Proof.CONFIRMED,) and Proof.PENDING not in self.contacts


def next_step(case: Case) -> str:
    """The name of the workflow's next step for the case; `rest` when a person must act or it has ended."""
    step = STEPS.get(case.state, REST)
    if case.waiting_for and case.state in WORKS:
        return AWAIT_ANSWERS
    told = notice_of(case) in case.notices or case.dry_run
    if step in ("await_confirmation", "cool_off") and not told:
        return "announce"  # the person is told what waits for them, then waited for
    if case.state is State.CLOSED and case.joined and not told:
        return "announce"
    if case.state is State.DELIVERED and case.follow_up and case.follow_up not in case.notices:
        return "announce"
    if case.state is State.WITHDRAWN and case.confirmed_at and not told:
        return "announce"  # who was told that it will be deleted is told that it will not
    return REST if step == "announce" and told else step


def notice_of(case: Case) -> str:
    """The notice that tells the person where the case stands: called like the state, or what it brought."""
    after_part = case.state in (State.READY, State.DELIVERED) and case.follow_up
    if after_part and case.follow_up not in case.notices:
        return case.follow_up
    if case.state is State.READY and case.last_days:
        return "last_days"
    if case.supplement and case.ended:
        return "supplement"
    return "joined" if case.state is State.CLOSED and case.joined else case.state.value


@dataclass(frozen=True)
class Requester:
    """The personal content of a case; stored only sealed.

    `contacts`: email addresses, the first of which gets the mail, and a phone number in E.164. `claims`:
    what was typed to match doubtful records (`name`, `phone`, `reference`): compared, never searched by.
    """

    contacts: tuple[str, ...]
    claims: dict[str, str] = field(default_factory=dict)
    account: str = ""  # the subject of the sign-in (OIDC `sub`), once signed in
    country: str = ""
    for_whom: str = "self"
    # What the site itself told of the person: values by `store.collection.field`.
    locators: dict[str, list[str]] = field(default_factory=dict)
    # Further verified addresses on the person's account, found while gathering: told before it is deleted.
    account_contacts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """One line of a case's history: allow-listed words and numbers only (`dsr.events`), never free text.

    `hash` is of all the rest, `previous` that of the event before ("" for the first): a chain.
    """

    case_id: str
    number: int
    at: datetime
    name: str
    actor: str
    was: State
    now: State
    about: dict[str, str] = field(default_factory=dict)
    previous: str = ""
    hash: str = ""
