"""What the desk calls things: every state, fault, risk and event in words, and what to do about a fault.

Tables only. A word that is missing shows as it is stored, so that nothing is ever hidden.
"""

from dataclasses import dataclass

from dsr.case import Proof, State


def say(table: dict[str, str], word: str) -> str:
    """The words for `word`, or the word itself in readable form."""
    return table.get(word) or word.replace("_", " ").capitalize()


STATES: dict[str, str] = {
    State.RECEIVED: "Received",
    State.AWAITING_IDENTITY: "Waiting for the requester’s proof",
    State.RESOLVING: "Finding out who it is",
    State.AWAITING_APPROVAL: "Waiting for approval",
    State.VERIFIED: "Verified",
    State.GATHERING: "Asking the stores",
    State.BUNDLING: "Making the bundle",
    State.READY: "Ready to download",
    State.DELIVERED: "Downloaded",
    State.AWAITING_CONFIRMATION: "Waiting for the requester to confirm the plan",
    State.COOLING_OFF: "Cooling off: the requester may still cancel",
    State.ERASING: "Erasing",
    State.CONFIRMING: "Checking that nothing is left",
    State.CERTIFYING: "Issuing the certificate",
    State.KEPT: "Kept by law until its day",
    State.NEEDS_ATTENTION: "Needs attention",
    State.ERASED: "Erased",
    State.ERASED_IN_PART: "Erased in part",
    State.NOTHING_FOUND: "Nothing found",
    State.CLOSED: "Closed",
    State.EXPIRED: "Expired",
    State.WITHDRAWN: "Withdrawn",
    State.REFUSED: "Refused",
}

GROUPS = {"person": "Waiting for the desk", "open": "All open", "ended": "Ended lately"}
RIGHTS = {"access": "Copy of data", "deletion": "Deletion"}
CHANNELS = {
    "web": "the public form",
    "site": "an event of the site itself",
    "restore": "a restored or imported collection",
    "desk": "the desk, as a dry run",
    "kept": "the end of the time for which an earlier deletion kept it",
}
FOR_WHOM = {"self": "Themselves", "child": "Their child", "other": "Somebody else"}
CLAIMS = {"name": "Name", "phone": "Phone number", "reference": "Contract number"}
NEEDS = {"mailbox": "control of the mailbox", "account": "a sign-in with the account"}

PROOFS: dict[str, str] = {
    Proof.PENDING: "not confirmed yet",
    Proof.CONFIRMED: "confirmed by a code",
    Proof.SKIPPED: "given up by the requester, not used",
}

# Why a person must approve.
RISKS = {
    "minor": "The account holder is, or may be, under 18",
    "child": "Asked by a parent or guardian for a child",
    "other": "Asked on behalf of somebody else",
    "no_sign_in": "Could not sign in with the account",
}

OUTCOMES: dict[str, tuple[str, str]] = {  # of a visit: a mark for the style sheet, and the word
    "pending": ("later", "Not begun"),
    "continue": ("now", "Under way"),
    "waiting": ("now", "Waits for an answer"),
    "done": ("done", "Done"),
    "needs_attention": ("stuck", "Needs attention"),
    "refused": ("stuck", "Refused"),
}

TREATMENTS = {
    "delete": "Deleted",
    "mask": "Masked: the record stays, these fields go",
    "detach": "Detached: the record is shared and stays, without this person",
    "keep": "Kept",
}

# What a part of a plan waits for.
PLAN_WAITS = {
    "lake_run": "waits for the next lake run",
    "task": "waits for a task of the desk",
    "answer": "waits for their answer",
}

DECISIONS = {
    "include": "belongs to this person",
    "exclude": "not this person’s, left out",
    "leave_out": "goes on without it",
    "redact": "redacted",
    "disclose": "disclosed",
}

# Why a place is looked at before a copy is made.
WHY_REVIEW = {
    "names": "The text seems to name another person",
    "shared": "Several people share the record, and this may be about another of them",
    "review": "The data map asks for a look at each value",
}


@dataclass(frozen=True)
class Fault:
    """What a fixed word of the workers means, and the way out."""

    what: str
    do: str


