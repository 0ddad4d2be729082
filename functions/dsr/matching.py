"""Whether a found record is soundly the person's. Pure; the rules of proof, not of likeness.

A record found by a reference from the person's own records is theirs. One found by a proven
identity is theirs if the company had verified that value, and it was recorded while the person
held it. Anything else needs a second matching point, or a person's decision.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from dsr.datamap.plan import Collection, Identity, Way
from dsr.records import at_path


def normalise(value: Any, how: str) -> Any:
    """The form in which an identity is looked up.

    `lower` folds only letters whose capital is just that letter: KELVIN SIGN and DOTTED I stay what
    they are, though many a lower() makes k and i of them, and with that one person of another.
    Raises ValueError for a form that is not known.
    """
    if how == "":
        return value
    if how == "lower":
        return "".join(low if (low := c.lower()).upper() == c else c for c in str(value).strip())
    if how == "e164":
        digits = "".join(c for c in str(value) if c.isascii() and c.isdigit())
        return "+" + digits
    raise ValueError(f"unknown normalisation {how!r}")


@dataclass
class Known:
    """What is known of the person so far: since when they hold each identity, and second matching points."""

    since: dict[str, str] = field(default_factory=dict)  # normalised identity -> ISO time
    points: dict[str, set[str]] = field(default_factory=dict)  # kind -> values

    @staticmethod
    def can_learn(collection: Collection) -> bool:
        """Whether records of the collection tell anything that is compared later."""
        return any(f.second_point for f in collection.fields.values()) or any(
            w.identity and w.identity.since for w in collection.ways
        )

    def learn(self, collection: Collection, record: dict[str, Any]) -> None:
        """Take in what a sound record tells."""
        for kind, said in _points(collection, record):
            self.points.setdefault(kind, set()).add(said)
        for way in collection.ways:
            if way.identity and way.identity.verified and way.identity.since:
                value, since = at_path(record, way.field), as_time(at_path(record, way.identity.since))
                if value and since:
                    self._hold(normalise(value, way.identity.normalise), since.isoformat())

    def _hold(self, identity: str, since: str) -> None:
        # Of two accounts with one address, the later holder's time: what lies before it is doubtful.
        self.since[identity] = max(self.since.get(identity, ""), since)

    def as_json(self) -> dict[str, Any]:
        """All of it, to be kept."""
        return {"since": self.since, "points": {kind: sorted(said) for kind, said in self.points.items()}}

    def add(self, kept: dict[str, Any]) -> None:
        """Take in what `as_json` gave."""
        for identity, since in kept.get("since", {}).items():
            self._hold(identity, since)
        for kind, said in kept.get("points", {}).items():
            self.points.setdefault(kind, set()).update(said)


def point(kind: str, value: Any) -> str:
    """A second matching point as it is compared: of a phone its digits; else case and spaces do not count.

    Empty for a value that says nothing ("-", "n/a" for a phone): such are no point, and equal to none.
    """
    if kind == "phone":
        return "".join(str(int(c)) for c in str(value) if c.isdecimal())
    return " ".join(str(value).split()).casefold()


def _points(collection: Collection, record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, f in collection.fields.items():
        value = at_path(record, name)
        if f.second_point and value is not None and (said := point(f.second_point, value)):
            yield f.second_point, said


def as_time(value: Any) -> datetime | None:
    """A stored time in UTC: ISO 8601 text, a datetime, or seconds since 1970; without zone taken as UTC.

    None for what is no time: nothing follows from it.
    """
    try:
        if isinstance(value, (int, float, Decimal)):
            return datetime.fromtimestamp(float(value), UTC)
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def is_sound(collection: Collection, way: Way, record: dict[str, Any], known: Known, now: datetime) -> bool:
    """Whether the record, found by `way`, is the person's without a person having to look."""
    if way.identity is None or _held(way, way.identity, record, known, now):
        return True
    return has_second_point(collection, record, known)


def came_after(
    collection: Collection, ways: Sequence[Way], record: dict[str, Any], erased_at: datetime
) -> bool | None:
    """Whether a record that was found by an address alone came after its person was erased.

    An account under another id is a new sign-up, if it is not older; what is older came back. None where
    the record does not tell: a person must.
    """
    fields = [collection.retention.get("from", "")]
    for way in ways:
        if way.identity:
            fields += [way.identity.recorded, way.identity.since]
    told = (as_time(at_path(record, name)) for name in fields if name)
    times = [at for at in told if at]
    if collection.account:
        return True if all(at > erased_at for at in times) else None
    if times and all(at > erased_at for at in times):
        return True
    return False if times and all(at <= erased_at for at in times) else None


def has_second_point(collection: Collection, record: dict[str, Any], known: Known) -> bool:
    """Whether a second matching point of the record equals one that is known of the person."""
    return any(said in known.points.get(kind, ()) for kind, said in _points(collection, record))


def _held(way: Way, identity: Identity, record: dict[str, Any], known: Known, now: datetime) -> bool:
    if not identity.verified:
        return False
    if not identity.recorded:
        return True
    at = as_time(at_path(record, identity.recorded))
    if at is None:
        return False
    since = known.since.get(normalise(at_path(record, way.field), identity.normalise))
    if since is not None:
        return at >= datetime.fromisoformat(since)
    return identity.valid_days > 0 and at + timedelta(days=identity.valid_days) >= now
