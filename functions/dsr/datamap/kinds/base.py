"""What a kind of store brings to the data map. Build time only: none of this ships in a function's way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dsr.datamap.parts import MapCollection, MapStore
from dsr.datamap.plan import Collection, Store
from dsr.datamap.source import At, Problems, suggest

Statement = dict[str, Any]

# Every treatment of a field, for kinds whose store can put any value in the place of another.
ALL_MASKS = frozenset({"null", "redacted", "constant", "keyed_hash", "truncate", "generalise"})


def nothing_more(_: MapCollection, __: Problems) -> None:
    """For kinds whose schema says all there is to check."""


def needs_field(collection: MapCollection, problems: Problems, at: At, name: str) -> None:
    """What is said at `at` must be a field of the collection."""
    if name not in collection.fields:
        problems.add(at, f"no field `{name}` in this collection{suggest(name, collection.fields)}")


def no_access(_: Store, __: list[Collection]) -> list[Statement]:
    """For kinds that need no role of an owner."""
    return []


@dataclass(frozen=True)
class Kind:
    """One kind of store: its part of the schema, what to check beyond it, and the access it needs.

    `model`: `kind`, `connection` and `collections` with the words of the kind; what a collection of it
    says beyond every collection's words is compiled to `Collection.options` as it stands.
    `masks`: the treatments of a field that its store can do on deletion; `freezes`: whether it can stop
    records from being used before they go; `revokes`: whether it can have tokens in them revoked;
    `restricts`: whether it can set fields of theirs meanwhile. `asks`: whoever keeps the records is asked
    about all of them at once, so that none of its collections leads to another, or tells who the person is.
    `suspends`: whether a hold stops the store's own expiry (TTL, lifecycle).
    `workers`: the functions that assume the owner's role, and `statements`: what it must allow them.
    """

    model: type[MapStore]
    masks: frozenset[str] = frozenset()
    freezes: bool = False
    revokes: bool = False
    restricts: bool = False
    asks: bool = False
    suspends: bool = False
    check: Callable[[Any, Problems], None] = nothing_more
    workers: tuple[str, ...] = ()
    statements: Callable[[Store, list[Collection]], list[Statement]] = no_access

    @property
    def name(self) -> str:
        """As `kind` says it."""
        return str(self.model.model_fields["kind"].annotation.__args__[0])  # type: ignore[union-attr]

    def options(self, collection: MapCollection) -> dict[str, Any]:
        """What the collection says in the words of its kind."""
        own = set(type(collection).model_fields) - set(MapCollection.model_fields)
        said = collection.model_dump(mode="json", by_alias=True, exclude_none=True, include=own)
        return {word: value for word, value in said.items() if value not in ({}, [], "", False)}


def allow(actions: list[str], resources: list[Any]) -> Statement:
    """A statement of a policy."""
    return {"Effect": "Allow", "Action": actions, "Resource": resources}
