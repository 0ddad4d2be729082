"""What a person must look at before a copy is made, and what they decided: sealed in staging.

The builder writes the findings while it passes over the records; the desk shows them and writes decisions;
the builder then begins anew and goes by these. A decision counts for the content it was made on: what was
gathered anew and has changed is looked at again.
"""

import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from dsr.redaction.findings import DISCLOSE, REDACT, Decisions, Finding
from dsr.staging import Staging

_SUMMARY, _DECIDED, _FINDINGS = "review/summary.json", "review/decided.json", "review/findings/"
PER_PART = 20  # findings: a page of the desk


@dataclass
class Found:
    """What the builder found so far: kept with its progress. `parts`: how many are staged, per group."""

    run: str = field(default_factory=lambda: secrets.token_hex(4))
    counts: dict[str, int] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)


class Finds:
    """Takes findings in and stages them, part by part and group by group, in bounded memory."""

    def __init__(self, staging: Staging, found: Found) -> None:
        self._staging, self._found = staging, found
        self._held: dict[str, list[Finding]] = {}

    def add(self, finding: Finding) -> None:
        """Take a finding in."""
        held = self._held.setdefault(finding.group, [])
        held.append(finding)
        if len(held) >= PER_PART:
            self._write(finding.group)

    def flush(self) -> None:
        """Stage what is held: at the end of each step."""
        for group in self._held:
            self._write(group)

    def _write(self, group: str) -> None:
        held = self._held[group]
        if not held:
            return
        number = self._found.parts.get(group, 0)
        self._found.parts[group] = number + 1
        self._staging.put_json(_part(self._found, group, number), [asdict(f) for f in held])
        self._found.counts[group] = self._found.counts.get(group, 0) + len(held)
        held.clear()


def _part(found: Found, group: str, number: int) -> str:
    """Where a part is staged: by the group's number, since its field may be one that no map names."""
    return f"{_FINDINGS}{found.run}/{list(found.parts).index(group)}/{number:06d}"


@dataclass(frozen=True)
class Group:
    """Findings that are alike: the same field of a collection, for the same reason."""

    name: str
    path: str
    field: str
    why: str
    count: int
    parts: int
    decided: int  # one by one
    said: str  # of all of them

    @property
    def open(self) -> int:
        """How many still wait."""
        return 0 if self.said else max(0, self.count - self.decided)


class Review:
    """The review of one case, for the builder and for the desk."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    def decisions(self) -> Decisions:
        """What was decided so far."""
        kept = self._staging.get_json(_DECIDED) or {}
        single = {digest: said["said"] for digest, said in kept.get("single", {}).items()}
        return Decisions(kept.get("groups", {}), single)

    def put(self, found: Found) -> None:
        """The builder has found these, and waits."""
        self._staging.put_json(_SUMMARY, asdict(found))

    def groups(self) -> list[Group]:
        """What is to be looked at, in the order it was found."""
        found = self._found()
        kept = self._staging.get_json(_DECIDED) or {}
        made = []
        for name, count in found.counts.items():
            path, _, rest = name.partition("|")
            where, _, why = rest.rpartition("|")
            single = kept.get("single", {}).values()
            decided = sum(s["group"] == name and s["run"] == found.run for s in single)
            said = kept.get("groups", {}).get(name, "")
            made.append(Group(name, path, where, why, count, found.parts[name], decided, said))
        return made

    def findings(self, group: str, part: int) -> Iterator[tuple[Finding, str]]:
        """The findings of one part of a group, each with what was decided."""
        found, decided = self._found(), self.decisions()
        if group not in found.parts:
            return
        for kept in self._staging.get_json(_part(found, group, part)) or ():
            spans = tuple((start, end) for start, end in kept["spans"])
            finding = Finding(kept["digest"], kept["group"], kept["values"], spans)
            yield finding, decided.on(group, finding.digest)

    def decide_all(self, group: str, said: str) -> None:
        """All findings of a group alike, and those that come. Raises ValueError for another word."""
        _check(said)
        kept, tag = self._staging.read_json(_DECIDED)
        kept = kept or {}
        single = {d: s for d, s in kept.get("single", {}).items() if s["group"] != group}
        changed = {"groups": {**kept.get("groups", {}), group: said}, "single": single}
        self._staging.replace_json(_DECIDED, changed, tag)

    def decide(self, group: str, said: dict[str, str]) -> None:
        """Single findings, by digest. Raises ValueError for another word, Conflict beside another agent."""
        run = self._found().run
        for word in said.values():
            _check(word)
        kept, tag = self._staging.read_json(_DECIDED)
        kept = kept or {}
        single = {digest: {"said": word, "group": group, "run": run} for digest, word in said.items()}
        changed = {"groups": kept.get("groups", {}), "single": {**kept.get("single", {}), **single}}
        self._staging.replace_json(_DECIDED, changed, tag)

    def _found(self) -> Found:
        kept: dict[str, Any] | None = self._staging.get_json(_SUMMARY)
        return Found(**kept) if kept else Found("")

    def forget(self) -> None:
        """Remove the findings; the decisions stay."""
        self._staging.remove(_FINDINGS)
        self._staging.remove(_SUMMARY)


def _check(said: str) -> None:
    if said not in (REDACT, DISCLOSE):
        raise ValueError(f"a finding is redacted or disclosed, not {said!r}")
