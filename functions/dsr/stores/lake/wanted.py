"""What is looked for in a file: records with one of some values in one of some fields."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dsr.datamap.plan import Collection, Way
from dsr.errors import StoreFault
from dsr.matching import normalise
from dsr.records import as_text, each_at, to_line

# Signs that stand for themselves in every way to write JSON or CSV; others may be written as escapes.
_SAFE = re.compile(r"[A-Za-z0-9_.:@ -]+")
_LEAST = 3  # shorter pieces stand in every file
_MOST = 16  # searching for more pieces takes as long as reading the records


@dataclass(frozen=True)
class Wanted:
    """Records where a field of `texts` holds one of its texts, after `form` (see `Identity.normalise`)."""

    texts: Mapping[str, frozenset[str]]
    form: str = ""

    @classmethod
    def by(cls, collection: Collection, way: Way, values: Iterable[Any]) -> "Wanted":
        """What leads along `way`. Raises StoreFault for an empty value: it finds everybody's."""
        form = way.identity.normalise if way.identity else ""
        texts = frozenset(normalise(as_text(v), form) if form else as_text(v) for v in values)
        if "" in texts:
            said = f"{collection.path}.{way.field}: an empty value finds everybody's"
            raise StoreFault("malformed_data", said)
        return cls({way.field: texts}, form)

    @classmethod
    def of(cls, collection: Collection, records: Iterable[dict[str, Any]]) -> "Wanted":
        """What these found records have in the fields that they were found by."""
        fields = {way.field for way in collection.ways}
        held: dict[str, set[str]] = {field: set() for field in fields}
        for record in records:
            for field in fields:
                held[field].update(as_text(v) for v in each_at(record, field))
        return cls({field: frozenset(texts - {""}) for field, texts in held.items()})

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are compared."""
        return tuple(self.texts)

    def fits(self, record: dict[str, Any]) -> bool:
        """Whether the record is one of those."""
        return any(self.has(field, value) for field in self.texts for value in each_at(record, field))

    def has(self, field: str, value: Any) -> bool:
        """Whether the value is one of those wanted in the field."""
        text = as_text(value)
        return (normalise(text, self.form) if self.form else text) in self.texts[field]

    @cached_property
    def pieces(self) -> tuple[bytes, ...] | None:
        """Bytes of which each such record holds at least one, folded by `_folded`; None: of no help."""
        found = set()
        for text in {t for texts in self.texts.values() for t in texts}:
            longest = max(_SAFE.findall(text), key=len, default="")
            # E.164 has signs that the field's own form may lack.
            if len(longest) < _LEAST or self.form == "e164":
                return None
            found.add(self._folded(longest.encode()))
        return tuple(found) if len(found) <= _MOST else None

    def may_be_in(self, content: bytes) -> bool:
        """Whether such a record may be in these bytes of text."""
        if self.pieces is None:
            return True
        content = self._folded(content)
        return any(piece in content for piece in self.pieces)

    def _folded(self, content: bytes) -> bytes:
        return content.lower() if self.form else content


class Marked:
    """The very records that were found before: by key, and by what they were found by."""

    def __init__(self, collection: Collection, records: Iterable[dict[str, Any]]) -> None:
        records = list(records)
        self.fields = tuple(dict.fromkeys((*collection.key, *collection.guards)))
        self._tokens = {self._token(record) for record in records}
        self.wanted = Wanted.of(collection, records)

    def holds(self, record: dict[str, Any]) -> bool:
        """Whether the record is one of them, still belonging to whom it belonged to."""
        return self._token(record) in self._tokens

    def _token(self, record: dict[str, Any]) -> bytes:
        # By the JSON form, since that is how the found ones were put aside.
        return to_line({field: list(each_at(record, field)) for field in self.fields})
