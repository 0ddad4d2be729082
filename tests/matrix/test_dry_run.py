"""A dry run of a deletion: the plan that the deletion then has, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import boto3
import pytest

from dsr import audit
from dsr.case import Case, Requester, Right, State
from dsr.dry_runs import dry_run, may_dry_run
from dsr.errors import Refused
from dsr.holdbook import Holdbook
from dsr.holds import Hold, Scope
from dsr.opening import Opening
from dsr.store_worker import check_allowed
from dsr_cli import case_commands
from dsr_cli.main import main
from tests.conftest import REGION, aws_in_process
from tests.matrix.scene import ORDERS, Scene, scene
from tests.unit import world
from tests.unit.world import CASES, KEYS, STAGING, SUPPRESSION, WORKFLOW


@pytest.fixture
def company(postgres: str, tmp_path: Path) -> Iterator[Scene]:
    with aws_in_process(), scene(tmp_path, postgres) as made, world.signing():
        world.workflow()
        yield made


def begun(company: Scene, seed: str, requester: Requester, of: Case | None = None) -> Case:
    opening = Opening(company.world.book, company.world.kms_key)
    return dry_run(opening, WORKFLOW, seed, requester, "agent:engineer", of)


def finished(company: Scene, case: Case) -> Case:
    company.work(case.case_id)
    return company.world.book.get(case.case_id)


def test_the_plan_is_that_of_the_deletion_and_nothing_else_happens(company: Scene) -> None:
    book, before = company.world.book, company.stores()
    asked = company.world.case(State.GATHERING, requester=Requester(("ada@example.com",)))
    by_case = finished(company, begun(company, "1", book.requester(asked), asked))
    locators = {"members.members.id": ["ada"]}
    by_account = finished(company, begun(company, "2", Requester((), locators=locators)))

    assert company.stores() == before
    assert boto3.client("dynamodb", REGION).scan(TableName=SUPPRESSION)["Count"] == 0
    for case in (by_case, by_account):
        assert (case.state, case.outcome, case.channel) == (State.CLOSED, "planned", "desk"), case.attention
        assert company.world.objects(STAGING, f"cases/{case.case_id}/") == []
        names = [name for name in company.world.names(case) if name != "map_updated"]
        assert names == ["received", "resolved", "gathering_started", "planned"]
        assert not list(audit.chain_breaks(book.history(case.case_id)))
        first = book.events(case.case_id)[0]
        assert (first.actor, first.about["dry_run"]) == ("agent:engineer", "yes")
        assert book.visits(case.case_id, "freeze@0") == {}

    # The deletion neither waits for a dry run nor joins one, and has the very plan.
    real = book.get(company.ask())
    assert real.plan == by_case.plan == by_account.plan
    planned = [
        e.about["plan"] for c in (by_case, real) for e in book.events(c.case_id) if e.name == "planned"
    ]
    assert len(set(planned)) == 1
    company.work(real.case_id)
    assert book.get(real.case_id).state is State.ERASED_IN_PART


def test_the_same_press_is_one_dry_run_and_none_can_be_of_a_dry_run(company: Scene) -> None:
    asked = company.world.case(State.GATHERING, requester=Requester(("ada@example.com",)))
    requester = company.world.book.requester(asked)
    one, two = (begun(company, "same", requester, asked) for _ in range(2))
    assert one.case_id == two.case_id
    assert may_dry_run(asked)
    assert not may_dry_run(one)


def test_no_worker_erases_for_a_dry_run_whatever_its_case_says(company: Scene) -> None:
    case = company.world.draft(
        State.ERASING, right=Right.DELETION, dry_run=True, approved=True,
        plan={"shop.orders": {}}, confirmed_at=world.RECEIVED,
    )  # fmt: skip
    for verb in ("erase", "freeze"):
        with pytest.raises(Refused):
            check_allowed(case, company.world.plan.visits[0], verb)


def test_the_command_prints_what_would_be_done(company: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    hold = Hold(
        "ab" * 5, Scope.COLLECTION, "shop.orders", "legal_claim", True, "sub", world.RECEIVED,
        review=world.RECEIVED.date(),
    )  # fmt: skip
    Holdbook(CASES).place(hold)
    outputs = {
        "CasesTable": CASES, "CaseKeysTable": KEYS, "CaseKey": company.world.kms_key,
        "RequestWorkflow": WORKFLOW, "StagingBucket": STAGING,
    }  # fmt: skip
    real = case_commands.dry_run

    def at_once(*given: object) -> Case:
        return finished(company, real(*given))  # type: ignore[arg-type]

    with mock.patch.multiple(case_commands, outputs=lambda _: outputs, dry_run=at_once):
        assert main(["case", "plan", "--account", "members.members.id=ada"]) == 0
        said = capsys.readouterr().out
        assert ["shop.orders", str(ORDERS), "delete"] in [line.split() for line in said.splitlines()]
        assert "keep; until" in said
        assert "held: collection shop.orders legal_claim" in said
        assert main(["case", "plan", "--account", "members.members.id=nobody"]) == 0
        assert "nothing is found" in capsys.readouterr().out
        assert main(["case", "plan", "--account", "ada"]) == 1
        assert "members.members.member_id=m-1" in capsys.readouterr().err
        assert main(["case", "plan"]) == 1
