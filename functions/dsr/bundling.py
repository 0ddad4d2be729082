"""The workflow's step that turns what was gathered into the bundle, and the case into *ready*."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dsr import casebook, plans
from dsr.bundle.build import BundleBuilder, ReviewNeeded
from dsr.case import Attention, State
from dsr.casebook import Casebook
from dsr.errors import StoreFault
from dsr.settings import read
from dsr.staging import Staging
from dsr.subjects import Subjects, overtaken

_RESERVE_SECONDS = 30


@dataclass(frozen=True)
class Settings:
    """Environment of build_bundle."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str
    bundles_bucket: str
    signing_keys: str
    bundle_days: int = 14
    bundle_megabytes: int = 10_000  # what is larger comes in several zips
    budget_seconds: int = 240


def bundle(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Build the bundle as far as time allows. `event`: `case_id`.

    Returns {"outcome": continue | done | needs_attention}; with `done` the case is *ready* and its
    staging removed.
    """
    started = time.monotonic()
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    if case.state is not State.BUNDLING:
        return {"outcome": "done"}
    staging = Staging(settings.staging_bucket, settings.case_keys_table, case)
    if deletion := Subjects(book).overtaking(case):
        overtaken(book, case, deletion, staging)  # no copy is handed over of what it takes away
        return {"outcome": "done"}
    remaining = context.get_remaining_time_in_millis() / 1000 - _RESERVE_SECONDS
    added = case.added_now if case.follow_up == "adding" else ()
    supplements = case.bundle.get("supplements", []) if added else []
    which = f"-supplement-{len(supplements) + 1}" if added else ""
    key = f"bundles/{case.case_id}/{case.case_id}{which}.zip"
    made_at = casebook.now()
    plan = plans.of_version(case.map_version, settings.staging_bucket)
    builder = BundleBuilder(
        plan,
        case,
        book.requester(case),
        staging,
        settings.bundles_bucket,
        key,
        started + min(settings.budget_seconds, remaining),
        settings.signing_keys,
        limit=settings.bundle_megabytes * 1_000_000,
        visits=book.visits(case.case_id),
        only=added,
    )
    try:
        made = builder.run(made_at)
    except StoreFault as fault:
        # What was gathered no longer fits the store: that visit is gathered again when a person says so.
        visit = plan.visit_of(fault.about.partition(":")[0]).visit
        # What is built so far holds what that visit had found: the next bundle begins anew.
        builder.forget()
        book.move(
            case, State.NEEDS_ATTENTION, "needs_attention", "workflow",
            {"reason": fault.code, "visit": visit},
            attention=(Attention(visit, fault.code, fault.about),), resume=State.GATHERING,
        )  # fmt: skip
        return {"outcome": "needs_attention"}
    except ReviewNeeded as needed:
        # Nothing that is built so far is handed over: it stands where a person has not looked yet.
        builder.forget()
        points = tuple(Attention(plan.visit_of(path).visit, "review", path) for path in needed.paths)
        book.move(
            case, State.NEEDS_ATTENTION, "needs_attention", "workflow", {"reason": "review"},
            attention=points, resume=State.BUNDLING,
        )  # fmt: skip
        return {"outcome": "needs_attention"}
    if made is None:
        return {"outcome": "continue"}
    expires_at = made_at + timedelta(days=settings.bundle_days)
    if added and case.bundle:
        # All of it stays for as long as what came last.
        found = {**case.bundle, "supplements": [*supplements, *made]}
    else:
        # `parts` only where there are several; `key` is the first.
        found = {"key": key, "size": sum(part["size"] for part in made)}
        found |= {"parts": made} if len(made) > 1 else {}
        found |= {"supplement": True} if added else {}
    found |= {"expires_at": expires_at.isoformat()}
    moved = book.move(
        case, State.READY, "bundled", "workflow", bundle=found, expires_at=expires_at,
        adding=tuple(v for v in case.adding if v not in added), follow_up="followed" if added else "",
    )  # fmt: skip
    if moved.late or moved.adding:
        builder.forget()  # what is staged says by what the rest was asked for, and whose addresses are theirs
    else:
        staging.remove("")
    return {"outcome": "done"}
