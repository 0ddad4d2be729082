"""Each function: its code, its settings, its logs, its layers."""

import dataclasses
import importlib
import re
from typing import Any

import pytest

from tests.template import reach
from tests.template.cloudformation import ROOT, Stack, folders, source
from tests.template.test_roles import function_of

FOLDERS = folders()
FROM_POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}
LAYERS = {"dsr", "plan", "base", "sql", "lake"}  # what infra/build.py fills
RESERVE_SECONDS = 30  # a worker's for saving its place, as the code has it


def environment(stack: Stack, folder: str) -> dict[str, Any]:
    """The variables of the function in that folder."""
    found: dict[str, Any] = stack.properties(function_of(stack, folder))["Environment"]["Variables"]
    return found


def test_every_handler_is_deployed_and_every_function_has_one(stack: Stack) -> None:
    """Folder, function and logical name are the same words."""
    functions = stack.of_type("AWS::Lambda::Function")
    assert reach.handlers() == FOLDERS
    names = {f"dsr-{folder.replace('_', '-')}" for folder in FOLDERS}
    assert {p["FunctionName"] for p in functions.values()} == names
    for name, properties in functions.items():
        words = properties["FunctionName"].removeprefix("dsr-").replace("-", "")
        assert name.lower() == f"{words}function"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_runs_its_folders_handler(stack: Stack, folder: str) -> None:
    """On the runtime that the layers are built for."""
    function = function_of(stack, folder)
    properties = stack.properties(function)
    assert source()["Resources"][function]["Properties"]["CodeUri"].strip("/") == f"functions/{folder}"
    assert properties["Handler"] == "handler.handler"
    assert "handler" in reach.module(f"{folder}.handler").definitions
    assert properties["Runtime"] == "python3.13"
    assert properties["Architectures"] == ["arm64"]
    assert properties["Description"]
    assert properties.get("PackageType", "Zip") == "Zip"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_logs_to_its_own_group(stack: Stack, folder: str) -> None:
    """One that the stack makes, so that it has a retention and a key from its first line on."""
    properties = stack.properties(function_of(stack, folder))
    group = properties["LoggingConfig"]["LogGroup"]
    assert group == f"/aws/lambda/{properties['FunctionName']}"
    assert group in {g["LogGroupName"] for g in stack.of_type("AWS::Logs::LogGroup").values()}


def settings_of(folder: str) -> "list[dataclasses.Field[Any]]":
    """What a function asks of its environment: its own settings, and those of a kind of store."""
    asked = sorted(reach.settings_of(folder))
    assert len(asked) == 1 or folder.startswith("store_")
    return [f for m, name in asked for f in dataclasses.fields(getattr(importlib.import_module(m), name))]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_is_told_what_it_asks_for(stack: Stack, folder: str) -> None:
    """Every variable that its settings require, with a value; none that nothing reads."""
    fields = settings_of(folder)
    required = {f.name.upper() for f in fields if f.default is dataclasses.MISSING}
    known = {f.name.upper() for f in fields}
    told = environment(stack, folder)
    assert required <= told.keys()
    assert told.keys() - FROM_POWERTOOLS <= known
    for variable, value in told.items():
        assert str(value), variable
        if any(f.name.upper() == variable and f.type in (int, "int") for f in fields):
            assert re.fullmatch(r"\d+", str(value)), variable


