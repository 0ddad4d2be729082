"""What a requester can be reached and found by. Pure."""

from dsr.case import Case, Proof, Requester
from dsr.phones import kind_of


def proven_contacts(case: Case, requester: Requester, kind: str = "") -> list[str]:
    """What the requester has proven, of a kind (email, phone) or all: what was merely typed finds nothing."""
    settled = zip(requester.contacts, case.contacts, strict=True)
    proven = (contact for contact, proof in settled if proof is Proof.CONFIRMED)
    return [contact for contact in proven if kind in ("", kind_of(contact))]
