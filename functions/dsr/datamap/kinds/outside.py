"""Recipients in the data map: others who hold the company's data, and are asked instead of searched."""

from typing import Any, Literal

from pydantic import Field as Described

from dsr.datamap.parts import Duration, MapStore, Strict


class Recipient(Strict):
    """Who received the data, as the person reads it."""

    name: str = Described(description="as the person reads it, in the notice and on the certificate")
    role: Literal["processor", "controller"] = Described(
        description="processor: holds the data for you, and is asked again whether all is gone; controller: "
        "answers for it themselves, and is told of an erasure (GDPR Art. 19)"
    )
    answer_within: Duration = Described(description="after which the case asks for a person, such as P7D")


class ToldStore(MapStore):
    """A store that somebody else keeps."""

    recipient: Recipient

    @property
    def told(self) -> dict[str, Any]:
        """Who is told."""
        return self.recipient.model_dump()
