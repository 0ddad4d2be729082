"""The last step of a deletion: revoke earlier copies, certify what is gone, destroy the snapshot."""

from dataclasses import dataclass
from typing import Any

from dsr import casebook, plans
from dsr.aws import client
from dsr.canonical import digest
from dsr.case import Case, State
from dsr.casebook import Casebook, work_name
from dsr.certificate import NAME, certificate_of
from dsr.settings import read
from dsr.signing_key import sign
from dsr.staging import Staging, remove_versions
from dsr.subjects import Subjects


@dataclass(frozen=True)
class Settings:
    """Environment of issue_certificate."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str
    bundles_bucket: str
    signing_keys: str


def issue_certificate(event: dict[str, Any]) -> dict[str, str]:
    """Certify a case that nothing is left of. `event`: `case_id`. Returns {"outcome": its state}."""
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    if case.state is not State.CERTIFYING:
        return {"outcome": case.state.value}
    plan = plans.of_version(case.map_version, settings.staging_bucket)
    _revoke_bundles(book, case, settings.bundles_bucket)
    certificate = certificate_of(case, plan.controller, _erased(book, case), casebook.now())
    key = f"certificates/{case.case_id}/certificate.json"
    client("s3").put_object(
        Bucket=settings.bundles_bucket,
        Key=key,
        Body=sign(NAME, certificate, settings.signing_keys),
        ContentType="application/json",
    )
    to = State(certificate["outcome"])
    about = {"certificate": digest(certificate)}
    moved = book.move(case, to, "certified", "workflow", about, certificate=key, outcome=to.value)
    Staging(settings.staging_bucket, settings.case_keys_table, moved).remove("")
    return {"outcome": moved.state.value}


def _revoke_bundles(book: Casebook, case: Case, bucket: str) -> None:
    """Remove the copies that earlier access cases of this person handed over."""
    for access in Subjects(book).access_cases(case.subject) if case.subject else ():
        if access.state in (State.READY, State.DELIVERED):
            remove_versions(bucket, f"bundles/{access.case_id}/")
            about = {"reason": "deletion"}
            book.move(access, State.CLOSED, "closed", "workflow", about, bundle={}, expires_at=None)


def _erased(book: Casebook, case: Case) -> dict[str, int]:
    counts: dict[str, int] = {}
    for number in range(case.round + 1):
        for visit in book.visits(case.case_id, work_name("erase", number)).values():
            for name, count in (visit.counts or {}).items():
                if count:
                    path = f"{visit.store}.{name}"
                    counts[path] = counts.get(path, 0) + count
    return counts
