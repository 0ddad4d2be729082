"""Each role allows what its owner does, and no more."""

import json
import re
from typing import Any

import pytest

from tests.template import iam, reach
from tests.template.calls import RIGHTS, Need, needs, rights
from tests.template.cloudformation import ACCOUNT, REGION, ROOT, Stack, folders

FOLDERS = folders()

# Where a resource is the wildcard alone, and why no narrower one will do.
WIDE = {
    "ec2:CreateNetworkInterface": "made before it has a name (VPC access of AWS Lambda)",
    "ec2:DescribeNetworkInterfaces": "knows no resources (Service Authorization Reference, Amazon EC2)",
    "ec2:DescribeSubnets": "knows no resources (Service Authorization Reference, Amazon EC2)",
    "ec2:DeleteNetworkInterface": "made before it has a name (VPC access of AWS Lambda)",
    "ec2:AssignPrivateIpAddresses": "made before it has a name (VPC access of AWS Lambda)",
    "ec2:UnassignPrivateIpAddresses": "made before it has a name (VPC access of AWS Lambda)",
    "logs:CreateLogDelivery": "log delivery knows no resources (Logging in Step Functions)",
    "logs:DeleteLogDelivery": "log delivery knows no resources (Logging in Step Functions)",
    "logs:DescribeLogGroups": "log delivery knows no resources (Logging in Step Functions)",
    "logs:DescribeResourcePolicies": "log delivery knows no resources (Logging in Step Functions)",
    "logs:GetLogDelivery": "log delivery knows no resources (Logging in Step Functions)",
    "logs:ListLogDeliveries": "log delivery knows no resources (Logging in Step Functions)",
    "logs:PutResourcePolicy": "log delivery knows no resources (Logging in Step Functions)",
    "logs:UpdateLogDelivery": "log delivery knows no resources (Logging in Step Functions)",
    "ses:SendEmail": "narrowed by ses:FromAddress; the local cloud gives no identity as resource",
    "sns:Publish": "a phone number has no ARN (Amazon SNS in Step Functions); topics are denied",
    "states:SendTaskSuccess": "knows no resources (Service Authorization Reference); the token decides",
}
# Roles that are no function's.
OTHERS = {
    "RequestWorkflowRole",
    "StoreWorkflowRole",
    "SweepWorkflowRole",
    "LakeWorkflowRole",
    "SchedulerRole",
}


def function_of(stack: Stack, folder: str) -> str:
    """The logical name of the function whose code is in that folder."""
    name = f"dsr-{folder.replace('_', '-')}"
    return next(n for n, p in stack.of_type("AWS::Lambda::Function").items() if p["FunctionName"] == name)


def role_of(stack: Stack, function: str) -> str:
    """The logical name of a function's role."""
    arn = stack.properties(function)["Role"]
    return next(name for name in stack.of_type("AWS::IAM::Role") if stack.arn(name) == arn)


def test_the_table_knows_every_call_of_the_code() -> None:
    """No call without a row, and no row that nothing calls."""
    deployed = {site for folder in FOLDERS for site in reach.sites_of(folder)}
    called = reach.call_sites()
    for site in deployed:
        for operation in called[site]:
            rights(site, operation)
    for place, row in RIGHTS.items():
        made = {op for site, ops in called.items() if f"{site}.".startswith(f"{place}.") for op in ops}
        assert row.keys() <= made, f"{place} no longer calls {row.keys() - made}"


def test_what_is_said_not_to_be_called_would_seem_to_be() -> None:
    """Each exception from the search is needed."""
    for folder, excepted in reach.NOT_CALLED.items():
        assert excepted.keys() <= reach.reached(folder, believe=False), folder
        assert not excepted.keys() & reach.reached(folder), folder


def test_clients_are_made_in_one_place() -> None:
    """What the tables are read from is all there is."""
    for name, path in reach.modules_by_file().items():
        if name != "dsr.aws":
            assert not re.search(r"boto3\.(client|resource|Session)|get_session\(", path.read_text()), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_role_allows_what_its_function_calls(stack: Stack, in_vpc: Stack, folder: str) -> None:
    """Every call that the function can reach, and what Lambda does for it."""
    for deployed in (stack, in_vpc):
        function = function_of(deployed, folder)
        policy = list(iam.statements(deployed.properties(role_of(deployed, function))))
        missing = [
            need
            for need in needs(deployed, folder, function)
            if not iam.allows(policy, need.action, need.resource, dict(need.context))
        ]
        assert not missing


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_role_allows_nothing_that_its_function_does_not_call(in_vpc: Stack, folder: str) -> None:
    """Each action of each statement, on each of its resources, is for a call."""
    function = function_of(in_vpc, folder)
    needed = list(needs(in_vpc, folder, function))
    spare = [
        (action, resource)
        for statement in iam.statements(in_vpc.properties(role_of(in_vpc, function)))
        if statement["Effect"] == "Allow"
        for action in iam.listed(statement["Action"])
        for resource in iam.listed(statement["Resource"])
        if not any(_serves(statement, action, resource, need) for need in needed)
    ]
    assert not spare


