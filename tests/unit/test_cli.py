"""The command line: what it prints, what it returns, and that a mistake is one line and not a traceback."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from dsr.case import Attention, State
from dsr.casebook import Visit
from dsr.datamap.plan import from_json
from dsr_cli.case_commands import REASONS, agent_of
from dsr_cli.main import main
from tests.conftest import REGION
from tests.unit import world
from tests.unit.test_case import PLAN
from tests.unit.world import CASES, HEAD, KEYS, STAGING, WORKFLOW, World, collection, store

MAP = HEAD + store(
    "a",
    collection(
        "people",
        {"id": "", "email": "identity: {is: email, verified: true}", "sub": "proves: sign_in"},
        "account: id",
    ),
    collection("notes", {"note": "", "owner": "references: a.people.id"}),
)
Out = pytest.CaptureFixture[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "map.yaml"
    made.write_text(MAP.replace("to serve you", '"to serve you in ${where}"'), encoding="utf-8")
    return made


# -- maps --------------------------------------------------------------------------------------------


def test_check_says_in_which_order_a_map_is_read(path: Path, capsys: Out) -> None:
    assert main(["map", "check", str(path), "--set", "where=x"]) == 0
    said = capsys.readouterr()
    assert "1 stores, 2 collections" in said.out
    lines = said.out.splitlines()
    assert "  wave 0: a: people (tells who it is)" in lines
    assert "  wave 0: a: notes" in lines
    assert said.err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "map.yaml:3: `purposes.p`: `${where}` has no value; give it with --set where=…"),
        (["--set", "where"], "--set where: must be NAME=VALUE"),
    ],
)
def test_what_is_wrong_with_a_map_is_one_line_and_status_one(
    path: Path, capsys: Out, arguments: list[str], said: str
) -> None:
    assert main(["map", "check", str(path), *arguments]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    [line] = shown.err.splitlines()
    assert line.startswith("dsr: ")
    assert said in line


PUBLISHED = """\
recipients:
  mailer: {name: The Mailer, role: processor}
  friend: {name: A Friend, role: controller, consent: true}
