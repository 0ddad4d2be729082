"""The state machines: what one can read in them is what runs."""

import json
import re
from collections.abc import Iterator
from typing import Any

import cfnlint.api
import jsonata
import pytest

from tests.template import iam, reach
from tests.template.cloudformation import ACCOUNT, REGION, ROOT, Stack, source, transformed

FILES = sorted((ROOT / "workflows").glob("*.asl.json"))
MACHINES = {
    resource["Properties"]["DefinitionUri"].removeprefix("workflows/"): name
    for name, resource in source()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::StateMachine"
}
ENDS = {"Succeed", "Fail"}
# Exceptions that a service raises, in the way Step Functions names those of an AWS SDK integration
# (Learning to use AWS service SDK integrations): never one of ours.
ERRORS = {"States.ALL", "States.TaskFailed", "States.Timeout", "DynamoDb.ConditionalCheckFailedException"}

# Steps that no state takes up: what they are waits for the code that does them, and such a case rests.
NOT_TAKEN_UP: dict[str, str] = {}

State = dict[str, Any]


def definition(name: str) -> dict[str, Any]:
    """A definition as it stands in workflows/."""
    parsed: dict[str, Any] = json.loads((ROOT / "workflows" / name).read_text())
    return parsed


def machines(scope: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every set of states: the machine's own and those of its maps and branches."""
    yield path, scope
    for name, state in scope["States"].items():
        inner = [state["ItemProcessor"]] if "ItemProcessor" in state else state.get("Branches", [])
        for number, branch in enumerate(inner):
            yield from machines(branch, f"{path}/{name}[{number}]")


def states(name: str) -> Iterator[tuple[str, State]]:
    """Every state of a definition, inner ones included."""
    for _, scope in machines(definition(name)):
        yield from scope["States"].items()


def targets(state: State) -> Iterator[str]:
    """Where a state can lead."""
    if "Next" in state:
        yield state["Next"]
    if "Default" in state:
        yield state["Default"]
    for way in [*state.get("Choices", []), *state.get("Catch", [])]:
        yield way["Next"]


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a definition with where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from strings(inner, f"{path}/{number}")


def names() -> list[str]:
    """The file names of the definitions that are deployed."""
    return sorted(MACHINES)


def test_every_definition_belongs_to_a_machine() -> None:
    """And every machine's definition is a file that is valid JSON as it stands."""
    assert {file.name for file in FILES} == MACHINES.keys()
    for file in FILES:
        assert isinstance(json.loads(file.read_text()), dict)


@pytest.mark.parametrize("name", names())
def test_no_way_leads_nowhere_and_none_has_no_end(name: str) -> None:
    """Every target exists, every state is reached, and from every state an end is."""
    for path, scope in machines(definition(name)):
        inside = scope["States"]
        assert scope["StartAt"] in inside, path
        for state_name, state in inside.items():
            assert set(targets(state)) <= inside.keys(), f"{path}/{state_name}"
            terminal = state["Type"] in ENDS or state.get("End") is True
            assert terminal or list(targets(state)), f"{path}/{state_name} neither ends nor goes on"
        reached: set[str] = set()
        todo = [scope["StartAt"]]
        while todo:
            state_name = todo.pop()
            if state_name not in reached:
                reached.add(state_name)
                todo += targets(inside[state_name])
        assert reached == inside.keys(), f"{path}: never reached: {inside.keys() - reached}"
        ending = {n for n, s in inside.items() if s["Type"] in ENDS or s.get("End") is True}
        while more := {n for n, s in inside.items() if n not in ending and set(targets(s)) & ending}:
            ending |= more
        assert ending == inside.keys(), f"{path}: no end from {inside.keys() - ending}"


def faults(machine: dict[str, Any]) -> list[str]:
    """What cfn-lint finds in a definition. It does not look into a file that a template names."""
    properties = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/dsr-any", "Definition": machine}
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    found = cfnlint.api.lint(json.dumps({"Resources": {"Machine": resource}}), regions=[REGION])
    return [str(match.rule.id) for match in found]


@pytest.mark.parametrize("name", names())
def test_definitions_are_what_aws_takes(name: str) -> None:
    """By the language's schema (E3601); which the second part shows to be looked at."""
    filled = re.sub(r"\$\{\w+\}", "arn", json.dumps(definition(name)))
    assert not faults(json.loads(filled))
    broken = definition(name)
    next(iter(broken["States"].values())).pop("Resource")
    assert "E3601" in faults(broken)


def substitutions(name: str) -> set[str]:
    """The ${…} in a definition."""
    return {word for _, text in strings(definition(name)) for word in re.findall(r"\$\{([^}]*)\}", text)}


@pytest.mark.parametrize("name", names())
def test_substitutions_are_those_of_the_template(name: str) -> None:
    """None is left out and none is spare."""
    given = source()["Resources"][MACHINES[name]]["Properties"]["DefinitionSubstitutions"]
    assert substitutions(name) == set(given)


@pytest.mark.parametrize("name", names())
def test_expressions_can_be_read(name: str) -> None:
    """Each {% … %} parses as JSONata, and nothing half of one stands anywhere."""
    found = 0
    for path, text in strings(definition(name)):
        if text.startswith("{%"):
            assert text.endswith("%}"), path
            jsonata.Jsonata(text[2:-2].strip())
            found += 1
        else:
            assert "{%" not in text, path
            assert "%}" not in text, path
            assert not text.startswith("$."), f"{path}: JSONPath in a JSONata machine"
    assert found
    assert definition(name)["QueryLanguage"] == "JSONata"


@pytest.mark.parametrize("name", names())
def test_tasks_are_tried_again(name: str) -> None:
    """After whatever passes: States.TaskFailed is any failure but a timeout, and names no exception."""
    for state_name, state in states(name):
        if state["Type"] != "Task":
            continue
        retriers = state["Retry"]
        assert retriers[-1]["ErrorEquals"] == ["States.TaskFailed"], state_name
        assert retriers[-1]["MaxAttempts"] >= 2, state_name
        assert retriers[-1]["BackoffRate"] > 1, state_name
        assert retriers[-1]["JitterStrategy"] == "FULL", state_name
        # What is no failure but an answer comes first and is not tried again.
        assert all(retrier["MaxAttempts"] == 0 for retrier in retriers[:-1]), state_name


@pytest.mark.parametrize("name", names())
def test_errors_are_named_by_what_aws_calls_them(name: str) -> None:
    """Outcomes of ours are values; a Python exception's name would be a second, hidden interface."""
    for state_name, state in states(name):
        for way in [*state.get("Retry", []), *state.get("Catch", [])]:
            assert set(way["ErrorEquals"]) <= ERRORS, state_name


@pytest.mark.parametrize("name", names())
def test_who_waits_for_a_token_waits_for_a_literal_time(name: str) -> None:
    """The backstop, for which no expression will do locally; and the clock is earlier."""
    parameters = source()["Parameters"]
    longest = max(parameters["IdentityDays"]["MaxValue"], parameters["CoolingHours"]["MaxValue"] / 24)
    for state_name, state in states(name):
        if "waitForTaskToken" in state.get("Resource", ""):
            assert isinstance(state["TimeoutSeconds"], int), state_name
            assert state["TimeoutSeconds"] >= longest * 24 * 3600, state_name
            caught = {error for way in state["Catch"] for error in way["ErrorEquals"]}
            assert "States.Timeout" in caught, state_name
        for key in ("TimeoutSeconds", "HeartbeatSeconds"):
            assert not isinstance(state.get(key), str), f"{state_name}: crashes the local cloud"
        assert "HeartbeatSeconds" not in state, "the local cloud ignores it"


def test_every_step_of_a_case_is_taken_up() -> None:
    """What `dsr.case` may say is the next step has its way from NextStep, or is known to have none."""
    from dsr.case import AWAIT_ANSWERS, REST, STEPS

    choice = definition("request.asl.json")["States"]["NextStep"]
    routed: set[str] = set()
    for way in choice["Choices"]:
        routed |= set(re.findall(r"'(\w+)'", way["Condition"]))
        assert "$states.input.step" in way["Condition"]
    # Besides what follows from the state alone, taking a case up may name a step itself.
    named = set(re.findall(r'"step": "(\w+)"', reach.modules_by_file()["dsr.taking_up"].read_text()))
    steps = set(STEPS.values()) | named | {AWAIT_ANSWERS}
    assert routed <= steps
    assert steps - routed <= NOT_TAKEN_UP.keys()
    assert not routed & NOT_TAKEN_UP.keys()
    assert choice["Default"] == "Rest"
    assert REST not in routed
    assert definition("request.asl.json")["States"]["Rest"]["Type"] == "Succeed"


def test_states_that_call_a_function_are_called_like_its_folder() -> None:
    """One reads the workflow, and finds each step's code by its words. Two send a notice and say which."""
    folders = reach.handlers()
    sending = {"SendCode": "code", "Announce": "{% $states.input.notice %}"}
    for name, state in states("request.asl.json"):
        if state.get("Resource") == "arn:aws:states:::lambda:invoke":
            called = state["Arguments"]["FunctionName"].strip("${}")
            assert re.sub(r"(?<!^)(?=[A-Z])", "_", called).lower() in folders
            if called == "SendNotice":
                assert state["Arguments"]["Payload"]["notice"] == sending[name]
            else:
                assert called == name
    given = source()["Resources"]["RequestWorkflow"]["Properties"]["DefinitionSubstitutions"]
    for word, value in given.items():
        if "Fn::GetAtt" in value and word not in ("CasesTable", "StoreWorkflow"):
            assert value == {"Fn::GetAtt": [f"{word}Function", "Arn"]}


def test_personal_data_has_no_way_into_the_history() -> None:
    """What goes into a task is a case's id, a visit, the name of its record, a word or a number.

    Of a sweep its day, a collection, and what its execution was begun with: a mode and a day. Of a lake run
    its name, and the number of a batch.
    """
    words = {"kind", "notice", "step", "verb", "sweep", "collection", "execution", "input"}
    names_of = {"case_id", "attempt", "visit", "record", "sweep", "collection", "execution", "run", "batch"}
    # Of a sweep only: its mode and name, which `dsr.sweeping` reads and nobody else.
    sent = words | names_of | {"input", "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"}
    for name in names():
        for state_name, state in states(name):
            arguments = state.get("Arguments", {})
            payload = arguments.get("Payload", arguments.get("Input", {}))
            assert set(payload) <= sent, f"{name}/{state_name}"


# -- what is around them ---------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES.values())
def test_machines_log_failures_without_what_they_carried(stack: Stack, machine: str) -> None:
    """To a group that the stack made, under /aws/vendedlogs/ so that no resource policy grows with each."""
    logging = stack.properties(machine)["LoggingConfiguration"]
    assert logging["Level"] == "ERROR"
    assert logging["IncludeExecutionData"] is False
    (destination,) = logging["Destinations"]
    assert destination["CloudWatchLogsLogGroup"]["LogGroupArn"] == stack.arn("WorkflowLogs")
    assert stack.properties("WorkflowLogs")["LogGroupName"].startswith("/aws/vendedlogs/states/")
    assert stack.properties(machine).get("StateMachineType", "STANDARD") == "STANDARD"


# Actions that Step Functions needs for logging (Logging in Step Functions, IAM policies).
LOGGING = {
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}


def rights(stack: Stack, name: str) -> set[tuple[str, str]]:
    """(action, ARN) of all that the tasks of a definition do."""
    found: set[tuple[str, str]] = {(action, "*") for action in LOGGING}
    given = stack.template["Resources"][MACHINES[name]]["Properties"]["DefinitionSubstitutions"]
    resolved = {word: stack.properties(MACHINES[name])["DefinitionSubstitutions"][word] for word in given}
    for state_name, state in states(name):
        if state["Type"] != "Task":
            continue
        said = json.dumps(state["Arguments"])
        words = {word: resolved[word] for word in re.findall(r"\$\{(\w+)\}", said)}
        if state["Resource"] == "arn:aws:states:::lambda:invoke":
            (function,) = words.values()
            found |= {("lambda:InvokeFunction", arn) for arn in _functions(stack, function)}
        elif state["Resource"].startswith("arn:aws:states:::aws-sdk:dynamodb:"):
            verb = state["Resource"].split(":")[-1].partition(".")[0]
            found.add((f"dynamodb:{verb[0].upper()}{verb[1:]}", stack.arn("CasesTable")))
            assert words == {"CasesTable": stack.properties("CasesTable")["TableName"]}
        elif state["Resource"] == "arn:aws:states:::states:startExecution.sync:2":
            # IAM policies for calling Step Functions workflows, run a job (.sync)
            started = words["StoreWorkflow"]
            found.add(("states:StartExecution", started))
            executions = f"{started.replace(':stateMachine:', ':execution:')}:*"
            found |= {("states:DescribeExecution", executions), ("states:StopExecution", executions)}
            rule = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
            arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}"
            found |= {(f"events:{verb}", arn) for verb in ("PutTargets", "PutRule", "DescribeRule")}
        else:
            raise NotImplementedError(f"{state_name}: which rights does {state['Resource']} need?")
    return found


