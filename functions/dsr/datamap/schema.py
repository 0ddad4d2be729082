"""The schema of a whole data map, the kinds of stores included."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field as Described

from dsr.datamap.kinds import KINDS
from dsr.datamap.parts import (
    Controller,
    MapCollection,
    MapStore,
    Name,
    NoticeTexts,
    RequiresByRight,
    SharedWith,
    Strict,
)

__all__ = ["KINDS", "DataMap", "MapCollection", "Strict"]

if TYPE_CHECKING:
    AnyStore = MapStore
else:
    # Told apart by `kind`, so that only the words of that kind are asked for.
    AnyStore = Annotated[
        reduce(or_, [kind.model for kind in KINDS.values()]), Described(discriminator="kind")
    ]


class DataMap(Strict):
    """A whole data map."""

    version: Literal[1]
    controller: Controller
    purposes: dict[Name, str]
    sources: dict[Name, str] = Described(
        default_factory=dict,
        description="from whom else data comes, a sentence that people read (GDPR Art. 15(1)(g))",
    )
    recipients: dict[Name, SharedWith] = Described(
        default_factory=dict, description="who else receives data; whoever is asked too is a store"
    )
    requires: RequiresByRight = RequiresByRight()
    notice: NoticeTexts = NoticeTexts()
    stores: dict[Name, AnyStore] = Described(min_length=1)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of data maps, for editors."""
    return DataMap.model_json_schema(by_alias=True)
