"""`dsr suppression`: who of what was restored or imported had been erased, and have them erased again."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from dsr.aws import client
from dsr.datamap.plan import Plan
from dsr.errors import DsrError, Refused
from dsr.plans import of_version
from dsr.site_events import COLLECTION_RESTORED
from dsr.suppression import Suppression, name_of
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
