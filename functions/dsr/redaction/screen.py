"""Records on their way out: what is replaced by rule, what a person decided, what they must see. Pure."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Collection as Names
from dataclasses import dataclass
from functools import partial
from typing import Any

from dsr.datamap.plan import Collection
from dsr.language import Words
from dsr.records import at_path, each_at, tree_of, without
from dsr.redaction.addresses import emails, may_hold_email, may_hold_phone, phones
from dsr.redaction.findings import DISCLOSE, FILE, Decisions, Finding, group_of
from dsr.redaction.names import may_announce, names, words_of
from dsr.redaction.own import NAME, Own, telling

RULE, PERSON = "rule", "a person"  # who decided
# Why a person must look at a field.
REVIEW, SHARED, NAMES = "review", "shared", "names"


@dataclass(frozen=True)
class Taken:
    """What of a record goes out: its values, and whether its file does."""

    values: dict[str, Any]
    file: bool = True


Hits = dict[str, tuple[tuple[int, int], ...]]  # text → where it seems to name somebody
Known = dict[str, Any]  # the fields that the map names, those within others below them


class Screen:
    """What becomes of the records of one collection. `found` is told of every finding without a decision.

    `words`: of the language in which notes stand where something was taken out. `tally`: what was replaced,
    by (field, what, who decided), in how many texts or records.
    """

    def __init__(
        self,
        collection: Collection,
        own: Own,
        decisions: Decisions,
        found: Callable[[Finding], None],
        words: Words,
    ) -> None:
        self._collection, self._own, self._decisions, self._found = collection, own, decisions, found
        self._notes = words.section("removed")
        self._noted = re.compile("|".join(map(re.escape, self._notes.values())))
        self.tally: Counter[tuple[str, str, str]] = Counter()
        self._never_flat = [n for n in collection.never if "." not in n]
        self._never_deep = [n for n in collection.never if "." in n]
        self._texts = [n for n, f in collection.fields.items() if f.is_text and f.disclose != "never"]
        self._reviewed = _reviewed(collection)
        self._known = tree_of([*collection.fields, "object_key"])
        self._flat = not any("." in name for name in self._texts)

    def take(self, values: dict[str, Any], file: bool = False) -> Taken:
        """The record as it goes out. `file`: there is a file that belongs to it."""
        if self._never_flat or self._never_deep:
            values = dict(values)
            for name in self._never_flat:
                values.pop(name, None)
            for path in self._never_deep:
                values = without(values, path)
        if not self._reviewed and _knows(self._known, values) and self._is_quiet(values):
            return Taken(values)
        return self._screened(values, file)

    def _is_quiet(self, values: dict[str, Any]) -> bool:
        """Whether no text of the record needs a closer look: so it is with most, and this costs least."""
        if not self._texts:
            return True
        if self._own.others or not self._flat:
            return False
        for name in self._texts:
            text = values.get(name)
            if not isinstance(text, str):
                if text is None:
                    continue
                return False
            said = words_of(text)
            if may_announce(text, said) or may_hold_email(text, said) or may_hold_phone(text):
                return False
        return True

    def _screened(self, values: dict[str, Any], file: bool) -> Taken:
        named: dict[str, Hits] = {}
        for path in self._texts:
            hits, kinds = Hits(), Counter[str]()
            values = _changed(values, path.split("."), partial(self._text, hits, kinds))
            self._note(path, hits, kinds, named)
        unknown = set()  # names that the map does not know, which may hold dots themselves
        for name in list(values):
            known = self._known.get(name)
            if known == {}:
                continue
            hits, kinds, now = Hits(), Counter[str](), name
            change = partial(self._text, hits, kinds)
            if known is None:
                values, now = _entry_changed(values, name, change)
                unknown.add(now)
            else:
                values = _placed(values, name, _rest_changed(values[name], known, change))
            self._note(now, hits, kinds, named)
        wanted = [
            (path, why)
            for path, why in self._reviewed.items()
            if (file if path == FILE else next(each_at(values, path), None) is not None)
        ]
        wanted += [(path, NAMES) for path in named]
        if not wanted:
            return Taken(values)
        keep_file, shown = True, values
        key = [at_path(values, name) for name in self._collection.key]
        for path, why in wanted:
            group = group_of(self._collection.path, path, why)
            steps = [path] if path in unknown else path.split(".")
            digest = _digest(group, key, shown.get(steps[0]))
            said = self._decisions.on(group, digest)
            if not said:
                text = shown.get(path)
                spans = named[path].get(text, ()) if why == NAMES and isinstance(text, str) else ()
                self._found(Finding(digest, group, shown, spans))
            if said == DISCLOSE:
                continue
            tallied = path
            if path == FILE:
                keep_file = False
            elif why != NAMES:
                values = _changed(values, steps, lambda _: self._notes["whole"], whole=True)
            elif path in unknown:
                values, tallied = _entry_changed(values, path, partial(self._cut, named[path]))
            else:
                values = _changed(values, steps, partial(self._cut, named[path]))
            self.tally[tallied, NAME if why == NAMES else why, PERSON] += 1
        return Taken(values, keep_file)

    def _note(self, path: str, hits: Hits, kinds: Counter[str], named: dict[str, Hits]) -> None:
        """Count what went out of the texts of a field, and keep where they seem to name somebody."""
        for kind, texts in kinds.items():
            self.tally[path, kind, RULE] += texts
        if hits and path not in self._reviewed:
            named[path] = {**named.get(path, {}), **hits}

    def _text(self, hits: Hits, kinds: Counter[str], text: str) -> str:
        """The text without others' addresses and numbers; to `hits`, where it then seems to name somebody.

        `kinds` counts what was taken out.
        """
        said = words_of(text)
        gone = [s for s in (*emails(text, said), *phones(text)) if not self._own.is_own(s)]
        if gone:
            gone.sort(key=lambda span: span.start)
            pieces, past = [], 0
            for span in gone:
                if span.start >= past:
                    pieces += [text[past : span.start], self._notes[span.kind]]
                    past = span.end
            text = "".join([*pieces, text[past:]])
            kinds.update({span.kind for span in gone})
            said = words_of(text)
        noted = [m.span() for m in self._noted.finditer(text)] if gone else []
        spans = tuple(
            (a, b) for a, b in names(text, said, self._own.names, self._own.others, beside=bool(gone))
            if not any(start < b and a < end for start, end in noted)
        )  # fmt: skip
        if spans:
            hits[text] = spans
        return text

    def _cut(self, hits: Hits, text: str) -> str:
        """The text without the names in it."""
        for start, end in reversed(hits.get(text, ())):
            text = text[:start] + self._notes[NAME] + text[end:]
        return text


def _reviewed(collection: Collection) -> dict[str, str]:
    """The fields that a person must look at in every record, with the reason.

    In a shared record all that the map does not disclose by name, but for its key and for what makes it the
    subject's.
    """
    found = {name: REVIEW for name, f in collection.fields.items() if f.disclose == "review"}
    if collection.subjects == "many":
        own = {
            *collection.key,
            *(way.field for way in collection.ways),
            *(path for path, _ in telling(collection)),
        }
        for name, f in collection.fields.items():
            if f.disclose == "" and name not in own:
                found.setdefault(name, SHARED)
    return found


def _knows(known: Known, value: Any) -> bool:
    """Whether the map, which names fields within the value, names all of them."""
    if isinstance(value, dict):
        if not value.keys() <= known.keys():
            return False
        return all(_knows(known[name], inner) for name, inner in value.items() if known[name])
    if isinstance(value, list):
        return all(_knows(known, item) for item in value)
    return value is None


def _changed(
    values: dict[str, Any], steps: list[str], change: Callable[[str], str], whole: bool = False
) -> dict[str, Any]:
    """The record with every text at `steps` changed; itself where none is. `whole`: whatever stands there."""
    was = values.get(steps[0])
    if was is None:
        return values
    return _placed(values, steps[0], _changed_in(was, steps[1:], change, whole))


def _changed_in(value: Any, steps: list[str], change: Callable[[str], str], whole: bool) -> Any:
    if isinstance(value, list):
        return _list(value, lambda item: _changed_in(item, steps, change, whole))
    if steps:
        return (
            _changed(value, steps, change, whole) if isinstance(value, dict) and steps[0] in value else value
        )
    if whole:
        return change("")
    if isinstance(value, str):
        said = change(value)
        return value if said == value else said
    if isinstance(value, dict):
        return _names_changed(value, change, lambda _, inner: _changed_in(inner, [], change, whole))
    return value


def _names_changed(
    values: dict[str, Any],
    change: Callable[[str], str],
    inner: Callable[[str, Any], Any],
    keep: Names[str] = (),
) -> dict[str, Any]:
    """The mapping with its names changed, but for those to `keep`, and its values by `inner`.

    Names that become one get numbers, so that no value is lost. Itself where nothing changes.
    """
    made: dict[str, Any] = {}
    same = True
    for name, value in values.items():
        now = name if name in keep else change(name)
        said, number = now, 1
        while said != name and (said in values or said in made):
            number += 1
            said = f"{now} ({number})"
        made[said] = inner(name, value)
        same = same and said == name and made[said] is value
    return values if same else made


def _entry_changed(
    values: dict[str, Any], name: str, change: Callable[[str], str]
) -> tuple[dict[str, Any], str]:
    """The record with one of its fields changed, by name and value; and how the field is called then."""
    others = values.keys() - {name}
    made = _names_changed(
        values,
        change,
        lambda n, inner: inner if n in others else _changed_in(inner, [], change, False),
        others,
    )
    return made, list(made)[list(values).index(name)]


def _rest_changed(value: Any, known: Known, change: Callable[[str], str]) -> Any:
    """A value of which the map names only parts: all else in it is changed, names included."""
    if isinstance(value, list):
        return _list(value, lambda item: _rest_changed(item, known, change))
    if not isinstance(value, dict):
        return _changed_in(value, [], change, False)

    def inner(name: str, held: Any) -> Any:
        below = known.get(name)
        if below is None:
            return _changed_in(held, [], change, False)
        return _rest_changed(held, below, change) if below else held

    return _names_changed(value, change, inner, known.keys())


def _placed(values: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return values if values[name] is value else {**values, name: value}


def _list(items: list[Any], change: Callable[[Any], Any]) -> list[Any]:
    made = [change(item) for item in items]
    return made if any(now is not was for now, was in zip(made, items, strict=True)) else items


def _digest(group: str, key: list[Any], value: Any) -> str:
    """What a decision on one finding is kept under: it holds for this content and no other."""
    said = json.dumps([group, key, value], ensure_ascii=True, sort_keys=True, default=str)
    return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


def report_lines(
    files: list[str], tally: Counter[tuple[str, str, str]], words: Words
) -> Iterator[dict[str, Any]]:
    """What was replaced in the records of some files, for the report: per field and kind, no values."""
    for (name, what, decided), places in sorted(tally.items()):
        said = words(f"replaced.{'file' if name == FILE else what}")
        by = words("report.rule" if decided == RULE else "report.person")
        yield {"files": files, "field": name, "what": said, "places": places, "decided_by": by}