# A case ends with the data map it began with: for it, only the store can be mended (docs/operating.md).
_MAP = "If it is the data map that is wrong, correct it for later cases; this one goes on without the store."
FAULTS: dict[str, Fault] = {
    "missing_collection": Fault(
        "The store has no such table, bucket or pool.",
        f"Have its owner bring it back, then retry. {_MAP}",
    ),
    "missing_index": Fault(
        "The store cannot be searched by this field without reading everything.",
        "Have its owner add the index that is named here, then retry.",
    ),
    "missing_field": Fault(
        "The data map names a field that the store does not have, or a key that is not the table’s.",
        f"Have its owner bring the field back, then retry. {_MAP}",
    ),
    "missing_permission": Fault(
        "The store refuses us.",
        "Have its owner deploy the roles of the data map again (roles.template.json), and look at keys and "
        "policies of their own; then retry.",
    ),
    "missing_connection": Fault(
        "The secret of the database is not there, or the database refuses the login.",
        "Have its owner correct the secret, then retry.",
    ),
    "malformed_data": Fault(
        "The store holds something that cannot be read as the data map says.",
        f"Have its owner mend what is named here, then retry. {_MAP}",
    ),
    "still_referenced": Fault(
        "The store does not let a record go: rows that the data map does not know refer to it.",
        "Have its owner give that foreign key a rule for deletion, or take those rows out; then retry.",
    ),
    "endless_references": Fault(
        "One record leads to the next without an end, along the reference that is named here.",
        "Look for a value there that many records share, such as 0 or a placeholder, and have the store’s "
        f"owner mend it; then retry. {_MAP}",
    ),
    "unsupported": Fault(
        "The store holds or asks for something that this version cannot do.",
        f"Have an engineer look; retrying alone does not help. {_MAP}",
    ),
    "overdue": Fault(
        "Whoever was asked has not answered in time.",
        "Write to them. Retry asks once more and waits as long again. If their answer comes before you "
        "decide, the case goes on by itself.",
    ),
    "declined": Fault(
        "Whoever was asked says that they cannot, or will not.",
        "Read their reason in the task below and settle it with them; retry asks them anew.",
    ),
    "not_revoked": Fault(
        "The provider that the person signs in with did not take their token back.",
        "Retry once the provider answers, or have an engineer look at the address in the data map. If it "
        "cannot be had, go on without: the token is deleted here all the same.",
    ),
    "unreachable": Fault(
        "The recipient did not answer our message, or answered that it cannot.",
        "Tell them. Retry once they are up again.",
    ),
    "unsafe_address": Fault(
        "The recipient’s address is not a safe one to send to.",
        f"Have an engineer correct it with the recipient. {_MAP}",
    ),
    "no_answer": Fault(
        "The store was not asked, or its answer was not noted.",
        "Retry. If it stays so, have an engineer look at the log of its worker.",
    ),
    "step_failed": Fault(
        "The worker failed at every try, with the error that is named here.",
        "Have an engineer look at the log of the worker, then retry.",
    ),
    "unverified_match": Fault(
        "Records were found by an address that may be somebody else’s, and nothing else in them tells.",
        "Compare them with the requester below and decide whether they are this person’s.",
    ),
    "review": Fault(
        "Something in the copy may be about other people.",
        "Look at each place and decide whether it is redacted or disclosed; then the copy is made.",
    ),
    "two_accounts": Fault(
        "The proven addresses lead to more than one account.",
        "If both are this person’s, say so below. If not, an approver refuses the case.",
    ),
    "sign_in_mismatch": Fault(
        "The requester signed in with an account that the proven addresses do not lead to.",
        "Write to them: they may have taken the wrong one of their accounts. If so, let them sign in again "
        "below. If they cannot explain it, an approver refuses the case.",
    ),
    "not_in_map": Fault(
        "An earlier deletion kept these records until now, and the data map does not keep them any more.",
        "Put the collection back into the map as it was, with `keep`, deploy it and retry.",
    ),
    "keeps_arriving": Fault(
        "New data of this person keeps arriving while it is erased.",
        "Find what still writes to this store (an import, another system) and stop it; then retry.",
    ),
    "hold": Fault(
        "A hold stops erasing here.",
        "It goes on by itself once the hold is over: lifted at the desk, or past its last day.",
    ),
    "lake_run": Fault(
        "It waits for the next lake run, which writes the files of a data lake anew for all who wait.",
        "Nothing is to be done: it goes on by itself. An engineer can begin a run by hand.",
    ),
    "workflow_failed": Fault(
        "The workflow failed again and again at this step.",
        "Have an engineer look at the failed executions and the function’s log, then retry.",
    ),
}
_UNKNOWN = Fault("The worker reported this.", "Have an engineer look. Then retry.")


def fault(reason: str) -> Fault:
    """What a reason means and what to do."""
    return FAULTS.get(reason, _UNKNOWN)


# Of tasks: what is asked of a recipient, who they are, what they may have answered.
TASKS = {"find": "Find", "erase": "Delete", "remaining": "Check"}
ROLES = {
    "processor": "a processor: they hold it for us",
    "controller": "a controller: they answer for it themselves",
}
SAID: dict[str, dict[str, str]] = {
    "find": {
        "answered": "They sent what they hold: handed in above, or written below",
        "nothing_held": "They hold nothing about this person",
        "cannot": "They cannot, or will not: written below",
    },
    "erase": {
        "erased": "They have deleted it",
        "nothing_held": "They hold nothing about this person",
        "cannot": "They cannot, or will not: written below",
    },
    "remaining": {
        "nothing_held": "They hold nothing any more",
        "cannot": "They cannot say: written below",
    },
}
STATEMENT = {
    "find": "What they said (the person reads this, unless they cannot)",
    "erase": "What they said (kept sealed with the case)",
    "remaining": "What they said (kept sealed with the case)",
}

