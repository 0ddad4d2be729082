"""`dsr notice`: the privacy notice, from the data map."""

import argparse
import json
from pathlib import Path
from typing import Any

from dsr.datamap.notice import notice_of
from dsr.datamap.published import promised
from dsr.errors import MapError
from dsr.web.templates import render
from dsr_cli.map_commands import map_options, plan_of
from dsr_cli.print_notice import to_pdf


def add_to(commands: Any) -> None:
    """Add `notice` to the parser."""
    parser = commands.add_parser("notice", help="the privacy notice, from the data map")
    map_options(parser)
    parser.add_argument(
        "--publish",
        action="store_true",
        help="people are told now: write what the notice says to the map's `notice.published`",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/notice"),
        help="folder for notice.html and notice.pdf (default: %(default)s)",
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
    notice = notice_of(plan)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "notice.html").write_text(render("policy_alone", told=notice), encoding="utf-8")
    (options.out / "notice.pdf").write_bytes(to_pdf(notice))
    print(
        f"{options.out}: notice.html and notice.pdf, {len(notice.holdings)} kinds of data, {notice.version}"
    )
