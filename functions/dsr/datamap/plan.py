"""The compiled data map as the functions load it: plain frozen classes, from JSON, in milliseconds."""

import json
from collections.abc import Container
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

from dsr.aws import Access
from dsr.treatments import Masking, Masks, Treatment


@dataclass(frozen=True)
class Identity:
    """A field that can hold a proven identity, and how far a match on it may be trusted.

    `kind`: email, phone or sign_in (the subject of who signed in). `verified`: the company proved it when
    collecting it. `since`: the field with the time from which this person has held it. `recorded`: the
    field with the time the value was written down; `valid_days`: how long after that it is taken to be
    the same holder's.
    """

    kind: str
    normalise: str = ""
    verified: bool = False
    since: str = ""
    recorded: str = ""
    valid_days: int = 0


@dataclass(frozen=True)
class Way:
    """One way to find records of a collection: `field` equals a proven identity, or a value of `parent`.

    `since`: the field of the parent's record with the time before which nothing here is of that record.
    """

    field: str
    identity: Identity | None = None
    parent: str = ""  # store.collection.field
    own: bool = False  # accounts by their own key, told by the site or known from a round before
    late: bool = False  # closes a circle: its values are known when all else is read, and followed then
    since: str = ""

    @property
    def leads_from(self) -> str:
        """The collection (store.collection) whose values are looked for; "" for an identity."""
        return ".".join(self.parent.split(".", 2)[:2])


@dataclass(frozen=True)
class Field:
    """A field: what it is, why it is held, whether it may be disclosed."""

    category: str
    purpose: str
    disclose: str = (
        ""  # yes, review, never; "": not said, which is yes but in records that several people share
    )
    reason: str = ""
    provided: bool = False
    second_point: str = ""
    proves: str = ""
    free_text: bool | None = None
    source: str = ""  # a word of the plan's `sources`
    revoke: str = ""  # of a token: the address where it is revoked

    @property
    def is_text(self) -> bool:
        """Whether people write in it what they like, so that it may hold others' addresses and names."""
        return self.category.startswith("user.content") if self.free_text is None else self.free_text


@dataclass(frozen=True)
class Collection:
    """A table, bucket prefix or pool: its fields, how its records are found, what deletion does with them."""

    store: str
    name: str
    title: str
    key: tuple[str, ...]
    ways: tuple[Way, ...]
    fields: dict[str, Field]
    feeds: tuple[str, ...] = ()  # fields whose values find records elsewhere
    starts: tuple[str, ...] = ()  # fields that say since when: `since` of the ways that lead from here
    account: str = ""
    born: str = ""
    freeze: bool = False
    restrict: dict[str, dict[str, str]] = field(default_factory=dict)  # set, lift: field → value
    subjects: str = "one"
    basis: str = ""
    retention: dict[str, Any] = field(default_factory=dict)
    on_deletion: dict[str, Any] = field(default_factory=dict)
    copies: tuple[dict[str, Any], ...] = ()
    recipients: tuple[str, ...] = ()  # these three as the person reads them
    source: str = ""
    automated: str = ""
    may_be_held: bool = True
    expires_by: str = ""
    options: dict[str, Any] = field(default_factory=dict)  # of the kind: table, indexes, key_template …

    @property
    def path(self) -> str:
        """`store.collection`, its name in the whole map."""
        return f"{self.store}.{self.name}"

    @property
    def parents(self) -> set[str]:
        """The collections (paths) that are read before this one, since their values find records here."""
        return {w.leads_from for w in self.ways if w.parent and not w.own and not w.late} - {self.path}

    def loops(self, way: Way) -> bool:
        """Whether the way leads from the collection's own records, such as a ticket that follows another."""
        return way.leads_from == self.path and not way.own

    @property
    def descends(self) -> bool:
        """Whether a record names the one it follows, as an answer its question: later finds go first."""
        return any(self.loops(w) and w.field not in self.key for w in self.ways)

    @cached_property  # asked for every record
    def masks(self) -> Masks:
        """Of records that stay though their person goes: by field what becomes of it; not yet with a key."""
        said = self.on_deletion.get("mask") or self.on_deletion.get("detach") or {}
        return {name: Treatment(Masking.of(how)) for name, how in said.items()}

    @property
    def kept(self) -> bool:
        """Whether deletion leaves the records as they are, for a legal reason."""
        return "keep" in self.on_deletion

    @property
    def expires(self) -> bool:
        """Whether the retention sweep can take expired records out."""
        return "expiry" in self.options

    @property
    def guards(self) -> tuple[str, ...]:
        """The fields that say whose a record is and are no part of its key: they may change meanwhile.

        An account stays its holder's, whatever address it is given.
        """
        if self.account:
            return ()
        return tuple(dict.fromkeys(w.field for w in self.ways if w.field not in self.key))

    @property
    def locating(self) -> tuple[str, ...]:
        """The fields that erasing needs of a record: to find, judge, follow and date it."""
        named = [*self.key, *(w.field for w in self.ways), *self.feeds, *self.starts]
        for way in self.ways:
            if way.identity:
                named += [way.identity.since, way.identity.recorded]
        named += [name for name, f in self.fields.items() if f.second_point or f.proves]
        named += [self.account, self.born, *self.masks, *self.revokes]
        named.append(self.on_deletion.get("until", {}).get("from", ""))
        return tuple(dict.fromkeys(name for name in named if name))

    @property
    def revokes(self) -> dict[str, str]:
        """The fields with tokens that are revoked when deletion begins, and where."""
        return {name: f.revoke for name, f in self.fields.items() if f.revoke}

    @cached_property  # asked for every record
    def never(self) -> dict[str, str]:
        """The fields that may not be disclosed, with the reason."""
        return {name: f.reason for name, f in self.fields.items() if f.disclose == "never"}


