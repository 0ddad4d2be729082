"""`dsr certificate`: check a certificate of deletion, offline."""

import argparse
from pathlib import Path
from typing import Any

from dsr.certificate import verify


def add_to(commands: Any) -> None:
    """Add `certificate` and its command to the parser."""
    parser = commands.add_parser("certificate", help="certificates of deletion: verify")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser("verify", help="whether the key signed this certificate; needs no network")
    check.add_argument("certificate", type=Path, help="certificate.json")
    check.add_argument("--key", type=Path, required=True, help="the public key, a PEM file")
    check.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> None:
    said = verify(options.certificate.read_bytes(), options.key.read_bytes())
    print(f"The signature holds: {said['controller']}, case {said['case']}")
    print(f"  {said['outcome']}, verified {said['verified_at']}")
    for entry in said["collections"]:
        kept = f", {entry['kept']} kept until {entry['until']} ({entry['law']})" if "kept" in entry else ""
        print(
            f"  {entry['store']}.{entry['collection']}: {entry['treatment']}, {entry['erased']} erased{kept}"
        )
