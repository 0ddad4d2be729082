"""Manual tasks in the data map: an agent of the desk asks whoever holds the data, docs/stores/manual.md."""

from typing import Literal

from pydantic import Field as Described

from dsr.datamap.kinds.base import Kind
from dsr.datamap.kinds.outside import ToldStore
from dsr.datamap.parts import MapCollection, Name, Strict


class NoConnection(Strict):
    """There is nothing to connect to."""


class ManualStore(ToldStore):
    """What a person looks up, and has erased, by hand."""

    kind: Literal["manual"]
    connection: NoConnection = NoConnection()
    instructions: str = Described(description="for the agent: whom to ask, how, and what to hand in")
    collections: dict[Name, MapCollection] = Described(min_length=1)

    @property
    def told(self) -> dict[str, str]:
        """Who is told, and how the agent goes about it."""
        return {**self.recipient.model_dump(), "instructions": self.instructions}


KIND = Kind(ManualStore, asks=True)
