"""The bundle's own page: opens from the unzipped folder, without network or server.

All that matters stands in the HTML, in the requester's language; its script then shows every record,
searches, and tells times as the reader's device does. The page's policy lets nothing run but the scripts
beside it, and the types that browsers trust (Trusted Types) let the script make no markup at all.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from dsr.bundle.datafiles import FILE, Table
from dsr.case import Case
from dsr.datamap.plan import Collection, Plan
from dsr.datamap.published import recipients
from dsr.language import Words
from dsr.missing import Missing

_HERE = Path(__file__).parent / "viewer"
_FILES = 20  # that the page shows without its script
_COLUMNS = 30  # whose order the script is told
_MONTHS = 60  # more than these are shown by year
# What browsers show as a picture, and what they show without running it.
_PICTURE = re.compile(r"(?i)\.(png|jpe?g|gif|webp|avif|bmp)$")
_HARMLESS = re.compile(r"(?i)\.(png|jpe?g|gif|webp|avif|bmp|txt|csv|pdf|mp3|m4a|ogg|wav|mp4|webm|mov)$")
# Of files opened from a folder, some browsers take 'self' for nothing and `file:` for the folder's.
_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src '{style}'; img-src 'self' file:; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types dsr"
)


@dataclass(frozen=True)
class Kind:
    """A collection as its section of the page tells of it."""

    path: str
    anchor: str
    title: str
    records: int
    purposes: list[str]
    basis: str
    kept: str
    categories: list[str]
    sources: list[str]
    recipients: list[str]
    copies: list[str]
    automated: str
    withheld: dict[str, str]
    data_files: list[str]
    files: list[list[str]]
    columns: list[str]
    preview: list[dict[str, str]]


@dataclass(frozen=True)
class Timeline:
    """Records by month or year: the label of each bar, its count, its height of 100."""

    by_year: bool
    bars: list[tuple[str, int, int]]
    most: tuple[str, int]


def render_index(
    plan: Plan,
    case: Case,
    tables: dict[str, Table],
    missing: Sequence[Missing],
    made_at: datetime,
    replaced: dict[str, list[tuple[str, str, int]]] | None = None,
    supplement: bool = False,
) -> str:
    """The page as HTML. `tables` by collection path, as `replaced`: field, what of it, how many places."""
    left_out = {path for said in missing for path in said.paths}
    words = Words(case.language)
    held = [c for c in in_order(plan) if c.path in tables and tables[c.path].records]
    kinds = [_kind(plan, c, tables[c.path], words) for c in held]
    stores: dict[str, list[Kind]] = {}
    for c, kind in zip(held, kinds, strict=True):
        stores.setdefault(c.store, []).append(kind)
    style = (_HERE / "viewer.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _templates().get_template("index.html").render(
        plan=plan,
        case=case,
        w=words,
        kinds=kinds,
        stores=list(stores.items()),
        empty=[
            c.title for c in plan.collections.values() if not tables.get(c.path, Table()).records
            and c.path not in left_out
        ],
        missing=[said.sentence(words) for said in missing],
        supplement=supplement,
        recipients=recipients_of(plan, kinds, words),
        automated=list(dict.fromkeys(kind.automated for kind in kinds if kind.automated)),
        total=sum(kind.records for kind in kinds),
        timeline=timeline(tables.values()),
        index=_index(kinds, tables, words),
        style=Markup(style),  # noqa: S704  our own, and its hash is in the policy
        policy=Markup(_POLICY.format(style=f"sha256-{digest}")),  # noqa: S704  our own
        made_at=made_at,
        replaced=replaced or {},
    )  # fmt: skip


def in_order(plan: Plan) -> list[Collection]:
    """The collections as they were visited: the account first, then what hangs on it."""
    visited = [c for visit in plan.visits for c in plan.collections_of(visit)]
    return list({c.path: c for c in [*visited, *plan.collections.values()]}.values())


def replaced_in(tally: Mapping[tuple[str, str, str], int]) -> list[tuple[str, str, int]]:
    """What a screen took out, for `render_index`: whoever decided it."""
    together: Counter[tuple[str, str]] = Counter()
    for (name, what, _), places in tally.items():
        together[name, "file" if name == "content" else what] += places
    return [(name, what, places) for (name, what), places in sorted(together.items())]


def script() -> bytes:
    """What lies beside the page as `viewer/viewer.js`."""
    return (_HERE / "viewer.js").read_bytes()


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("dsr.bundle", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["label"] = label
    made.tests["picture"] = lambda path: bool(_PICTURE.search(path))
    made.tests["harmless"] = lambda path: bool(_HARMLESS.search(path))
    return made


def label(name: str) -> str:
    """The name of a field as people read it."""
    return name.replace("_", " ")


def _index(kinds: list[Kind], tables: dict[str, Table], words: Words) -> dict[str, Any]:
    """What the script is told: its words, and of each kind where its records lie."""
    return {
        "language": words.language,
        "words": words.section("viewer"),
        "file": FILE,
        "kinds": {
            kind.path: {
                "title": kind.title,
                "pages": tables[kind.path].pages,
                "columns": list(tables[kind.path].columns)[:_COLUMNS],
                "files": kind.data_files,
            }
            for kind in kinds
        },
    }


def _kind(plan: Plan, collection: Collection, table: Table, words: Words) -> Kind:
    present = {name for record in table.preview for name in record}
    columns = [name for name in table.columns if name in present]
    columns += [name for name in dict.fromkeys(n for r in table.preview for n in r) if name not in columns]
    fields = collection.fields.values()
    recipient = plan.stores[collection.store].recipient if collection.store in plan.stores else {}
    return Kind(
        path=collection.path,
        anchor=f"{collection.store}-{collection.name}",
        title=collection.title,
        records=table.records,
        purposes=sorted({plan.purposes[f.purpose] for f in fields}),
        basis=words(f"basis.{collection.basis}"),
        kept=_kept(collection, words),
        categories=sorted({_category(f.category) for f in fields}),
        sources=_sources(plan, collection, words),
        recipients=[*([recipient["name"]] if recipient else []), *collection.recipients],
        copies=[_copy(c, words) for c in collection.copies],
        automated=collection.automated,
        withheld=collection.never,
        data_files=[s[form] for s in table.slices for form in ("jsonl", "csv") if form in s],
        files=table.files[:_FILES],
        columns=columns,
        preview=table.preview,
    )


def _kept(collection: Collection, words: Words) -> str:
    rule = collection.retention
    if "duration" not in rule:
        return words("bundle.kept_account")
    return words("bundle.kept_period", period=words.period(rule["duration"]), field=label(rule["from"]))


def _category(name: str) -> str:
    """`user.contact.email` as `contact › email`."""
    return name.removeprefix("user.").replace(".", " › ").replace("_", " ")


def _sources(plan: Plan, collection: Collection, words: Words) -> list[str]:
    """Where the fields come from, those of the same source together."""
    by_source: dict[str, list[str]] = {}
    for name, field in collection.fields.items():
        by_source.setdefault(field.source, []).append(label(name.replace(".", " › ")))
    told = []
    for source, names in sorted(by_source.items(), key=lambda item: item[0] != "person"):
        known = words.has(f"source.{source}")
        text = words(f"source.{source}") if known else plan.sources.get(source, "")
        told.append(f"{text} {', '.join(names)}" if known else f"{', '.join(names)}: {text}")
    return [text for text in told if text]


def recipients_of(plan: Plan, kinds: list[Kind], words: Words) -> list[str]:
    """Everybody who received some of it: who they are, and what protects the data far away (Art. 15(2))."""
    named = {name for kind in kinds for name in kind.recipients}
    told = []
    for who in recipients(plan).values():
        if who["name"] in named:
            about = [words(f"recipient.{who['role']}")]
            about += [str(who[part]) for part in ("country", "safeguard") if who.get(part)]
            told.append(f"{who['name']} ({', '.join(about)})")
    return told


def _copy(copy: dict[str, Any], words: Words) -> str:
    within = copy.get("expires") or copy.get("lag") or ""
    return (
        words("bundle.copy_within", name=copy["name"], period=words.period(within))
        if within
        else copy["name"]
    )


def timeline(tables: Iterable[Table]) -> Timeline | None:
    """The bars of the chart, months or years without records included; None without two of them."""
    months: Counter[str] = Counter()
    for table in tables:
        for day, count in table.days.items():
            months[day[:7]] += count
    if not months:
        return None
    spanned = _between(min(months), max(months))
    by_year = len(spanned) > _MONTHS
    if by_year:
        years: Counter[str] = Counter()
        for month, count in months.items():
            years[month[:4]] += count
        months, spanned = years, [str(y) for y in range(int(min(years)), int(max(years)) + 1)]
    if len(spanned) < 2:
        return None
    most = max(spanned, key=lambda label: months[label])
    # A bar that is there can be seen, however small beside the highest.
    bars = [
        (label, months[label], max(2, round(100 * months[label] / months[most])) if months[label] else 0)
        for label in spanned
    ]
    return Timeline(by_year, bars, (most, months[most]))


def _between(first: str, last: str) -> list[str]:
    """Every month from `first` to `last`, as `2026-03`."""
    begin, end = (int(month[:4]) * 12 + int(month[5:]) - 1 for month in (first, last))
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(begin, end + 1)]
