"""`dsr certificate`: check a certificate of deletion, offline, and whose it is."""

import argparse
import json
from pathlib import Path
from typing import Any

from dsr.certificate import NAME, is_mine, verify
from dsr.errors import DsrError
from dsr.plan_in_words import counted


def add_to(commands: Any) -> None:
    """Add `certificate` and its commands to the parser."""
    parser = commands.add_parser("certificate", help="certificates of deletion: verify, mine")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser("verify", help="whether the key signed this certificate; needs no network")
    check.add_argument("certificate", type=Path, help="certificate.json, or supplement.json")
    check.add_argument("--key", type=Path, required=True, help="the public keys, a PEM file")
    check.set_defaults(run=_verify)
    mine = verbs.add_parser("mine", help="whether a certificate is about this person; needs no network")
    mine.add_argument("certificate", type=Path, help="certificate.json")
    mine.add_argument("--nonce", required=True, help="the word that only its person was given")
    who = mine.add_mutually_exclusive_group(required=True)
    who.add_argument("--email", help="the address that the request was confirmed with")
    who.add_argument("--account", help="the account's id, where the company's own site asked")
    mine.set_defaults(run=_mine)


def _verify(options: argparse.Namespace) -> None:
    said = verify(options.certificate.read_bytes(), options.key.read_bytes())
    print(f"The signature holds: {said['controller']}, case {said['case']}")
    if said.get("kind") == "supplement":
        again = said["verified_again_at"]
        print(f"  supplement to the certificate with SHA-256 {said['certificate']}")
        print(f"  read once more {again}" if again else "  no copy lagged: nothing had to be read once more")
        for entry in said["erased_again"]:
            print(f"  {entry['collection']}: {entry['erased']} more erased")
        return
    print(f"  {said['outcome']}, verified {said['verified_at']}")
    for entry in said["collections"]:
        path = f"{entry['store']}.{entry['collection']}"
        if told := entry.get("told"):
            number, fields = counted(entry["found"], told["of"]), ", ".join(told["fields"])
            print(f"  {path}: {told['name']} was told of {number} to find it by ({fields})")
            continue
        kept = f", {entry['kept']} kept until {entry['until']} ({entry['law']})" if "kept" in entry else ""
        print(f"  {path}: {entry['treatment']}, {entry['erased']} erased{kept}")
    for copy in said.get("copies", ()):
        print(f"  {copy['kind']} {copy['name']}: holds it until {copy['holds_until'] or 'no declared end'}")
    for told in said.get("recipients", ()):
        print(f"  told {told['name']} {told['told_at']}: {told['answer'] or 'no answer yet'}")


def _mine(options: argparse.Namespace) -> None:
    try:
        certificate = dict(json.loads(options.certificate.read_bytes())[NAME])
    except (ValueError, KeyError, TypeError):
        raise DsrError("the file is no certificate of this product") from None
    if not is_mine(certificate, options.nonce, options.email or options.account):
        raise DsrError("the certificate is not about this person, or the word is another")
    print(f"The certificate of case {certificate['case']} is about this person.")
    print("Check with `dsr certificate verify` that it is unchanged, too.")
