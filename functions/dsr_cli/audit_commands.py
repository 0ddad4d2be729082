"""`dsr audit`: replay the audit trail, here or on a machine without access to AWS."""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dsr.audit import Broken, History, Replay, SignedHead, read_line, to_line
from dsr.aws import client
from dsr.casebook import Casebook
from dsr.errors import DsrError
from dsr.heads import Locked
from dsr.signing_key import public_keys
from dsr_cli.stack import outputs

_SHOWN = 20


class TrailBroken(DsrError):
    """The audit trail does not hold; the message names the first broken link."""


def add_to(commands: Any) -> None:
    """Add `audit` and its commands to the parser."""
    parser = commands.add_parser("audit", help="the audit trail: verify it, export it")
    parser.add_argument("--name", default="dsr", help="name of the deployment (default: %(default)s)")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser(
        "verify", help="replay everything from the first event; names the first broken link"
    )
    check.add_argument("--export", type=Path, help="an exported trail: then nothing is asked of AWS")
    check.add_argument("--key", type=Path, help="the public keys, a PEM file (default: asked of KMS)")
    check.set_defaults(run=_verify)
    export = verbs.add_parser("export", help="write the whole trail to a file; it holds no personal data")
    export.add_argument("--out", type=Path, required=True, help="the file, JSON Lines")
    export.set_defaults(run=_export)


def _verify(options: argparse.Namespace) -> None:
    if options.export and not options.key:
        raise DsrError("--export needs --key: an export cannot vouch for itself")
    if options.export:
        heads, cases = read_export(options.export)
        pem = options.key.read_bytes()
    else:
        stack = outputs(options.name)
        heads, cases = _heads(stack), _cases(stack)
        pem = options.key.read_bytes() if options.key else public_keys(stack["SigningKeyArns"]).encode()
    seen = Replay(pem)
    broken = list(_replayed(seen, heads, cases))
    print(f"{seen.heads} heads, {seen.cases} cases, {seen.events} events")
    print(f"Signed up to {seen.until}" if seen.until else "Nothing is signed yet")
    if broken:
        more = [f"  {b}" for b in broken[1:_SHOWN]] + (["  …"] if len(broken) > _SHOWN else [])
        raise TrailBroken("\n".join([f"the trail is broken at {broken[0]}", *more]))
    print("The trail holds.")


def _replayed(seen: Replay, heads: Iterable[SignedHead], cases: Iterable[History]) -> Iterator[Broken]:
    for head in heads:
        yield from seen.head(head)
    for history in cases:
        yield from seen.case(history)
    yield from seen.end()


def _export(options: argparse.Namespace) -> None:
    stack = outputs(options.name)
    lines = 0
    with options.out.open("w", encoding="utf-8") as out:
        # Heads first: what is signed while the cases are read would know events that are not here.
        for head in _heads(stack):
            parts = {name: part.decode() for name, part in head.parts.items()}
            out.write(json.dumps({"head": head.content.decode(), "parts": parts}) + "\n")
            lines += 1
        for history in _cases(stack):
            events = [to_line(event) for event in history.events]
            said = {"case": history.case_id, "version": history.version, "head": history.head}
            out.write(json.dumps(said | {"events": events}, ensure_ascii=False) + "\n")
            lines += 1
    print(f"{options.out}: {lines} lines")


def read_export(path: Path) -> tuple[Iterator[SignedHead], Iterator[History]]:
    """Heads and cases of an exported trail. Raises TrailBroken for a line that is none of ours."""

    def lines(mark: str) -> Iterator[dict[str, Any]]:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                try:
                    said = dict(json.loads(text))
                except (ValueError, TypeError):
                    raise TrailBroken(f"{path}, line {number}: is no line of an export") from None
                if mark in said:
                    yield said

    heads = (
        SignedHead(said["head"].encode(), {name: part.encode() for name, part in said["parts"].items()})
        for said in lines("parts")
    )
    cases = (
        History(
            said["case"], said["version"], said["head"],
            tuple(read_line(said["case"], event) for event in said["events"]),
        )
        for said in lines("events")
    )  # fmt: skip
    return heads, cases


def _heads(stack: dict[str, str]) -> Iterator[SignedHead]:
    return Locked(stack["ProofBucket"]).heads()


def _cases(stack: dict[str, str]) -> Iterator[History]:
    """Every case there is, found by the case itself or by its first event; one pass over the whole table."""
    book = Casebook(stack["CasesTable"], stack["CaseKeysTable"])
    pages = (
        client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=book.cases,
            FilterExpression="part IN (:case, :first)",
            ProjectionExpression="case_id",
            ExpressionAttributeValues={":case": {"S": "case"}, ":first": {"S": "event#000001"}},
            ConsistentRead=True,
        )
    )
    for case_id in sorted({item["case_id"]["S"] for page in pages for item in page["Items"]}):
        yield book.history(case_id)
