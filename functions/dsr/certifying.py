"""The last step of a deletion: revoke earlier copies, certify what is gone, destroy the snapshot.

It comes up to three times for a case. First nothing is left: the certificate. Where a copy lags, the
snapshot stays sealed until all has been read once more; then it is destroyed. And when the last
copy has ended, the supplement says so.
"""

import base64
import json
import secrets
import time
from dataclasses import dataclass
from itertools import chain
from typing import Any

from dsr import casebook, plans
from dsr.aws import client
from dsr.canonical import digest
from dsr.case import Case, State
from dsr.casebook import Casebook, Visit, work_name
from dsr.casekey import seal
from dsr.certificate import NAME, certificate_of, commitment, recipients, supplement_of
from dsr.contacts import proven_contacts
from dsr.datamap.plan import Plan
from dsr.errors import Conflict
from dsr.finds import staged
from dsr.kept import schedule
from dsr.matching import normalise
from dsr.opening import Opening
from dsr.resolving import known_accounts
from dsr.settings import read
from dsr.signing_key import sign
from dsr.staging import Staging, remove_versions
from dsr.subjects import Subjects, overtaken
from dsr.suppression import Suppression, erased_locators, name_of
from dsr.windows import check_at, last_end, windows

# Kept free at the end of an invocation, to write the certificate or to put the work aside.
_RESERVE_SECONDS = 60


@dataclass(frozen=True)
class Settings:
    """Environment of issue_certificate."""

    cases_table: str
    case_keys_table: str
    case_key: str
    staging_bucket: str
    bundles_bucket: str
    signing_keys: str
    suppression_table: str
    suppression_key: str
    suppression_days: int = 3653


