"""Dry runs at the desk: who may begin one, of which cases; nobody but the desk ever hears of it."""

from collections.abc import Iterator

import pytest

from dsr.case import REST, Proof, Right, State, next_step
from dsr.web.desk.roles import Role
from tests.unit.bureau import ADA, Bureau, bureau_open

ENTRY = {"title": "Your account", "records": 1, "treatment": "delete"}


@pytest.fixture(scope="module")
def bureau(shared_cloud: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    with bureau_open(tmp_path_factory.mktemp("map")) as opened:
        yield opened


def test_an_agent_begins_one_and_is_led_to_it(bureau: Bureau) -> None:
    case = bureau.world.case(
        State.READY, requester=ADA, decisions={"support.tickets": "include", "visit:1-x": "leave_out"}
    )
    agent, path = bureau.browser(Role.AGENT), f"/desk/cases/{case.case_id}/dry-run"
    assert f'action="/prod{path}"' in agent.get(f"/desk/cases/{case.case_id}").body
    first = agent.post(path, {"version": str(case.version)})
    assert agent.post(path, {"version": str(case.version)}).location == first.location, "pressed twice"
    assert first.location
    assert first.location.endswith("?done=dry-run")
    made = bureau.world.book.get(first.location.removeprefix("/prod/desk/cases/").partition("?")[0])
    assert (made.dry_run, made.right, made.state, made.approved) == (
        True,
        Right.DELETION,
        State.RESOLVING,
        True,
    )
    assert made.decisions == {"support.tickets": "include"}, "a deletion leaves no store out"
    assert bureau.world.book.requester(made) == ADA
    assert bureau.states.started[-1].startswith(made.case_id)
    assert bureau.world.book.get(case.case_id) == case, "the case itself is untouched"
    assert bureau.world.book.events(made.case_id)[0].actor == "agent:sub-agents"

    text = agent.get(f"/desk/cases/{made.case_id}?done=dry-run").text
    assert "Dry run of a deletion" in text
    assert "The dry run has begun" in text
    assert "dry run" in agent.get("/desk").text
    assert f"{made.case_id}/dry-run" not in agent.get(f"/desk/cases/{made.case_id}").body, "none of a dry run"
    waits = {"waits": "task", "told": "the courier"}
    plan = {"members.members": ENTRY, "courier.parcels": ENTRY | waits}
    for state in (State.VERIFIED, State.GATHERING, State.CLOSED):
        made = bureau.world.book.move(made, state, "planned", "workflow", plan=plan)
    text = agent.get(f"/desk/cases/{made.case_id}").text
    assert "nothing is frozen, told or deleted by it" in text
    assert "1 locators Deleted; waits for a task of the desk. the courier is told (Art. 19)." in text


@pytest.mark.parametrize("role", [Role.APPROVER, Role.AUDITOR])
def test_others_do_not(bureau: Bureau, role: Role) -> None:
    case = bureau.world.case(State.READY, requester=ADA)
    browser = bureau.browser(role)
    assert browser.post(f"/desk/cases/{case.case_id}/dry-run", {"version": "1"}).status == 403
    assert "/dry-run" not in browser.get(f"/desk/cases/{case.case_id}").body


def test_of_somebody_unproven_there_is_none(bureau: Bureau) -> None:
    proofs = [Proof.CONFIRMED, Proof.PENDING]
    for case in (
        bureau.world.case(State.AWAITING_IDENTITY, requester=ADA, proofs=proofs),
        bureau.world.case(State.CLOSED, requester=ADA, key_destroyed=True),
    ):
        agent = bureau.browser(Role.AGENT)
        assert agent.post(f"/desk/cases/{case.case_id}/dry-run", {"version": "1"}).status == 422
        assert "/dry-run" not in agent.get(f"/desk/cases/{case.case_id}").body


@pytest.mark.parametrize("state", list(State))
def test_nothing_is_announced_of_one(bureau: Bureau, state: State) -> None:
    case = bureau.world.draft(state, dry_run=True, right=Right.DELETION, approved=True)
    assert next_step(case) != "announce" or next_step(case) == REST