EVENTS = {
    "received": "Request received",
    "code_sent": "Code mailed",
    "contact_confirmed": "Address confirmed",
    "contact_skipped": "Address given up",
    "sign_in_given_up": "Could not sign in",
    "deletion_confirmed": "Plan confirmed by the requester",
    "copy_waived": "Does not wait for the copy",
    "signed_in": "Signed in with the account",
    "notice_sent": "Notice mailed",
    "resolved": "Found out who it is",
    "gathering_started": "Began to ask the stores",
    "gathered": "All stores answered",
    "waits_for_stores": "Waits for stores that answer later",
    "store_answered": "A store answered",
    "answer_due": "A store has not answered in time",
    "found_late": "Found more that may tell who it is",
    "planned": "Plan made",
    "bundled": "Bundle made",
    "erasing_started": "Began to erase",
    "erased": "A round of erasing is through",
    "found_again": "Found new data, erasing again",
    "nothing_left": "Nothing is left",
    "checking_again": "Reads again, now that the copies have caught up",
    "checked_again": "Nothing is left in the copies either",
    "time_is_over": "What was kept by law may go now",
    "supplement_due": "The last copy has ended: a supplement is due",
    "supplemented": "Supplement to the certificate issued",
    "certified": "Certificate issued",
    "overtaken": "Overtaken by another case of the person",
    "needs_attention": "Stopped for a person",
    "visits_put_back": "Stores to be asked again",
    "map_updated": "Goes on with a newer data map",
    "restarted": "Workflow restarted",
    "key_destroyed": "Personal content destroyed",
    "judged": "Decided",
    "sign_in_asked_again": "Another sign-in asked for",
    "reviewed": "Decided on what may be about others",
    "reminder_due": "Reminder of the copy is due",
    "review_done": "All of it is decided",
    "retried": "Retried",
    "approved": "Approved",
    "refused": "Refused",
    "held": "Hold placed",
    "hold_lifted": "Hold lifted",
    "expired": "Not confirmed in time",
    "closed": "Closed",
    "copy_removed": "Copy removed; what was missing may still come",
    "supplement_begun": "Adds what has come since the copy",
    "nothing_added": "Nothing to add to the copy",
    "late_given_up": "What was missing in the copy has not come",
    "withdrawn": "Withdrawn by the requester",
    "cancelled": "Cancelled by the link in its mail",
    "downloaded": "Downloaded",
    "looked_at": "Personal content looked at",
}

# What a page says after a button was pressed.
DONE = {
    "retry": "The case goes on from where it stopped.",
    "judge": "Your decision is recorded, and the case goes on.",
    "leave-out": "The case goes on without this store. The answer will say what is missing.",
    "review": "All is decided: the copy is made.",
    "review-part": "Your decisions are recorded. The copy waits for the rest.",
    "sign-in-again": "The sign-in is forgotten. Tell the requester that their page asks for another.",
    "wait": "The case goes on waiting for their answer.",
    "handed-in": "The file is handed in. Close the task when all is there.",
    "task": "The task is closed, and the case goes on.",
    "join-accounts": "Both accounts count as this person’s, and the case goes on.",
    "approve": "Approved: the case goes on.",
    "dry-run": "The dry run has begun. This is its own case; its plan is here once all stores have answered.",
    "hold": "The hold is placed. A batch of records that is being deleted at this moment may still end.",
    "lift": "The hold is lifted. What it stopped goes on within a quarter of an hour.",
    "refuse": "Refused: the requester is told the reason and their remedies.",
}
ERRORS = {
    "changed": "Nothing was done: the case has changed since you opened its page. This is how it stands now.",
    "task": "Nothing was done: this task is closed, or nobody waits for its answer any more.",
    "refused": "Nothing was done: this is not possible for this case.",
    "reason": "Choose a reason.",
    "review": "Nothing was done: choose redact or disclose at one place at least.",
    "hold_scope": "Choose what is held: this case, or everything about this person.",
    "never_held": "The data map says that these records are never held (may_be_held); have it changed first.",
    "hold_path": "Choose the collection that is held.",
    "hold_reason": "Choose why it is held.",
    "hold_ends": "Choose how long it is held.",
    "hold_day": "Give a day that is still to come, such as 2027-03-31.",
    "hold_file": "A file number has letters, digits, spaces and . / - _ only, 40 at most.",
    "hold_over": "Nothing was done: this hold is over already.",
}