@dataclass(frozen=True)
class Store:
    """A store: its kind (which worker), the access role of its owner, how to reach it."""

    name: str
    kind: str
    role: str
    connection: dict[str, Any]
    external_id: str = ""
    recipient: dict[str, Any] = field(default_factory=dict)  # name, role, answer_within; instructions

    @property
    def access(self) -> Access:
        """The role to assume for this store."""
        return Access(self.role, self.external_id, self.connection["region"])


@dataclass(frozen=True)
class VisitPlan:
    """The collections of one store that can be read once all waves before are through."""

    visit: str
    wave: int
    store: str
    kind: str
    collections: tuple[str, ...]  # names, parents before children
    resolves: bool = False  # needed to tell who the person is, before anything else is read


@dataclass(frozen=True)
class Plan:
    """The whole compiled map."""

    version: str
    controller: dict[str, str]
    purposes: dict[str, str]
    requires: dict[str, dict[str, str]]
    stores: dict[str, Store]
    collections: dict[str, Collection]  # by path
    visits: tuple[VisitPlan, ...]
    sources: dict[str, str] = field(default_factory=dict)
    recipients: dict[str, dict[str, Any]] = field(default_factory=dict)  # name, role, country, safeguard …
    notice: dict[str, Any] = field(default_factory=dict)

    def visit(self, visit: str) -> VisitPlan:
        """The visit of that id. Raises KeyError."""
        return next(v for v in self.visits if v.visit == visit)

    def visit_of(self, path: str) -> VisitPlan:
        """The visit that reads the collection `path` (store.collection). Raises KeyError."""
        return {f"{v.store}.{name}": v for v in self.visits for name in v.collections}[path]

    def hanging_on(self, path: str) -> list[str]:
        """The collection `path` and those of its store whose records hang on its records: they go first."""
        store, found = self.collections[path].store, [path]
        for above in found:  # grows while it is walked
            found += [
                c.path
                for c in self.collections.values()
                if c.store == store and above in c.parents and c.path not in found
            ]
        return found

    def from_visit(self, path: str) -> list[VisitPlan]:
        """The visit that reads the collection `path`, then those that may follow from what it finds."""
        first = self.visit_of(path)
        order = (not first.resolves, first.wave)
        later = [v for v in self.visits if v.wave >= first.wave and (not v.resolves, v.wave) > order]
        return [first, *later]

    def collections_of(self, visit: VisitPlan) -> list[Collection]:
        """The collections of a visit, parents before children."""
        return [self.collections[f"{visit.store}.{name}"] for name in visit.collections]

    def only(self, visits: Container[str]) -> "Plan":
        """The plan of these visits alone, by their ids."""
        kept = tuple(v for v in self.visits if v.visit in visits)
        held = {c.path: c for v in kept for c in self.collections_of(v)}
        return replace(self, visits=kept, collections=held)

    def waves(self, visits: list[VisitPlan]) -> list[list[VisitPlan]]:
        """`visits` grouped by wave, in order."""
        numbers = sorted({v.wave for v in visits})
        return [[v for v in visits if v.wave == number] for number in numbers]


def to_json(plan: Plan) -> str:
    """The plan as it ships."""
    return json.dumps(asdict(plan), ensure_ascii=False, sort_keys=True, indent=1)


def from_json(text: str | bytes) -> Plan:
    """The plan from its shipped form."""
    raw = json.loads(text)
    collections = {}
    for path, c in raw["collections"].items():
        ways = tuple(
            Way(**{**w, "identity": Identity(**w["identity"]) if w["identity"] else None}) for w in c["ways"]
        )
        fields = {name: Field(**f) for name, f in c["fields"].items()}
        tuples = {name: tuple(c.get(name, ())) for name in ("key", "feeds", "starts", "copies", "recipients")}
        collections[path] = Collection(**{**c, **tuples, "ways": ways, "fields": fields})
    return Plan(
        raw["version"],
        raw["controller"],
        raw["purposes"],
        raw["requires"],
        {name: Store(**s) for name, s in raw["stores"].items()},
        collections,
        tuple(VisitPlan(**{**v, "collections": tuple(v["collections"])}) for v in raw["visits"]),
        **{word: raw.get(word, {}) for word in ("sources", "recipients", "notice")},
    )


@lru_cache(maxsize=1)
def load() -> Plan:
    """The plan shipped with this deployment (the layer `plan`)."""
    return from_json(resources.files("dsr_plan").joinpath("plan.json").read_bytes())
