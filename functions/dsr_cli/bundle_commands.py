"""`dsr bundle`: check a bundle that was handed over, offline."""

import argparse
from pathlib import Path
from typing import Any

from dsr.bundle.verifying import BundleError, verify_bundle

_SHOWN = 20


def add_to(commands: Any) -> None:
    """Add `bundle` and its command to the parser."""
    parser = commands.add_parser("bundle", help="copies that people received: verify")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser(
        "verify", help="whether the key signed this bundle and every file is as it was; needs no network"
    )
    check.add_argument(
        "bundle", type=Path, nargs="+", help="bundle.zip; all of them where it came in several"
    )
    check.add_argument("--key", type=Path, required=True, help="the public key, a PEM file")
    check.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> None:
    found = verify_bundle(options.bundle, options.key.read_bytes())
    if found.faults:
        shown = [*found.faults[:_SHOWN]]
        if len(found.faults) > _SHOWN:
            shown.append(f"and {len(found.faults) - _SHOWN:,} more")
        raise BundleError("the bundle is not as it was handed over:\n" + "\n".join(f"  {f}" for f in shown))
    said = found.manifest
    records = sum(c["records"] for c in said["collections"])
    print(f"The signature holds: {said['controller']}, case {said['case']}, made {said['made_at']}")
    print(f"  {found.files:,} files and {records:,} records, all as they were; nothing added")
    if said["missing"]:
        print(f"  it says itself that it lacks: {', '.join(said['missing'])}")
