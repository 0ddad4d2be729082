"""`dsr map`: check it, compile it, publish its schema."""

import argparse
import json
from pathlib import Path
from typing import Any

from dsr import planning
from dsr.datamap.compile import compile_file
from dsr.datamap.kinds import KINDS
from dsr.datamap.picture import mermaid
from dsr.datamap.plan import Plan, to_json
from dsr.datamap.published import check_published
from dsr.datamap.roles import roles_template
from dsr.errors import DsrError, MapError
from dsr.retention import hindrance, sweepable


def add_to(commands: Any) -> None:
    """Add `map` and its commands to the parser."""
    parser = commands.add_parser("map", help="the data map: check, scan, show, import, compile, schema")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser("check", help="say what is wrong with a map, or in which order it is read")
    map_options(check)
    check.add_argument("--live", action="store_true", help="also whether the stores and roles are as it says")
    check.set_defaults(run=_check)
    scan = verbs.add_parser("scan", help="what live stores hold and the map does not mention")
    map_options(scan)
    scan.add_argument(
        "--sample", type=int, default=50, metavar="N", help="records of each table (default: %(default)s)"
    )
    scan.set_defaults(run=_scan)
    show = verbs.add_parser("show", help="a picture of stores, references and their order, as Mermaid")
    map_options(show)
    show.set_defaults(run=_show)
    importing = verbs.add_parser(
        "import", help="a draft of a map, from a database's tables or a Fides dataset file"
    )
    importing.add_argument(
        "source", help="a Fides dataset (YAML), or a database as postgresql://user@host/name, mysql://…"
    )
    importing.add_argument("--out", type=Path, help="the file to write (default: print it)")
    importing.set_defaults(run=_import)
    compiling = verbs.add_parser("compile", help="write the plan that ships and the stores' access roles")
    map_options(compiling)
    compiling.add_argument(
        "--out", type=Path, default=Path("build/plan"), help="folder (default: %(default)s)"
    )
    compiling.add_argument("--account", default="${AWS::AccountId}", help="account that the product runs in")
    compiling.add_argument("--name", default="dsr", help="name of the deployment (default: %(default)s)")
    compiling.set_defaults(run=_compile)
    schema = verbs.add_parser("schema", help="print the JSON Schema of data maps, for editors")
    schema.set_defaults(run=_schema)


def map_options(parser: argparse.ArgumentParser) -> None:
    """Which map, and what its ${...} stand for."""
    parser.add_argument("map", type=Path, help="the data map, a YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="values",
        help="a value for ${NAME} in it",
    )


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan of the map that the options name. Raises MapError."""
    values = {}
    for given in options.values:
        name, sign, value = given.partition("=")
        if not sign:
            raise MapError(f"--set {given}: must be NAME=VALUE")
        values[name] = value
    return compile_file(options.map, values)


def _check(options: argparse.Namespace) -> None:
    plan = plan_of(options)
    check_published(plan, options.map)
    print(f"{options.map}: {len(plan.stores)} stores, {len(plan.collections)} collections, {plan.version}")
    for number, wave in enumerate(plan.waves(list(plan.visits))):
        for visit in wave:
            who = " (tells who it is)" if visit.resolves else ""
            print(f"  wave {number}: {visit.store}: {', '.join(visit.collections)}{who}")
    for collection in sweepable(plan):
        reason, about = hindrance(collection, plan.stores[collection.store].kind)
        if reason:
            print(f"  not swept when its retention ends: {about}")
    for collection in plan.collections.values():
        if about := planning.hindrance(collection, plan.stores[collection.store]):
            print(f"  not deleted when the law that keeps it ends: {about}")
    for collection in plan.collections.values():
        if all(way.identity and way.identity.kind == "phone" for way in collection.ways if not way.own):
            said = "only where phone numbers are proven (TextMessages), and by such a number alone"
            print(f"  found {said}: {collection.path}")
    if options.live:
        _live(plan)


def _live(plan: Plan) -> None:
    from dsr_cli.live import live_faults

    faults = list(live_faults(plan))
    for told in faults:
        print(f"  {told}")
    if faults:
        raise DsrError(f"{len(faults)} things are not as the map says")
    print("  the stores and their roles are as it says")


def _scan(options: argparse.Namespace) -> None:
    from dsr.stores.looking import look
    from dsr_cli.drift import drift

    plan, found = plan_of(options), 0
    for store in plan.stores.values():
        if KINDS[store.kind].asks:
            print(f"{store.name}: not looked into: nobody can ask it what it holds")
            continue
        for told in drift(plan, store, look(store), options.sample):
            found += 1
            print(told)
    if found:
        raise DsrError(f"{found} things are not as the map says: add them, or leave them out on purpose")
    print("nothing but what the map names")


def _import(options: argparse.Namespace) -> None:
    from dsr_cli import drafting

    is_database = "://" in options.source
    draft = drafting.of_database(options.source) if is_database else drafting.of_fides(Path(options.source))
    text = drafting.to_yaml(draft)
    if options.out is None:
        print(text, end="")
        return
    options.out.write_text(text, encoding="utf-8")
    asked = text.count("TODO") - 1  # the head speaks of them too
    print(f"{options.out}: {len(draft.collections)} collections, {asked} questions marked TODO")


def _show(options: argparse.Namespace) -> None:
    print(mermaid(plan_of(options)), end="")


def _compile(options: argparse.Namespace) -> None:
    plan = plan_of(options)
    check_published(plan, options.map)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "plan.json").write_text(to_json(plan) + "\n", encoding="utf-8")
    roles = roles_template(plan, options.account, options.name)
    (options.out / "roles.template.json").write_text(json.dumps(roles, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}: plan.json (version {plan.version}) and roles.template.json")


def _schema(_: argparse.Namespace) -> None:
    from dsr.datamap.schema import json_schema

    print(json.dumps(json_schema(), indent=1))
