"""What the events of a case may say: which words and numbers each may carry, and nothing else. Pure.

The audit trail cannot be erased, so there is no room in it for a name, an address or a sentence: each
field of each event takes a word of a list, a number, a reference of ours, or a hash. `EVENTS` is the table.
"""

import re
from collections.abc import Iterable

from dsr.case import AWAIT_ANSWERS, STEPS, Right
from dsr.errors import StoreFault
from dsr.holds import REASONS
from dsr.notices.refusals import REFUSALS

Form = re.Pattern[str]


def _words(*allowed: str | Iterable[str]) -> Form:
    words = [word for some in allowed for word in ([some] if isinstance(some, str) else some)]
    return re.compile("|".join(sorted(map(re.escape, words))))


NUMBER: Form = re.compile(r"\d{1,15}")
VISIT: Form = re.compile(r"(\d{1,3}-[a-z][a-z0-9_-]{0,79})?")  # a visit of the plan; empty: the case itself
CASE: Form = re.compile(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){3}")
HOLD: Form = re.compile(r"[0-9a-f]{10}")
DIGEST: Form = re.compile(r"[0-9a-f]{64}")  # SHA-256, in hex

# Who may have acted. An agent is an id of the sign-in's or of IAM's, never a name or an address.
ACTOR: Form = re.compile(r"requester|recipient|workflow|clock|agent:[A-Za-z0-9][A-Za-z0-9_/-]{0,99}")

# Why a person must look, besides the faults of stores.
ATTENTION = (
    "keeps_arriving", "no_answer", "not_in_map", "overdue", "review", "sign_in_mismatch", "step_failed",
    "two_accounts", "unverified_match", "waits", "workflow_failed",
)  # fmt: skip

_RIGHT = _words(Right)
_CHANNEL = _words("web", "site", "desk", "restore", "kept")
_PROOF = _words("mailbox", "account")
_WHY = _words(ATTENTION, StoreFault.CODES)
_DECISION = _words("include", "exclude", "leave_out")
_NOTICE = re.compile(r"[a-z][a-z_]{0,39}")  # one of `notices.mails.ONCE`, or code

# The name of each event → the fields that it may carry → the form of their values.
EVENTS: dict[str, dict[str, Form]] = {
    # what the requester does
    "received": {"right": _RIGHT, "channel": _CHANNEL, "dry_run": _words("yes")},
    "contact_confirmed": {"contact": NUMBER, "proof": _words("mailbox", "phone")},
    "contact_skipped": {"contact": NUMBER},
    "signed_in": {"proof": _PROOF},
    "sign_in_given_up": {"reason": _words("no_sign_in")},
    "withdrawn": {},
    "cancelled": {},
    "downloaded": {"proof": _PROOF, "part": NUMBER},
    "deletion_confirmed": {"proof": _PROOF, "decision": _words("waive"), "plan": DIGEST},
    "copy_waived": {"proof": _PROOF, "decision": _words("waive")},
    # what the workflow does
    "map_updated": {},
    "code_sent": {"notice": _NOTICE},
    "notice_sent": {"notice": _NOTICE, "outcome": _words("sent", "undeliverable")},
    "resolved": {},
    "found_late": {},
    "waits_for_stores": {"visit": VISIT},
    "store_answered": {"visit": VISIT},
    "gathering_started": {},
    "gathered": {"records": NUMBER},
    "overtaken": {"joined": CASE},
    "nothing_added": {},
    "bundled": {},
    "planned": {"records": NUMBER, "plan": DIGEST},
    "erasing_started": {"plan": DIGEST},
    "erased": {},
    "found_again": {"round": NUMBER, "records": NUMBER},
    "nothing_left": {"round": NUMBER},
    "certified": {"certificate": DIGEST},
    "checked_again": {"round": NUMBER},
    "supplemented": {"certificate": DIGEST},
    "needs_attention": {"reason": _WHY, "visit": VISIT},
    # what the clock does
    "expired": {},
    "answer_due": {"visit": VISIT},
    "restarted": {"step": _words(STEPS.values(), AWAIT_ANSWERS)},
    "reminder_due": {},
    "closed": {"reason": _words("deletion")},
    "copy_removed": {},
    "supplement_begun": {"visit": VISIT},
    "late_given_up": {"visit": VISIT},
    "checking_again": {},
    "supplement_due": {},
    "time_is_over": {},
    "key_destroyed": {},
    # what agents do
    "retried": {},
    "judged": {"decision": _DECISION, "visit": VISIT},
    "sign_in_asked_again": {},
    "approved": {},
    "refused": {"reason": _words(REFUSALS)},
    "visits_put_back": {},
    "reviewed": {"decision": _words("redact", "disclose", "each"), "records": NUMBER},
    "review_done": {},
    "held": {"hold": HOLD, "reason": _words(REASONS)},
    "hold_lifted": {"hold": HOLD, "reason": _words(REASONS)},
}


def check(name: str, actor: str, about: dict[str, str]) -> None:
    """Raises ValueError, without repeating a value, for what no event may say."""
    if name not in EVENTS:
        raise ValueError(f"there is no event {name!r}: it needs its row in dsr.events.EVENTS")
    if not ACTOR.fullmatch(actor):
        raise ValueError(f"the event {name} may not name its actor so")
    for field, value in about.items():
        form = EVENTS[name].get(field)
        if form is None:
            raise ValueError(f"the event {name} may not say {field!r}")
        if not form.fullmatch(value):
            raise ValueError(f"the event {name} may not say this of {field!r}")
