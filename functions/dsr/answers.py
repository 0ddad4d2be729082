"""Where the answers of recipients are kept until the worker takes them in: pages sealed in staging.

    answerpage#<question>#0001    one page: the name of its sealed part; sent again, the newer counts
    answer#<question>             the whole answer: its parts in order, when and by whom; written once

Nobody here reads what an answer says: to keep one needs the public half of the case's key alone.
"""

import json
import secrets
from dataclasses import dataclass

from dsr import casebook
from dsr.aws import client
from dsr.case import Case
from dsr.casebook import Casebook
from dsr.items import from_item, to_item
from dsr.questions import Name, Said
from dsr.staging import Staging


@dataclass(frozen=True)
class Whole:
    """An answer that has come to its end."""

    parts: list[str]
    at: str
    by: str


@dataclass(frozen=True)
class Answers:
    """The answers to the questions of one case."""

    book: Casebook
    staging: Staging
    case: Case

    def folder(self, name: Name) -> str:
        """Where the parts of an answer lie."""
        return f"answers/{name.visit}/{name.verb}@{name.round}.{name.number}/"

    def add(self, name: Name, said: Said) -> str:
        """Keep one page; returns the name of its part."""
        part = f"{self.folder(name)}{said.page:04d}-{secrets.token_hex(4)}"
        self.staging.put(part, json.dumps(said.as_json()).encode())
        self._put(f"answerpage#{name}#{said.page:04d}", {"at": casebook.now().isoformat(), "contents": part})
        return part

    def add_new(self, name: Name, said: Said) -> bool:
        """Keep one page; False if its number is taken."""
        part = f"{self.folder(name)}{said.page:04d}-{secrets.token_hex(4)}"
        self.staging.put(part, json.dumps(said.as_json()).encode())
        return self._put_new(f"answerpage#{name}#{said.page:04d}", {"contents": part})

    def keep_file(self, name: Name, content: bytes) -> str:
        """Keep a file that is part of the answer; returns the name of its part."""
        part = f"{self.folder(name)}file-{secrets.token_hex(8)}"
        self.staging.put(part, content)
        return part

    def pages(self, name: Name) -> dict[int, str]:
        """The parts of the pages that are there, by number."""
        found = self.book.parts(self.case.case_id, f"answerpage#{name}#")
        return {int(item["part"].rpartition("#")[2]): item["contents"] for item in found}

    def finish(self, name: Name, parts: list[str], by: str) -> bool:
        """The answer is whole; False if one was whole before: the first counts."""
        return self._put_new(f"answer#{name}", {"by": by, "contents": parts})

    def whole(self, name: Name) -> Whole | None:
        """The whole answer, or None."""
        answer = client("dynamodb").get_item(
            TableName=self.book.cases, Key=self._key(f"answer#{name}"), ConsistentRead=True
        )
        if "Item" not in answer:
            return None
        item = from_item(answer["Item"])
        return Whole(list(item["contents"]), item["at"], item["by"])

    def read(self, part: str) -> Said:
        """One page, unsealed. Raises RuntimeError if it is not there."""
        content = self.staging.get_json(part)
        if content is None:
            raise RuntimeError(f"staged part {part} vanished")
        return Said(**content)

    def _key(self, part: str) -> dict[str, dict[str, str]]:
        return {"case_id": {"S": self.case.case_id}, "part": {"S": part}}

    def _put_new(self, part: str, values: dict[str, object]) -> bool:
        dynamodb = client("dynamodb")
        values = {"at": casebook.now().isoformat(), **values}
        try:
            self._put(part, values, ConditionExpression="attribute_not_exists(part)")
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _put(self, part: str, values: dict[str, object], **condition: str) -> None:
        client("dynamodb").put_item(
            TableName=self.book.cases, Item={**self._key(part), **to_item(values)}, **condition
        )
