"""What a person must look at before a record goes out, and what they decided. Pure, and light to load."""

from dataclasses import dataclass, field
from typing import Any

FILE = "content"  # the field by which the map speaks of a file itself

REDACT, DISCLOSE = "redact", "disclose"


@dataclass(frozen=True)
class Finding:
    """A field of a record that a person must look at. `spans`: where in its text, if it is one text."""

    digest: str
    group: str  # collection, field and why: all alike
    values: dict[str, Any]  # the record as it would go out if everything here were disclosed
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Decisions:
    """What people decided: for all findings of a group, and for single ones (by digest), which goes first."""

    groups: dict[str, str] = field(default_factory=dict)
    single: dict[str, str] = field(default_factory=dict)

    def on(self, group: str, digest: str) -> str:
        """redact, disclose, or nothing yet."""
        return self.single.get(digest) or self.groups.get(group, "")


def group_of(path: str, name: str, why: str) -> str:
    """The group of findings of one kind in one field."""
    return f"{path}|{name}|{why}"
