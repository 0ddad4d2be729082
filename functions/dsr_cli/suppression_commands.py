"""`dsr suppression`: who of what was restored or imported had been erased, and have them erased again."""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from dsr.aws import client
from dsr.datamap.plan import Plan
from dsr.errors import DsrError, Refused
from dsr.going_through import Place, go_through, left_of
from dsr.plans import of_version
from dsr.site_events import COLLECTION_RESTORED
from dsr.stores.looking import own
from dsr.stores.registry import open_store
from dsr.suppression import Locator, Suppression, name_of
from dsr_cli.map_commands import map_options, plan_of
from dsr_cli.stack import outputs

_PER_EVENT = 100  # values: far below the 256 KB that an event may have


def add_to(commands: Any) -> None:
    """Add `suppression` and its command to the parser."""
    parser = commands.add_parser("suppression", help="the list of the erased: pass over what was restored")
    parser.add_argument("--name", default="dsr", help="name of the deployment (default: %(default)s)")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    over = verbs.add_parser(
        "pass", help="read ids, one a line, and say how many of them were erased; nothing is shown of them"
    )
    over.add_argument("field", help="what the ids are, as the data map names it: store.collection.field")
    over.add_argument("--map-version", help="of the map that knows the field (default: the ids are its own)")
    over.add_argument("--erase", action="store_true", help="open the cases that erase them again")
    over.set_defaults(run=_pass)
    through = verbs.add_parser(
        "scan",
        help="read every record that can be listed, with your own rights, and say the same",
    )
    map_options(through)
    through.add_argument(
        "--place",
        type=Path,
        default=Path("build/suppression-scan.json"),
        help="where the place is kept to go on from; holds a key of each collection (default: %(default)s)",
    )
    through.add_argument(
        "--seconds", type=int, default=3600, help="put it aside after so many (default: %(default)s)"
    )
    through.add_argument("--erase", action="store_true", help="open the cases that erase them again")
    through.set_defaults(run=_scan)


def _pass(options: argparse.Namespace) -> None:
    stack = outputs(options.name)
    if options.field.count(".") < 2:
        raise Refused(f"{options.field!r} is no field; one looks like members.members.member_id")
    name = options.field
    if options.map_version:
        plan: Plan = of_version(options.map_version, stack["StagingBucket"])
        name = name_of(plan, options.field)
    read = [0]
    found = Suppression(stack["SuppressionTable"], stack["SuppressionKey"]).entries_of(
        (name, value) for value in _counted(sys.stdin, read)
    )
    hits, cases, opened = 0, set[str](), 0
    while batch := list(islice(found, _PER_EVENT)):
        hits += len(batch)
        cases |= {entry.case_id for _, entry in batch}
        if options.erase:
            _report(stack, name, [value for (_, value), _ in batch])
            opened += 1
    print(f"{read[0]:,} ids read, {hits:,} on the list, of {len(cases):,} deletions")
    if hits:
        print(f"Reported in {opened} events" if options.erase else "Nothing is changed without --erase")


def _scan(options: argparse.Namespace) -> None:
    stack, plan = outputs(options.name), plan_of(options)
    suppression = Suppression(stack["SuppressionTable"], stack["SuppressionKey"])
    place: Place = json.loads(options.place.read_text("utf-8")) if options.place.exists() else {}
    until, begun, found = time.monotonic() + options.seconds, time.monotonic(), 0
    is_late = partial(_is_over, until)
    for path, passed, why in go_through(plan, lambda s: open_store(own(s)), suppression, place, is_late):
        if why:
            print(f"  {path}: {why}")
            continue
        cases = {entry.case_id for entry in passed.erased.values()}
        read = f"{passed.records:,} records in {passed.pages:,} pages, {passed.looked_up:,} looked up"
        print(f"  {path}: {read}, {len(passed.erased):,} on the list, of {len(cases):,} deletions")
        found += len(passed.erased)
        if options.erase:
            _report_all(stack, list(passed.erased))
        # Reported first: killed in between, what was reported is reported once more, and meets its case.
        _keep(options.place, place)
    through = not left_of(plan, place)
    _keep(options.place, {} if through else place)
    took, ended = time.monotonic() - begun, "Through" if through else "Put aside: run it again to go on"
    print(f"{ended}, after {took:.0f} s; {found:,} found")
    if found and not options.erase:
        print("Nothing is changed without --erase")


def _is_over(until: float) -> bool:
    return time.monotonic() >= until


def _keep(path: Path, place: Place) -> None:
    """For the owner's eyes alone: a place is a key of the table. None is kept of a pass that is through."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(place), "utf-8")
    if not place:
        path.unlink()


def _report_all(stack: dict[str, str], locators: list[Locator]) -> None:
    """A field at a time, some values an event."""
    by_name: dict[str, list[str]] = {}
    for name, value in locators:
        by_name.setdefault(name, []).append(str(value))
    for name, values in by_name.items():
        for start in range(0, len(values), _PER_EVENT):
            _report(stack, name, values[start : start + _PER_EVENT])


def _counted(lines: Iterable[str], read: list[int]) -> Iterator[str]:
    for line in lines:
        if value := line.strip():
            read[0] += 1
            yield value


def _report(stack: dict[str, str], field: str, values: list[str]) -> None:
    """Tell the product, on the site's bus, that these came back."""
    entry = {
        "EventBusName": stack["SiteEvents"],
        "Source": stack["SiteEventSource"],
        "DetailType": COLLECTION_RESTORED,
        "Detail": json.dumps({"locators": {field: values}}),
    }
    answer = client("events").put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        raise DsrError(f"the bus did not take an event: {answer['Entries'][0].get('ErrorCode')}")