def _functions(stack: Stack, named: str) -> list[str]:
    """The functions that a name stands for: one, or those of every kind of store."""
    from dsr.stores import registry

    if not named.endswith("-store-"):
        return [named]
    return [f"{named}{kind}" for kind in registry._KINDS]


@pytest.mark.parametrize("name", names())
def test_a_machines_role_allows_what_its_tasks_do_and_no_more(stack: Stack, name: str) -> None:
    """The local cloud does not look at it."""
    role = f"{MACHINES[name]}Role"
    assert stack.properties(MACHINES[name])["RoleArn"] == stack.arn(role)
    granted = {
        (action, resource)
        for statement in iam.statements(stack.properties(role))
        for action in iam.listed(statement["Action"])
        for resource in iam.listed(statement["Resource"])
    }
    assert granted == rights(stack, name)


def test_every_kind_of_store_has_its_worker(stack: Stack) -> None:
    """The kind is data: a worker by its name must be there."""
    from dsr.stores import registry

    prefix = stack.properties("StoreWorkflow")["DefinitionSubstitutions"]["StoreFunctions"]
    functions = {stack.arn(name) for name in stack.of_type("AWS::Lambda::Function")}
    workers = {arn.removeprefix(prefix) for arn in functions if arn.startswith(prefix)}
    assert workers == registry._KINDS.keys()


def test_the_transformed_machines_hold_the_definitions() -> None:
    """SAM passes them on unchanged."""
    for name, machine in MACHINES.items():
        properties = transformed()["Resources"][machine]["Properties"]
        joined = "".join(properties["DefinitionString"]["Fn::Join"][1])
        assert json.loads(joined) == definition(name)
