"""Opening a case that nobody filled in a form for: at the site's word, at a clock's, at the desk."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from dsr import casekey, clock
from dsr.case import Case, Proof, Requester, Right, State, new_case_id
from dsr.casebook import Casebook, now, seal_requester
from dsr.workflow import start


@dataclass(frozen=True)
class Opening:
    """What cases are opened with. `case_key` is the KMS key of case keys, `workflow` the state machine's
    ARN, `map_version` of the map in force; "" where that is not known, and found out by the workflow."""

    book: Casebook
    case_key: str
    workflow: str
    map_version: str = ""

    def open(
        self, seed: str, requester: Requester, channel: str, actor: str = "requester", **fields: Any
    ) -> Case:
        """Open a deletion case and start it. `seed` names it: the same one twice is one case.

        It is about whom `requester` says, without further proof: whoever calls this has it. `fields`: of
        the case, that are other than so.
        """
        case = self.made(seed, requester, channel, **fields)
        self.book.open(case, channel, actor)
        case = self.book.get(case.case_id)
        start(case, self.workflow)
        return case

    def made(self, seed: str, requester: Requester, channel: str, **fields: Any) -> Case:
        """The case, stored nowhere yet; its key is."""
        case_id = new_case_id(hashlib.sha256(seed.encode()).digest()[:10])
        recipient = casekey.create(case_id, self.book.keys, self.case_key)
        regimes = clock.regimes_for(requester.country)
        at = now()
        case = Case(
            case_id=case_id,
            right=Right.DELETION,
            state=State.RESOLVING,
            version=1,
            received_at=at,
            due_at=clock.deadline(at, regimes),
            updated_at=at,
            regimes=regimes,
            map_version=self.map_version,
            recipient=recipient,
            sealed=seal_requester(recipient, requester),
            contacts=(Proof.CONFIRMED,) * len(requester.contacts),
            approved=True,
            channel=channel,
        )
        return replace(case, **fields)


def dry_run(opening: Opening, seed: str, requester: Requester, actor: str, of: Case | None = None) -> Case:
    """Open a dry run: the deletion of a person, as far as its plan.

    `of`: a case of theirs, whose proofs and decisions it goes by; without one the locators of `requester`
    say who it is. Nothing is frozen, told or erased, and nobody hears of it: it ends with the plan.
    """
    like: dict[str, Any] = {}
    if of is not None:
        # A deletion leaves no store out.
        judged = {key: said for key, said in of.decisions.items() if not key.startswith("visit:")}
        like = {"contacts": of.contacts, "decisions": judged}
    return opening.open(f"dry-run|{seed}", requester, "desk", actor, dry_run=True, **like)


def may_dry_run(case: Case) -> bool:
    """Whether it is settled who the case is about, and still known. Pure."""
    proven = case.mailbox_proven or case.approved
    return proven and not case.key_destroyed and not case.dry_run
