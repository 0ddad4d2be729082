"""Opening a case: what every new one has, and one that nobody filled in a form for (at the site's word, at a
clock's, at the desk)."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from dsr import casekey, clock
from dsr.case import Case, Proof, Requester, Right, State, new_case_id
from dsr.casebook import Casebook, now, seal_requester


@dataclass(frozen=True)
class Opening:
    """What cases are opened with. `case_key` is the KMS key of case keys, `map_version` of the map in
    force; "" where that is not known, and found out by the workflow."""

    book: Casebook
    case_key: str
    map_version: str = ""

    def open(
        self, seed: str, requester: Requester, channel: str, actor: str = "requester", **fields: Any
    ) -> Case:
        """Open a deletion case. `seed` names it: the same one twice is one case. Starting it is the caller's.

        It is about whom `requester` says, without further proof: whoever calls this has it. `fields`: of
        the case, that are other than so.
        """
        case = self.made(seed, requester, channel, **fields)
        self.book.open(case, channel, actor)
        return self.book.get(case.case_id)

    def made(self, seed: str, requester: Requester, channel: str, **fields: Any) -> Case:
        """The case, stored nowhere yet; its key is."""
        case_id = new_case_id(hashlib.sha256(seed.encode()).digest()[:10])
        case = new_case(
            self.book, self.case_key, case_id, requester,
            right=Right.DELETION, state=State.RESOLVING, map_version=self.map_version,
            contacts=(Proof.CONFIRMED,) * len(requester.contacts), approved=True, channel=channel,
        )  # fmt: skip
        return replace(case, **fields)


def new_case(book: Casebook, case_key: str, case_id: str, requester: Requester, **fields: Any) -> Case:
    """A case that begins now, stored nowhere yet; its key is. `fields`: of the case, that differ for each."""
    recipient = casekey.create(case_id, book.keys, case_key)
    regimes = clock.regimes_for(requester.country)
    at = now()
    return Case(
        case_id=case_id,
        version=1,
        received_at=at,
        due_at=clock.deadline(at, regimes),
        updated_at=at,
        regimes=regimes,
        recipient=recipient,
        sealed=seal_requester(recipient, requester),
        **fields,
    )
