"""Of what has expired, what stays since its person is held: a sweep knows records, not cases.

A record that names its person's account, or an address, is told by the same keyed hash that the hold is on.
Where a record names its person only through another record, nobody can tell whose it is without following
that: while anybody is held, such a collection stays as a whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dsr.datamap.plan import Collection, Plan
from dsr.records import each_at
from dsr.retention import READS
from dsr.stores.base import Record

Person = Callable[[bool, str], str]


@dataclass(frozen=True)
class Owner:
    """A field that names the person: by the id of an account, or by an address."""

    field: str
    is_account: bool


def owners_of(plan: Plan, collection: Collection) -> tuple[Owner, ...]:
    """The fields that name whose a record is; none where one of the ways to it does not tell, or where the
    sweep cannot read them. Pure."""
    accounts = {f"{c.path}.{c.account}" for c in plan.collections.values() if c.account}
    owners = {Owner(collection.account, True)} if collection.account else set()
    for way in collection.ways:
        if way.parent in accounts:
            owners.add(Owner(way.field, True))
        elif way.identity and way.identity.kind == "email":
            owners.add(Owner(way.field, False))
        elif not collection.account:
            return ()
    kind = plan.stores[collection.store].kind
    # An index by day of a table holds its key; a file of a lake holds many people's records.
    readable = kind == "sql" or (kind == "dynamodb" and {o.field for o in owners} <= set(collection.key))
    return tuple(sorted(owners, key=lambda o: o.field)) if readable else ()


def reading(collection: Collection, owners: Iterable[Owner]) -> Collection:
    """The collection as a sweep reads it, these fields included."""
    return replace(collection, options={**collection.options, READS: [o.field for o in owners]})


def spare(
    owners: Sequence[Owner], held: Callable[[], frozenset[str]], person: Person
) -> Callable[[Sequence[Record]], list[Record]]:
    """A filter that leaves out the records of people who are held at the moment it is asked.

    `held` gives their keyed hashes, `person` that of an account's id (True) or of an address. A record that
    names nobody may be anybody's: it stays as well.
    """

    def hashes(record: Record) -> Iterator[str]:
        for owner in owners:
            for value in each_at(record.values, owner.field):
                if value != "":
                    yield person(owner.is_account, str(value))

    def allowed(records: Sequence[Record]) -> list[Record]:
        people = held() if records else frozenset()
        if not people:
            return list(records)
        named = [(record, set(hashes(record))) for record in records]
        return [record for record, whose in named if whose and not whose & people]

    return allowed