notice: {published: told.json}
stores:
"""


def test_nothing_begins_that_the_published_notice_lacks_and_no_consent_covers(
    tmp_path: Path, capsys: Out
) -> None:
    text = MAP.replace("stores:\n", PUBLISHED, 1).replace(
        "        account: id\n", "        account: id\n        recipients: [mailer, friend]\n"
    )
    path = tmp_path / "map.yaml"

    def checked(changed: str) -> str:
        path.write_text(changed, encoding="utf-8")
        if main(["map", "check", str(path)]) == 0:
            return ""
        assert main(["map", "compile", str(path), "--out", str(tmp_path / "out")]) == 1
        return capsys.readouterr().err

    assert "told.json:1: there is no such list of what the notice says; `dsr notice" in checked(text)
    assert main(["notice", str(path), "--publish"]) == 0
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["purposes"] == {"p": "to serve you"}, "q has no field: nothing is promised for it"
    assert told["recipients"] == {"mailer": "The Mailer", "friend": "A Friend"}
    assert checked(text) == ""
    for was, now, said in (
        ("to serve you", "to serve and study you", "the published notice says “to serve you” for it"),
        ("purpose: p, references", "purpose: q, references", "purpose `q` (“to keep you safe”)"),
        ("The Mailer", "Another Mailer", "recipient `mailer` (Another Mailer)"),
    ):
        assert said in checked(text.replace(was, now)), now
        assert "no consent covers it" in checked(text.replace(was, now))
    consented = text.replace("purpose: p, references", "purpose: q, references")
    head, _, tail = consented.rpartition("basis: contract")
    assert checked(f"{head}basis: consent{tail}") == "", "who agreed to it was told by being asked"
    assert checked(text.replace("A Friend", "Another Friend")) == ""
    (tmp_path / "told.json").write_text("[]")
    assert "told.json:1: no list of what the notice says" in checked(text)


def test_a_value_may_hold_an_equals_sign_and_the_last_of_two_counts(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    values = ["--set", "where=a", "--set", "where=b=c"]
    assert main(["map", "compile", str(path), *values, "--out", str(out)]) == 0
    assert from_json((out / "plan.json").read_bytes()).purposes["p"] == "to serve you in b=c"


def test_compile_writes_the_plan_and_the_roles(path: Path, tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / "deep" / "out"
    arguments = ["--set", "where=x", "--out", str(out), "--account", "999999999999", "--name", "rights"]
    assert main(["map", "compile", str(path), *arguments]) == 0
    plan = from_json((out / "plan.json").read_bytes())
    assert plan.version in capsys.readouterr().out
    assert set(plan.collections) == {"a.people", "a.notes"}
    roles = json.loads((out / "roles.template.json").read_text(encoding="utf-8"))
    assert "999999999999:role/rights-store-dynamodb-role" in json.dumps(roles)


def test_a_folder_that_cannot_be_written_is_one_line(path: Path, capsys: Out) -> None:
    assert main(["map", "compile", str(path), "--set", "where=x", "--out", str(path / "x")]) == 1
    assert "Not a directory" in capsys.readouterr().err


def test_the_schema_is_json(capsys: Out) -> None:
    assert main(["map", "schema"]) == 0
    assert "purposes" in json.loads(capsys.readouterr().out)["properties"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["map"],
        ["maps"],
        ["case", "judge", "K7Q2-9FXM-3TWD-5BHP", "a.b"],
        ["case", "judge", "K7Q2-9FXM-3TWD-5BHP", "a.b", "--include", "--exclude"],
        ["case", "refuse", "K7Q2-9FXM-3TWD-5BHP", "because"],
    ],
)
def test_misuse_is_status_two(arguments: list[str], capsys: Out) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: dsr" in capsys.readouterr().err


# -- cases -------------------------------------------------------------------------------------------


def stack(name: str, **outputs: str) -> None:
    """A deployed stack with these outputs."""
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    client = boto3.client("cloudformation", region_name=REGION)
    client.create_stack(StackName=name, TemplateBody=json.dumps(template))


@pytest.fixture(scope="module")
def here(shared_cloud: None) -> Iterator[World]:
    with world.opened(PLAN) as opened:
        world.workflow()
        stack("dsr", CasesTable=CASES, CaseKeysTable=KEYS, StagingBucket=STAGING, RequestWorkflow=WORKFLOW)
        yield opened


def test_a_case_is_shown_store_by_store_with_its_history(here: World, capsys: Out) -> None:
    point = Attention("1-events", "missing_index", "events: by-email")
    case = here.case(State.GATHERING)
    here.book.note_visit(case.case_id, Visit("1-events", "events", "done", {"entries": 4}, {"entries": 2}))
    here.book.move(
        case, State.NEEDS_ATTENTION, "needs_attention", "workflow", {"reason": "missing_index"},
        attention=(point,), resume=State.GATHERING,
    )  # fmt: skip
    typed = case.case_id.lower().replace("-", "")
    assert main(["case", "show", typed]) == 0
    said = capsys.readouterr().out
    for part in (
        case.case_id,
        "needs_attention",
        "needs attention: 1-events: missing_index events: by-email",
        "{'entries': 4}  doubtful {'entries': 2}",
        "gathering → needs_attention reason=missing_index",
    ):
        assert part in said
    assert "ada" not in said.lower(), "the operator's screen shows no personal data"
    assert main(["case", "list"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if case.case_id in line]
    assert "1-events missing_index" in line


def test_a_decision_is_made_and_signed_with_an_id(here: World, capsys: Out) -> None:
    case = here.case(
        State.NEEDS_ATTENTION, attention=(Attention("", "two_accounts"),), resume=State.RESOLVING
    )
    assert main(["case", "join-accounts", case.case_id]) == 0
    assert capsys.readouterr().out == f"{case.case_id}: resolving\n"
    actor = here.book.events(case.case_id)[-1].actor
    assert actor.startswith("agent:")
    for reason in REASONS:
        refused = here.case(State.AWAITING_APPROVAL)
        assert main(["case", "refuse", refused.case_id, reason]) == 0
        assert here.book.get(refused.case_id).outcome == reason


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "K7Q2"], "'K7Q2' is no reference; one looks like"),
        (["show", "0000-0000-0000-0000"], "no case 0000-0000-0000-0000"),
        (["retry", "CASE"], "nothing to retry"),
        (["approve", "CASE"], "nothing to approve"),
        (["judge", "CASE", "a.b", "--include"], "nothing doubtful in a.b"),
        (["leave-out", "CASE", "1-x"], "does not need attention"),
        (["join-accounts", "CASE"], "does not reach two accounts"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    here: World, capsys: Out, arguments: list[str], said: str
) -> None:
    case = here.case(State.GATHERING)
    assert main(["case", *(case.case_id if a == "CASE" else a for a in arguments)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("dsr: ")
    assert said in line
    assert here.book.get(case.case_id) == case


def test_a_deployment_that_is_not_there_is_said_in_one_line(here: World, capsys: Out) -> None:
    assert main(["case", "--name", "nowhere", "list"]) == 1
    assert "there is no stack nowhere" in capsys.readouterr().err
    stack("other", Something="else")
    assert main(["case", "--name", "other", "list"]) == 1
    assert "other is not a deployment of this product" in capsys.readouterr().err


def test_who_decides_is_kept_without_their_name() -> None:
    """Single sign-on names a session by the person's address, and the history is kept for ever."""
    agent = agent_of("AROAEXAMPLE:ada@example.com")
    assert agent == agent_of("AROAEXAMPLE:ada@example.com") != agent_of("AROAEXAMPLE:bob@example.com")
    assert agent.startswith("AROAEXAMPLE/")
    assert "ada" not in agent
    assert agent_of("AIDAEXAMPLE") == "AIDAEXAMPLE"
