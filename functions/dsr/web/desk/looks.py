"""Who of the desk has looked at whose data: kept with the case, once per person and hour.

    look#<hour>#<subject id>    at: the first look of that hour

Beside the events and not among them: an event is a move, on whose number workers and open pages
depend, and the day a case's key is destroyed counts from the last one. A look must put off neither.
"""

from dataclasses import dataclass
from datetime import datetime

from dsr.aws import client
from dsr.casebook import Casebook
from dsr.items import to_item


@dataclass(frozen=True)
class Look:
    """One line: who looked, and when first in that hour (UTC)."""

    at: datetime
    agent: str


@dataclass(frozen=True)
class Looks:
    """The looks at the cases of `book`."""

    book: Casebook

    def note(self, case_id: str, agent: str, at: datetime) -> None:
        """Keep that `agent` looks at the case. Comes before what it lets them see."""
        dynamodb = client("dynamodb")
        item = {"case_id": case_id, "part": f"look#{at:%Y-%m-%dT%H}#{agent}", "at": at.isoformat()}
        try:
            dynamodb.put_item(
                TableName=self.book.cases,
                Item=to_item(item),
                ConditionExpression="attribute_not_exists(part)",
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return  # they have looked in this hour already

    def of(self, case_id: str) -> list[Look]:
        """Every look at the case, in order."""
        return [
            Look(datetime.fromisoformat(item["at"]), item["part"].split("#", 2)[2])
            for item in self.book.parts(case_id, "look#")
        ]