def _serves(statement: iam.Statement, action: str, resource: str, need: Need) -> bool:
    fits = iam.matches(action, need.action) and iam.matches(resource, need.resource)
    return fits and iam.holds(statement, dict(need.context))


def test_every_function_has_a_role_of_its_own(stack: Stack) -> None:
    """No two share one, and no role is left over."""
    roles = [role_of(stack, function) for function in stack.of_type("AWS::Lambda::Function")]
    assert len(roles) == len(set(roles))
    assert set(roles) | OTHERS == stack.of_type("AWS::IAM::Role").keys()
    for function, properties in stack.of_type("AWS::Lambda::Function").items():
        name = stack.properties(role_of(stack, function))["RoleName"]
        assert name == f"{properties['FunctionName']}-role"


def test_roles_hold_no_wildcard_but_those_with_a_reason(in_vpc: Stack) -> None:
    """Neither in actions nor as the whole resource, and no policy that AWS manages."""
    wide = set()
    for name, role in in_vpc.of_type("AWS::IAM::Role").items():
        assert "ManagedPolicyArns" not in role, f"{name}: what AWS manages is more than one function's job"
        for statement in iam.statements(role):
            assert statement["Effect"] == "Allow" or statement["Action"] == ["sns:Publish"], name
            assert "NotAction" not in statement
            assert "NotResource" not in statement
            for action in iam.listed(statement["Action"]):
                assert "*" not in action, f"{name}: {action}"
                if "*" in iam.listed(statement["Resource"]):
                    assert action in WIDE, f"{name}: {action} on everything"
                    wide.add(action)
    assert wide == WIDE.keys()


def test_roles_are_within_what_iam_takes(in_vpc: Stack) -> None:
    """10,240 characters of inline policies to a role, white space not counted (IAM and STS quotas)."""
    for name, role in in_vpc.of_type("AWS::IAM::Role").items():
        size = sum(len(json.dumps(p["PolicyDocument"], separators=(",", ":"))) for p in role["Policies"])
        assert size < 10_240, name


