"""Cases of one person find each other: by a keyed hash of who it is about, never by a plain identifier.

One deletion of a person at a time: the second joins the first. A deletion waits until the copies
that the same person asked for are handed over, unless they say that they do not want to wait.
"""

import base64
import hmac
from collections.abc import Iterable

from dsr.aws import client
from dsr.case import Case, Right, State
from dsr.casebook import Casebook
from dsr.items import from_item, to_item
from dsr.staging import Staging
from dsr.working_key import working_key

# From here on a deletion cannot be taken back, and whoever asks for a copy asks too late.
_ERASING = (State.ERASING, State.CONFIRMING, State.CERTIFYING)
_BEFORE_HANDED_OVER = (State.VERIFIED, State.GATHERING, State.BUNDLING, State.READY, State.NEEDS_ATTENTION)


def subject_of(accounts: Iterable[str], contact: str, mac_key: str) -> str:
    """The keyed hash of the person: of their account, or of their address if they have none."""
    ids = sorted(accounts)
    message = f"account|{ids[0]}" if ids else f"contact|{contact.lower()}"
    mac = hmac.digest(working_key(mac_key, "subject"), message.encode(), "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


class Subjects:
    """Who else has a case about the same person. Kept beside the cases, one partition per subject."""

    def __init__(self, book: Casebook) -> None:
        self._book = book

    def register(self, subject: str, case: Case) -> None:
        """Note that the case is about the subject."""
        item = {"case_id": f"subject#{subject}", "part": f"{case.right.value}#{case.case_id}"}
        client("dynamodb").put_item(TableName=self._book.cases, Item=to_item(item))

    def claim_deletion(self, subject: str, case_id: str) -> str:
        """Make this case the one deletion of the subject; returns which case is it: this or an earlier one.

        An earlier one that has ended gives way. Of two at the same instant exactly one wins.
        """
        dynamodb = client("dynamodb")
        held = "attribute_not_exists(holder) OR holder = :me"
        holder = ""
        while True:
            known = {":me": case_id, ":old": holder} if holder else {":me": case_id}
            try:
                dynamodb.put_item(
                    TableName=self._book.cases,
                    Item=to_item({"case_id": f"subject#{subject}", "part": "deletion", "holder": case_id}),
                    ConditionExpression=f"{held} OR holder = :old" if holder else held,
                    ExpressionAttributeValues=to_item(known),
                )
                return case_id
            except dynamodb.exceptions.ConditionalCheckFailedException:
                found = self._holder(subject)
                if found and _goes_on(self._book.get(found)):
                    return found
                if found == holder:
                    continue  # it changed hands in between: look again
                holder = found

    def erasing(self, subject: str) -> str:
        """The deletion of the subject that has begun to erase, or an empty text."""
        holder = self._holder(subject)
        return holder if holder and _erases(self._book.get(holder)) else ""

    def overtaking(self, access: Case) -> str:
        """The deletion that makes a copy of the same person a partial one, or an empty text.

        It erases, or has erased since records were first looked for: what was gathered beside it is no
        whole copy of anything, and what was gathered before is not to be handed over after it.
        """
        holder = self._holder(access.subject) if access.subject else ""
        if not holder:
            return ""
        deletion = self._book.get(holder)
        if _erases(deletion):
            return holder
        if deletion.erased_at is None or deletion.erased_at < access.received_at:
            return ""
        looked = [e.at for e in self._book.events(access.case_id) if e.now is State.RESOLVING]
        return holder if looked and deletion.erased_at >= min(looked) else ""

    def access_cases(self, subject: str) -> list[Case]:
        """The access cases about the subject."""
        prefix = f"{Right.ACCESS.value}#"
        parts = self._book.parts(f"subject#{subject}", prefix)
        return [self._book.get(item["part"].removeprefix(prefix)) for item in parts]

    def unfinished_access(self, subject: str) -> list[Case]:
        """Those of them whose copy is not handed over yet."""
        return [case for case in self.access_cases(subject) if case.state in _BEFORE_HANDED_OVER]

    def _holder(self, subject: str) -> str:
        answer = client("dynamodb").get_item(
            TableName=self._book.cases,
            Key=to_item({"case_id": f"subject#{subject}", "part": "deletion"}),
            ConsistentRead=True,
        )
        return str(from_item(answer["Item"])["holder"]) if "Item" in answer else ""


def overtaken(book: Casebook, access: Case, deletion: str, staging: Staging) -> Case:
    """Close a copy that a deletion of the same person made a partial one; nothing of it stays."""
    moved = book.move(
        access, State.CLOSED, "overtaken", "workflow", {"joined": deletion},
        joined=deletion, outcome="joined", attention=(), resume=None, late={}, adding=(), tasks=(),
    )  # fmt: skip
    staging.remove("")
    return moved


def _erases(case: Case) -> bool:
    """Whether the deletion is erasing, or stopped for a person while it did."""
    return (case.state in _ERASING or case.resume in _ERASING) and _goes_on(case)


def _goes_on(case: Case) -> bool:
    """Whether the deletion is still to be answered. One that is certified only looks after what it erased:
    what the person brought since is another request's."""
    return not case.ended and not case.certificate
