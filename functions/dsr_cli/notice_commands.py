"""`dsr notice`: the privacy notice, from the data map."""

import argparse
import json
from typing import Any

from dsr.datamap.published import promised
from dsr.errors import MapError
from dsr_cli.map_commands import map_options, plan_of


def add_to(commands: Any) -> None:
    """Add `notice` to the parser."""
    parser = commands.add_parser("notice", help="the privacy notice, from the data map")
    map_options(parser)
    parser.add_argument(
        "--publish",
        action="store_true",
        help="people are told now: write what the notice says to the map's `notice.published`",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    plan = plan_of(options)
    if options.publish:
        if "published" not in plan.notice:
            raise MapError(f"{options.map}:1: `notice.published` is missing: name the file to be written")
        path = options.map.parent / plan.notice["published"]
        path.write_text(json.dumps(promised(plan), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path}: purposes and recipients as the notice tells them")