def issue_certificate(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Certify a case that nothing is left of. `event`: `case_id`. Returns {"outcome": its state}.

    Entering a person with very many locators in the list of the erased may take several calls: until then
    the case stays as it is, and the workflow calls again.
    """
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    if case.state is not State.CERTIFYING:
        if case.certificate and case.ended and not case.check_at:
            _destroy_snapshot(settings, case)  # whoever certified may have been killed just before this
        return {"outcome": case.state.value}
    plan = plans.of_case(case, settings.staging_bucket)
    remaining: float = context.get_remaining_time_in_millis() / 1000 - _RESERVE_SECONDS
    certifying = Certifying(settings, book, plan, time.monotonic() + remaining)
    if not (case.certificate and not case.check_at) and not certifying.suppress(case):
        return {"outcome": case.state.value}
    if not case.certificate:
        moved = certifying.certify(case)
    elif case.check_at:
        moved = certifying.conclude_check(case)
    else:
        moved = certifying.supplement(case)
    return {"outcome": moved.state.value}


@dataclass(frozen=True)
class Certifying:
    """What is certified of cases with this plan."""

    settings: Settings
    book: Casebook
    plan: Plan
    ends_at: float  # when a call puts its work aside, on the monotonic clock

    def certify(self, case: Case) -> Case:
        """Nothing is left: the certificate, and when what follows it is due."""
        self._revoke_copies(case)
        at = case.updated_at  # when nothing was left
        visits = self._visits(case, 0)
        erased = _counts(visits)
        gone = [path for path in erased.keys() | case.plan.keys() if not self._kept(path)]
        copies = windows(self.plan, gone, at)
        again = check_at(self.plan, gone, at)
        supplement_at = last_end(copies, again)
        followed_by = self._schedule(case)
        nonce = secrets.token_urlsafe(24)
        certificate = certificate_of(
            case, self.plan, erased, at, copies, recipients(self.plan, visits),
            self._commitments(case, nonce), (again, supplement_at), self._followed(case),
        )  # fmt: skip
        key = f"certificates/{case.case_id}/certificate.json"
        self._put(key, certificate)
        to = State(certificate["outcome"])
        moved = self.book.move(
            case, to, "certified", "workflow", {"certificate": digest(certificate)},
            certificate=key, outcome=to.value, followed_by=followed_by,
            erased_at=at, check_at=again, supplement_at=supplement_at,
            secret=base64.b64encode(seal(case.recipient, nonce.encode())).decode(),
        )  # fmt: skip
        if not again:
            _destroy_snapshot(self.settings, moved)
        return moved

    def conclude_check(self, case: Case) -> Case:
        """Nothing is left, either, now that the copies have caught up: the snapshot has served its time."""
        erased = _counts(self._visits(case, case.check_round))
        at = casebook.now()
        copies = windows(self.plan, [path for path in erased if not self._kept(path)], at)
        moved = self.book.move(
            case, State(case.outcome), "checked_again", "workflow", {"round": str(case.round)},
            checked_at=at, check_at=None, supplement_at=last_end(copies, case.supplement_at, at),
        )  # fmt: skip
        _destroy_snapshot(self.settings, moved)
        return moved

    def supplement(self, case: Case) -> Case:
        """The last copy has ended."""
        at = casebook.now()
        certificate = self._certificate(case)
        erased = _counts(self._visits(case, case.check_round)) if case.checked_at else {}
        gone = [path for path in case.plan if not self._kept(path)]
        copies = windows(self.plan, gone, case.erased_at or at)
        said = supplement_of(case, self.plan, certificate, erased, copies, at)
        key = f"certificates/{case.case_id}/supplement.json"
        self._put(key, said)
        return self.book.move(
            case, State(case.outcome), "supplemented", "workflow", {"certificate": digest(said)},
            supplement=key, supplement_at=None,
        )  # fmt: skip

    def _revoke_copies(self, case: Case) -> None:
        """Remove the copies of this person that were handed over, and what a stopped one has gathered.

        One that is still gathered closes by itself (`Subjects.overtaking`). Raises Conflict while one is
        built, which takes minutes: that it is overtaken, too, is seen at the next call.
        """
        for access in Subjects(self.book).access_cases(case.subject) if case.subject else ():
            if access.state is State.BUNDLING:
                raise Conflict(f"a copy is still being built: case {access.case_id}")
            handed_over = access.state in (State.READY, State.DELIVERED)
            staging = Staging(self.settings.staging_bucket, self.settings.case_keys_table, access)
            if handed_over or access.bundle:
                remove_versions(self.settings.bundles_bucket, f"bundles/{access.case_id}/")
                to, about = State.CLOSED if handed_over else access.state, {"reason": "deletion"}
                gone: dict[str, Any] = {"bundle": {}, "late": {}, "adding": (), "tasks": ()}
                access = self.book.move(access, to, "closed", "workflow", about, expires_at=None, **gone)
                staging.remove("")  # of one in part, by what its rest was waited for
            if access.state is State.NEEDS_ATTENTION and access.resume in (State.GATHERING, State.BUNDLING):
                overtaken(self.book, access, case.case_id, staging)

    def suppress(self, case: Case) -> bool:
        """Note by what all that is gone would be found, should it come back; before the snapshot goes.

        False if time ends before: the next call goes on behind what is noted.
        """
        requester = self.book.requester(case)
        staging = Staging(self.settings.staging_bucket, self.settings.case_keys_table, case)
        proven = (
            (f"identity.{kind}", normalise(contact, how))
            for kind, how in (("email", "lower"), ("phone", "e164"))
            for contact in proven_contacts(case, requester, kind)
        )
        told = ((name_of(self.plan, f), v) for f, values in requester.locators.items() for v in values)
        locators = chain(erased_locators(self.plan, staging, case.round + 1), proven, told)
        place = f"suppressed@{case.round}.json"
        begin = (staging.get_json(place) or {}).get("noted", 0)
        noted, through = Suppression(self.settings.suppression_table, self.settings.suppression_key).note(
            locators, case.case_id, case.updated_at, self.settings.suppression_days, begin, self.ends_at
        )
        if not through:
            staging.put_json(place, {"noted": noted})
        return through

    def _schedule(self, case: Case) -> tuple[str, ...]:
        """The cases that delete what is kept, each on its day; before the snapshot goes that names it."""
        staging = Staging(self.settings.staging_bucket, self.settings.case_keys_table, case)
        opening = Opening(self.book, self.settings.case_key, case.map_version)
        return tuple(schedule(opening, case, self.plan, lambda path: staged(staging, self.plan, path)))

    def _followed(self, case: Case) -> dict[str, str]:
        """The case whose kept records this one deleted, and the hash of its certificate; empty for others."""
        if not case.follows:
            return {}
        return {"case": case.follows, "certificate": digest(self._certificate(self.book.get(case.follows)))}

    def _certificate(self, case: Case) -> dict[str, Any]:
        held = client("s3").get_object(Bucket=self.settings.bundles_bucket, Key=case.certificate)
        content: dict[str, Any] = json.loads(held["Body"].read())[NAME]
        return content

    def _put(self, key: str, content: dict[str, Any]) -> None:
        client("s3").put_object(
            Bucket=self.settings.bundles_bucket,
            Key=key,
            Body=sign(NAME, content, self.settings.signing_keys),
            ContentType="application/json",
        )

    def _commitments(self, case: Case, nonce: str) -> list[str]:
        requester = self.book.requester(case)
        named = proven_contacts(case, requester) or known_accounts(self.plan, requester)
        return [commitment(nonce, identity) for identity in named]

    def _kept(self, path: str) -> bool:
        return path in self.plan.collections and self.plan.collections[path].kept

    def _visits(self, case: Case, first: int) -> list[Visit]:
        """The visits of erasing from the round `first` on."""
        rounds = range(first, case.round + 1)
        made = (self.book.visits(case.case_id, work_name("erase", number)) for number in rounds)
        return [visit for visits in made for visit in visits.values()]


def _destroy_snapshot(settings: Settings, case: Case) -> None:
    Staging(settings.staging_bucket, settings.case_keys_table, case).remove("")


def _counts(visits: list[Visit]) -> dict[str, int]:
    """Records that were erased, by collection path."""
    counts: dict[str, int] = {}
    for visit in visits:
        for name, count in (visit.counts or {}).items():
            if count:
                path = f"{visit.store}.{name}"
                counts[path] = counts.get(path, 0) + count
    return counts