def test_a_parameter_reaches_every_function_that_knows_the_setting(stack: Stack) -> None:
    """A setting with a default in the code and a parameter of its name is not left at the default."""
    parameters = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() for name in source()["Parameters"]}
    for folder in FOLDERS:
        meant = {f.name.upper() for f in settings_of(folder)} & parameters
        assert meant <= environment(stack, folder).keys(), folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_environment_fits(stack: Stack, folder: str) -> None:
    """4 KB in all (AWS Lambda quotas), also with the longest name of a deployment."""
    longest = Stack(Name="d" * 21, Sender=f"{'s' * 64}@{'d' * 189}.example")
    named = {
        name: p["Environment"]["Variables"] for name, p in longest.of_type("AWS::Lambda::Function").items()
    }
    variables = named[function_of(stack, folder)]
    assert sum(len(key) + len(str(value)) for key, value in variables.items()) < 4096


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_has_the_layers_it_needs(stack: Stack, folder: str) -> None:
    """Library, map and base; the heavy ones each for one worker alone."""
    resources = source()["Resources"]
    layers = [layer["Ref"] for layer in resources[function_of(stack, folder)]["Properties"]["Layers"]]
    heavy = {"store_sql": {"SqlLayer"}, "store_lake": {"LakeLayer"}}.get(folder, set())
    assert set(layers) == {"DsrLayer", "PlanLayer", "BaseLayer"} | heavy
    assert len(layers) <= 5  # AWS Lambda quotas
    for layer in layers:
        properties = resources[layer]["Properties"]
        assert properties["ContentUri"].removeprefix("build/layers/").strip("/") in LAYERS
        assert properties["CompatibleRuntimes"] == ["python3.13"]
        assert properties["CompatibleArchitectures"] == ["arm64"]


def test_functions_end_before_their_callers_give_up(stack: Stack) -> None:
    """A page within the 29 s of API Gateway; a worker's budget and reserve within its timeout."""
    budget = source()["Parameters"]["BudgetSeconds"]["MaxValue"]
    for folder in FOLDERS:
        timeout = stack.properties(function_of(stack, folder))["Timeout"]
        assert timeout <= 900
        if folder.endswith("_web"):
            assert timeout < 29
        if "BUDGET_SECONDS" in environment(stack, folder):
            assert timeout >= budget + RESERVE_SECONDS
    for module in ("store_worker", "bundling"):
        text = (ROOT / f"functions/dsr/{module}.py").read_text()
        assert f"_RESERVE_SECONDS = {RESERVE_SECONDS}\n" in text


def test_functions_that_nobody_waits_for_have_dead_letters(stack: Stack) -> None:
    """Those invoked as an event or by a schedule: what fails for good must be seen."""
    functions = stack.of_type("AWS::Lambda::Function")
    scheduled = {s["Target"]["Arn"] for s in stack.of_type("AWS::Scheduler::Schedule").values()}
    targets = {t["Arn"] for rule in stack.of_type("AWS::Events::Rule").values() for t in rule["Targets"]}
    asynchronous = {name for name in functions if stack.arn(name) in scheduled | targets}
    for folder in FOLDERS:
        code = "".join(reach.modules_by_file()[m].read_text() for m in {m for m, _ in reach.reached(folder)})
        if 'InvocationType="Event"' in code:
            invoked = environment(stack, folder)["SEND_NOTICE_FUNCTION"]
            asynchronous |= {n for n, p in functions.items() if p["FunctionName"] == invoked}
    assert asynchronous == {
        "SendNoticeFunction",
        "KeepClocksFunction",
        "SignHeadsFunction",
        "TakeSiteEventFunction",
    }
    with_letters = {n for n, p in functions.items() if "DeadLetterConfig" in p}
    assert with_letters == asynchronous
    for name in with_letters:
        assert functions[name]["DeadLetterConfig"] == {"TargetArn": stack.arn("DeadLetters")}


def test_only_the_sql_worker_enters_a_network(stack: Stack, in_vpc: Stack) -> None:
    """And only where the operator names one."""

    def inside(deployed: Stack) -> dict[str, Any]:
        functions = deployed.of_type("AWS::Lambda::Function")
        return {name: p["VpcConfig"] for name, p in functions.items() if "VpcConfig" in p}

    network = {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert inside(stack) == {}
    assert inside(in_vpc) == {"StoreSQLFunction": network}


def test_functions_do_not_ask_for_their_own_stack(stack: Stack) -> None:
    """What they need to know is in their environment: asking CloudFormation is slow and throttled."""
    calls = {call for calls in reach.call_sites().values() for call in calls}
    assert not [call for call in calls if call.startswith("cloudformation.")]