def test_roles_are_assumed_by_their_service_alone(stack: Stack) -> None:
    """By Lambda, or for machines and schedules of this account (Cross-service confused deputy prevention)."""
    for name, role in stack.of_type("AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        (service,) = statement["Principal"].values()
        if name in OTHERS:
            expected = "scheduler.amazonaws.com" if name == "SchedulerRole" else "states.amazonaws.com"
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
        else:
            expected = "lambda.amazonaws.com"
        assert service == expected
        assert statement["Action"] == "sts:AssumeRole"


def test_mail_goes_out_from_the_one_sender(stack: Stack) -> None:
    """Another address is refused: on AWS each SendEmail brings ses:FromAddress."""
    policy = list(iam.statements(stack.properties("SendNoticeRole")))
    identity = f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/craftzone.example"
    assert iam.allows(policy, "ses:SendEmail", identity, {"ses:FromAddress": "privacy@craftzone.example"})
    assert not iam.allows(policy, "ses:SendEmail", identity, {"ses:FromAddress": "ceo@craftzone.example"})


def test_text_messages_go_to_phone_numbers_alone_and_only_where_they_are_wanted(
    stack: Stack, in_vpc: Stack
) -> None:
    """Neither to a topic of the account, nor by any other function."""
    topic, number = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms", "+447700900123"
    for deployed, wanted in ((stack, set()), (in_vpc, {"SendNoticeRole"})):
        roles = {n: list(iam.statements(r)) for n, r in deployed.of_type("AWS::IAM::Role").items()}
        assert {name for name, role in roles.items() if iam.allows(role, "sns:Publish", number)} == wanted
        assert not [name for name, role in roles.items() if iam.allows(role, "sns:Publish", topic)]


def test_only_the_roles_of_stores_are_assumed(stack: Stack) -> None:
    """Neither other roles nor one without the external id."""
    for name, role in stack.of_type("AWS::IAM::Role").items():
        policy = list(iam.statements(role))
        given = {"sts:ExternalId": "dsr"}
        assert not iam.allows(policy, "sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin", given), name
        other = {"sts:ExternalId": "somebody else's"}
        members = "arn:aws:iam::444455556666:role/craftzone-dsr-members"
        assert not iam.allows(policy, "sts:AssumeRole", members, other), name


def test_schedules_run_what_they_are_for_and_reach_the_dead_letters(stack: Stack) -> None:
    """And nothing else (Configuring a schedule's dead-letter queue, EventBridge Scheduler)."""
    via = {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"}
    wanted: list[tuple[str, str, dict[str, str]]] = [
        ("lambda:InvokeFunction", stack.arn("KeepClocksFunction"), {}),
        ("lambda:InvokeFunction", stack.arn("SignHeadsFunction"), {}),
        ("states:StartExecution", stack.arn("SweepWorkflow"), {}),
        ("states:StartExecution", stack.arn("LakeWorkflow"), {}),
        ("sqs:SendMessage", stack.arn("DeadLetters"), {}),
        ("kms:GenerateDataKey", stack.arn("DataKey"), via),
        ("kms:Decrypt", stack.arn("DataKey"), via),
    ]
    policy = list(iam.statements(stack.properties("SchedulerRole")))
    for action, resource, context in wanted:
        assert iam.allows(policy, action, resource, context)
    granted = {(a, r) for s in policy for a in iam.listed(s["Action"]) for r in iam.listed(s["Resource"])}
    assert granted == {(action, resource) for action, resource, _ in wanted}
    schedules = stack.of_type("AWS::Scheduler::Schedule").values()
    targets = ("KeepClocksFunction", "SignHeadsFunction", "SweepWorkflow", "LakeWorkflow")
    run = {stack.arn(name) for name in targets}
    assert {schedule["Target"]["Arn"] for schedule in schedules} == run


# -- the roles that the stores' owners deploy ------------------------------------------------------

# boto3's verbs, as the stores call them, → actions. GetObject with a version asks for another right.
STORE_RIGHTS = {
    "describe_table": {"dynamodb:DescribeTable"},
    "query": {"dynamodb:Query"},
    "batch_get_item": {"dynamodb:BatchGetItem"},
    "batch_write_item": {"dynamodb:BatchWriteItem"},
    "transact_write_items": {"dynamodb:DeleteItem"},
    "list_objects_v2": {"s3:ListBucket"},
    "head_object": {"s3:GetObject"},
    "get_object": {"s3:GetObject", "s3:GetObjectVersion"},
    "get_object_tagging": {"s3:GetObjectTagging"},
    "list_object_versions": {"s3:ListBucketVersions"},
    "delete_objects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "put_object": {"s3:PutObject", "s3:PutObjectTagging"},
    "complete_multipart_upload": {"s3:PutObject", "s3:AbortMultipartUpload"},
    "list_users": {"cognito-idp:ListUsers"},
    "get_secret_value": {"secretsmanager:GetSecretValue"},
}


def test_roles_of_stores_allow_what_the_workers_call() -> None:
    """Each verb in the module of a kind, in the roles that the map's compiler writes for it."""
    from dsr.datamap.compile import compile_file
    from dsr.datamap.roles import roles_template

    values = {"account": ACCOUNT, "region": REGION, "user_pool": f"{REGION}_x"}
    values |= {
        "mailing": "https://hooks.letterbird.example/dsr",
        "revocation": "https://accounts.example/revoke",
    }
    plan = compile_file(ROOT / "infra/craftzone/datamap.yaml", values)
    template = roles_template(plan)
    for store in (s for s in plan.stores.values() if s.kind != "manual"):  # which calls nobody
        logical = next(
            n for n, r in template["Resources"].items() if store.role.endswith(r["Properties"]["RoleName"])
        )
        role: dict[str, Any] = template["Resources"][logical]["Properties"]
        granted = {a for s in iam.statements(role) for a in s["Action"]}
        kind = f"dsr.stores.{store.kind}"
        own = [name for name in reach.modules_by_file() if f"{name}.".startswith(f"{kind}.")]
        modules = [*own, *(["dsr.bundle.build"] if store.kind == "s3" else [])]
        text = "".join(reach.modules_by_file()[name].read_text() for name in modules)
        verbs = [v for v in STORE_RIGHTS if re.search(rf'"{v}"|\.{v}\(', text)]
        assert verbs, store.kind
        for verb in verbs:
            assert STORE_RIGHTS[verb] <= granted, f"{store.name}: {verb}"
        assert not any("*" in action for action in granted)
