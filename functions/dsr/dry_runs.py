"""A dry run: the deletion of a person as far as its plan, and no further."""

from typing import Any

from dsr.case import Case, Requester
from dsr.opening import Opening
from dsr.workflow import start


def dry_run(
    opening: Opening, workflow: str, seed: str, requester: Requester, actor: str, of: Case | None = None
) -> Case:
    """Open a dry run and start it; `workflow` is the ARN of the state machine of cases.

    `of`: a case of theirs, whose proofs and decisions it goes by; without one the locators of `requester`
    say who it is. Nothing is frozen, told or erased, and nobody hears of it: it ends with the plan.
    """
    like: dict[str, Any] = {}
    if of is not None:
        # A deletion leaves no store out.
        judged = {key: said for key, said in of.decisions.items() if not key.startswith("visit:")}
        like = {"contacts": of.contacts, "decisions": judged}
    case = opening.open(f"dry-run|{seed}", requester, "desk", actor, dry_run=True, **like)
    start(case, workflow)
    return case


def may_dry_run(case: Case) -> bool:
    """Whether it is settled who the case is about, and still known. Pure."""
    proven = case.mailbox_proven or case.approved
    return proven and not case.key_destroyed and not case.dry_run
