"""After all the other tests: nothing personal of anybody who asked is left where it must not be."""

from collections import Counter

import pytest

from infra.local.checks import Needles
from infra.local.traces import traces
from tests.workflow.stage import Stage

pytestmark = [pytest.mark.cloud, pytest.mark.last]

LEAST = 5  # letters of what was typed that are worth looking for


def _needles(stage: Stage) -> Needles:
    values = {value for who in stage.people for value in stage.community.personal_values_of(who)}
    return Needles(values | {value for value in stage.typed if len(value) >= LEAST})


def test_no_personal_value_is_left_in_logs_histories_queues_or_tables(stage: Stage) -> None:
    assert stage.people, "nobody asked: run this with the other tests"
    needles, seen, leaks = _needles(stage), Counter[tuple[str, str]](), []
    for where, text in traces(stage.cloud):
        kind = where.split()[0]
        seen.update((kind, case_id) for case_id in stage.cases if case_id in text)
        leaks += [f"{where} holds {value!r}" for value in sorted(needles.in_text(text))]
    assert sorted(set(leaks)) == []
    # The search has looked at something: every case stands in the logs, the histories and the tables.
    for kind in ("log", "execution", "table"):
        assert [case_id for case_id in stage.cases if not seen[kind, case_id]] == []


def test_no_address_and_no_subject_names_anybody(stage: Stage) -> None:
    needles = _needles(stage)
    own = [address for address in set(stage.addresses) if address.startswith(stage.url)]
    assert len(own) > len(stage.people)
    assert {value for address in own for value in needles.in_text(address)} == set()
    mails = stage.cloud.mails()
    assert mails
    assert {value for mail in mails for value in needles.in_text(mail.subject)} == set()
    # Nor does a mail say what is held; it addresses nobody by name.
    names = Needles({stage.community.person(who).name for who in stage.people})
    assert {value for mail in mails for value in names.in_text(mail.text)} == set()
