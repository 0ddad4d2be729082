"""What an access request must hold, by the rules of the data map and from all records.

A second reading of the map beside the product's own, kept small so that it can be checked by eye; a unit test
compares the tables below with `datamap.yaml`.
"""

import string
from collections.abc import Collection as Group
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from infra.craftzone.holdings import (
    ARTWORKS,
    COLLECTIONS,
    CONNECTIONS,
    CONSENTS,
    DISCLOSURES,
    ENTRIES,
    MEMBERS,
    MESSAGES,
    ORIGINALS,
    PARCELS,
    PERMISSIONS,
    PICTURES,
    RECENT,
    REWARDS,
    SCREENING,
    SIGN_INS,
    SUBSCRIPTIONS,
    TICKETS,
    VISITS,
    Collection,
    Record,
    Records,
)


@dataclass(frozen=True)
class Identity:
    """An address that records are matched by: was it confirmed, when noted, for how many years valid."""

    address: str
    verified: bool
    recorded: str | None = None
    years: int | None = None


IDENTITIES: Mapping[Collection, Identity] = {
    MEMBERS: Identity("email_lower", verified=True),
    ENTRIES: Identity("email", verified=False, recorded="entered_at"),
    TICKETS: Identity("opened_by", verified=True, recorded="opened_at", years=1),
    MESSAGES: Identity("author_email", verified=True, recorded="written_at", years=1),
}
SECOND_POINTS: Mapping[Collection, Mapping[str, str]] = {
    ENTRIES: {"name": "name", "contact_number": "phone", "contract_number": "reference"},
    TICKETS: {"opened_phone": "phone"},
    MESSAGES: {"author_phone": "phone"},
}
# Child, its field, parent, the parent's field; each parent stands before its children.
REFERENCES: tuple[tuple[Collection, str, Collection, str], ...] = (
    (CONSENTS, "member_id", MEMBERS, "member_id"),
    (PERMISSIONS, "member_id", MEMBERS, "member_id"),
    (SCREENING, "member_id", MEMBERS, "member_id"),
    (DISCLOSURES, "member_id", MEMBERS, "member_id"),
    (SIGN_INS, "sub", MEMBERS, "sign_in_sub"),
    (PICTURES, "member_id", MEMBERS, "member_id"),
    (ENTRIES, "member_id", MEMBERS, "member_id"),
    (VISITS, "member_id", MEMBERS, "member_id"),
    (CONNECTIONS, "member_id", MEMBERS, "member_id"),
    (RECENT, "member_id", MEMBERS, "member_id"),
    (ARTWORKS, "entry_id", ENTRIES, "entry_id"),
    (REWARDS, "entry_id", ENTRIES, "entry_id"),
    (ORIGINALS, "object_key", ARTWORKS, "object_key"),
    (SUBSCRIPTIONS, "subscriber", MEMBERS, "mailing_id"),
    (PARCELS, "tracking_number", REWARDS, "tracking_number"),
)
WITHHELD: Mapping[Collection, tuple[tuple[str, str], ...]] = {MEMBERS: (("federated", "refresh_token"),)}


@dataclass
class Findings:
    """Records that are soundly the person's, and records about which someone must decide first."""

    sound: Records = field(default_factory=dict)
    doubtful: Records = field(default_factory=dict)


def findings(
    records: Mapping[Collection, Iterable[Record]],
    addresses: Group[str],
    typed: Mapping[str, str],
    now: datetime,
) -> Findings:
    """The answer to a requester who proved all `addresses`, and the sign-in of each account they lead to.

    `records` must hold every record that can match, and may hold others. `typed` has the second points that
    the requester gave, by kind: name, phone or reference. Records come back as they are disclosed.
    """
    proven = {folded(address) for address in addresses}
    sound: Records = {collection: [] for collection in COLLECTIONS}
    doubtful: Records = {collection: [] for collection in COLLECTIONS}
    since: dict[str, datetime] = {}
    for member in records.get(MEMBERS, ()):
        if member["email_lower"] in proven:
            sound[MEMBERS].append(member)
            since[member["email_lower"]] = datetime.fromisoformat(member["email_verified_at"])

    for child, own, parent, theirs in REFERENCES:
        if parent == MEMBERS:
            sound[child] += _referring(records, child, own, sound[parent], theirs)
    for collection in (ENTRIES, TICKETS, MESSAGES):
        identity = IDENTITIES[collection]
        for record in records.get(collection, ()):
            address = folded(record[identity.address] or "")
            if address in proven and record not in sound[collection]:
                trusted = _trusted(identity, record, since.get(address), now)
                (sound if trusted else doubtful)[collection].append(record)
    _settle_by_second_points(sound, doubtful, typed)

    for child, own, parent, theirs in REFERENCES:
        if parent != MEMBERS:
            sound[child] += _referring(records, child, own, sound[parent], theirs)
            doubtful[child] += [
                record
                for record in _referring(records, child, own, doubtful[parent], theirs)
                if record not in sound[child]
            ]
    return Findings(_disclosed(sound), _disclosed(doubtful))


def _referring(
    records: Mapping[Collection, Iterable[Record]],
    child: Collection,
    own: str,
    parents: list[Record],
    theirs: str,
) -> list[Record]:
    wanted = {parent.get(theirs) for parent in parents} - {None}
    return [record for record in records.get(child, ()) if record[own] in wanted] if wanted else []


def _trusted(identity: Identity, record: Record, since: datetime | None, now: datetime) -> bool:
    if not identity.verified or identity.recorded is None or identity.years is None:
        return False
    recorded: datetime = record[identity.recorded]
    # Once it is known since when the person holds the address, what is older is somebody else's.
    return recorded >= since if since is not None else years_later(recorded, identity.years) >= now


def folded(address: str) -> str:
    """The address with A to Z in lower case. To fold other letters could take two mailboxes for one."""
    return address.translate(_A_TO_Z)


_A_TO_Z = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def years_later(moment: datetime, years: int) -> datetime:
    """The same day and hour `years` later; the 28th for a 29th of February that does not exist."""
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:
        return moment.replace(year=moment.year + years, day=28)


def _points(collection: Collection, record: Record) -> set[tuple[str, str]]:
    return {
        (kind, _plain(kind, record[name]))
        for name, kind in SECOND_POINTS.get(collection, {}).items()
        if record[name] is not None
    }


def _plain(kind: str, value: str) -> str:
    if kind == "phone":
        return "".join(character for character in value if character.isdigit())
    return " ".join(value.split()).casefold()


def _settle_by_second_points(sound: Records, doubtful: Records, typed: Mapping[str, str]) -> None:
    # A record that turns sound may settle the next one, so this goes on until nothing changes: the result
    # must not depend on the records' order.
    known = {(kind, _plain(kind, value)) for kind, value in typed.items()}
    for collection in SECOND_POINTS:
        for record in sound[collection]:
            known |= _points(collection, record)
    settled = True
    while settled:
        settled = False
        for collection in SECOND_POINTS:
            for record in [held for held in doubtful[collection] if _points(collection, held) & known]:
                doubtful[collection].remove(record)
                sound[collection].append(record)
                known |= _points(collection, record)
                settled = True


def _disclosed(records: Records) -> Records:
    return {
        collection: [_without(record, WITHHELD.get(collection, ())) for record in held]
        for collection, held in records.items()
        if held
    }


def _without(record: Record, withheld: Iterable[tuple[str, str]]) -> Record:
    shown = dict(record)
    for outer, inner in withheld:
        if outer in shown:
            shown[outer] = {name: value for name, value in shown[outer].items() if name != inner}
    return shown
