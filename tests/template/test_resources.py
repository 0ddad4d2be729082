"""What the local cloud drops or does not enforce, by name: keys, tables, buckets, queues, logs, the API."""

import re
from typing import Any

import pytest

from dsr.web.desk.roles import Role
from tests.template import iam
from tests.template.cloudformation import ACCOUNT, REGION, ROOT, Stack, source

TABLES = {"CasesTable", "SuppressionTable", "CaseKeysTable"}
BUCKETS = {"StagingBucket", "BundlesBucket", "ProofBucket"}
KEYS = {"DataKey", "CaseKey", "MacKey", "SigningKey", "SuppressionKey"}
KEPT = TABLES | BUCKETS | KEYS
GONE = {"FrontDoorTable", "DeadLetters"}  # nothing in them is worth keeping: sessions, ids of failed events


# -- what stays when the stack goes ----------------------------------------------------------------


def test_what_holds_cases_or_opens_them_outlives_the_stack(stack: Stack) -> None:
    """Deleting the stack, or replacing a resource, deletes no case, no bundle and no key."""
    for name in KEPT:
        resource = stack.resources[name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain"), name
    for name in GONE:
        resource = stack.resources[name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Delete"), name
    stateful = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SQS::Queue")
    held = {name for kind in stateful for name in stack.of_type(kind)}
    assert held == KEPT | GONE


# -- keys ------------------------------------------------------------------------------------------


def test_keys_that_encrypt_are_rotated(stack: Stack) -> None:
    """Once a year. Those for hashes and signatures cannot be (Rotate AWS KMS keys)."""
    keys = stack.of_type("AWS::KMS::Key")
    assert {name for name, key in keys.items() if key.get("EnableKeyRotation")} == {"DataKey", "CaseKey"}
    others = {name: (key["KeySpec"], key["KeyUsage"]) for name, key in keys.items() if "KeySpec" in key}
    assert others == {
        "MacKey": ("HMAC_256", "GENERATE_VERIFY_MAC"),
        "SuppressionKey": ("HMAC_256", "GENERATE_VERIFY_MAC"),
        "SigningKey": ("ECC_NIST_P256", "SIGN_VERIFY"),
    }


def test_keys_are_ruled_by_the_account_and_open_to_nobody_else(stack: Stack) -> None:
    """No principal of another account, and no service but through a condition."""
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    for name, key in stack.of_type("AWS::KMS::Key").items():
        first, *others = key["KeyPolicy"]["Statement"]
        assert (first["Principal"], first["Action"]) == (root, "kms:*")
        assert name == "DataKey" or not others, f"{name} is for the roles that the account grants it to"
        for statement in others:
            assert statement["Condition"]


def test_tables_are_decrypted_for_whoever_may_use_them(stack: Stack) -> None:
    """Through DynamoDB in this account and region, never directly (DynamoDB encryption usage notes)."""
    policy = stack.properties("DataKey")["KeyPolicy"]["Statement"][1:]
    through = {"kms:ViaService": f"dynamodb.{REGION}.amazonaws.com", "kms:CallerAccount": ACCOUNT}
    needed = ("Encrypt", "Decrypt", "ReEncryptFrom", "GenerateDataKey", "DescribeKey", "CreateGrant")
    for action in needed:
        assert iam.allows(policy, f"kms:{action}", "*", through)
        assert not iam.allows(policy, f"kms:{action}", "*", {"kms:CallerAccount": ACCOUNT})
        assert not iam.allows(policy, f"kms:{action}", "*", through | {"kms:CallerAccount": "444455556666"})
    for name, table in stack.of_type("AWS::DynamoDB::Table").items():
        assert table["SSESpecification"] == {
            "SSEEnabled": True,
            "SSEType": "KMS",
            "KMSMasterKeyId": "DataKey-id",
        }, name


def test_logs_are_encrypted_under_our_key_and_only_ours_are(stack: Stack) -> None:
    """CloudWatch Logs names the group in the encryption context (Encrypt log data using AWS KMS)."""
    policy = stack.properties("DataKey")["KeyPolicy"]["Statement"][1:]
    groups = [g["LogGroupName"] for g in stack.of_type("AWS::Logs::LogGroup").values()]
    for group in groups:
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"
        for action in ("Encrypt", "Decrypt", "ReEncryptTo", "GenerateDataKey", "DescribeKey"):
            assert iam.allows(policy, f"kms:{action}", "*", {"kms:EncryptionContext:aws:logs:arn": arn})
    other = {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/other"}
    assert not iam.allows(policy, "kms:Decrypt", "*", other)


# -- tables ----------------------------------------------------------------------------------------


def test_tables_cost_nothing_while_nothing_is_asked(stack: Stack) -> None:
    """On demand, indexes included."""
    for name, table in stack.of_type("AWS::DynamoDB::Table").items():
        assert table["BillingMode"] == "PAY_PER_REQUEST", name
        assert "ProvisionedThroughput" not in str(table)


def test_cases_can_be_recovered_and_destroyed_keys_cannot(stack: Stack) -> None:
    """Point-in-time recovery would bring a destroyed key back for 35 days; so would a stream or a replica."""
    tables = stack.of_type("AWS::DynamoDB::Table")
    recovered = {n: t["PointInTimeRecoverySpecification"] for n, t in tables.items()}
    assert recovered == {
        "CasesTable": {"PointInTimeRecoveryEnabled": True},
        "CaseKeysTable": {"PointInTimeRecoveryEnabled": False},
        "FrontDoorTable": {"PointInTimeRecoveryEnabled": False},
        "SuppressionTable": {"PointInTimeRecoveryEnabled": True},
    }
    assert not {"StreamSpecification", "KinesisStreamSpecification"} & tables["CaseKeysTable"].keys()
    assert "GlobalSecondaryIndexes" not in tables["CaseKeysTable"]


def test_sessions_and_codes_expire_by_themselves(stack: Stack) -> None:
    """By the attribute that the front door writes."""
    tables = stack.of_type("AWS::DynamoDB::Table")
    expiring = {n: t["TimeToLiveSpecification"] for n, t in tables.items() if "TimeToLiveSpecification" in t}
    expires = {"AttributeName": "expires", "Enabled": True}
    assert expiring == {"FrontDoorTable": expires, "SuppressionTable": expires}
    front_door = (ROOT / "functions/dsr/front_door.py").read_text()
    assert '"expires": expires' in front_door


# -- buckets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bucket", ["StagingBucket", "BundlesBucket"])
def test_buckets_are_private_encrypted_and_versioned(stack: Stack, bucket: str) -> None:
    """Under our key, with a bucket key so that not every object is a call to KMS."""
    properties = stack.properties(bucket)
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": stack.arn("DataKey"),
    }
    assert rule["BucketKeyEnabled"] is True
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert set(stack.of_type("AWS::S3::Bucket")) == BUCKETS


def test_what_is_proven_is_locked_and_needs_no_key_of_ours(stack: Stack) -> None:
    """For 24 months at least (11 CCR 7101), in the mode that the operator chooses; nothing expires."""
    properties = stack.properties("ProofBucket")
    assert properties["ObjectLockEnabled"] is True
    retention = properties["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert retention["Mode"] == "GOVERNANCE"
    assert int(retention["Days"]) >= 731
    strict = Stack(ProofLockMode="COMPLIANCE").properties("ProofBucket")["ObjectLockConfiguration"]
    assert strict["Rule"]["DefaultRetention"]["Mode"] == "COMPLIANCE"
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "LifecycleConfiguration" not in properties
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert all(properties["PublicAccessBlockConfiguration"].values())
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_keys_that_sign_can_be_replaced_and_the_earlier_ones_stay(stack: Stack) -> None:
    """By a parameter: the newest signs, all are published."""
    own = stack.properties("SignHeadsFunction")["Environment"]["Variables"]["SIGNING_KEYS"]
    assert own == stack.arn("SigningKey")
    keys = [f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{name}" for name in ("new", "old")]
    rotated = Stack(SigningKeys=",".join(keys))
    for function in ("SignHeadsFunction", "IssueCertificateFunction", "PublicWebFunction"):
        variables = rotated.properties(function)["Environment"]["Variables"]
        assert variables["SIGNING_KEYS"] == ",".join(keys)
        policy = list(iam.statements(rotated.properties(function.replace("Function", "Role"))))
        assert all(iam.allows(policy, "kms:GetPublicKey", key, {}) for key in keys)


def test_buckets_forget_what_the_workflow_did_not_remove(stack: Stack) -> None:
    """Objects, their old versions and unfinished uploads; and nothing before it may be missed."""
    rules = {
        name: {r["Id"]: r for r in bucket["LifecycleConfiguration"]["Rules"]}
        for name, bucket in stack.of_type("AWS::S3::Bucket").items()
        if name != "ProofBucket"
    }
    own = (("StagingBucket", "staged", "cases/"), ("BundlesBucket", "bundles", "bundles/"))
    for name, identifier, prefix in own:
        rule = rules[name][identifier]
        assert (rule["Prefix"], rule["Status"]) == (prefix, "Enabled")
        assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
        left = rules[name]["leftovers"]
        assert left["Status"] == "Enabled"
        assert "Prefix" not in left
        assert left["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] <= 2
    assert rules["StagingBucket"]["plans"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert "ExpirationInDays" not in rules["StagingBucket"]["plans"], "a case may still run by an old plan"
    parameters = source()["Parameters"]
    assert rules["BundlesBucket"]["bundles"]["ExpirationInDays"] >= parameters["BundleDays"]["MaxValue"]
    # A deletion finds by what was staged before it was confirmed and cooled off, and may rest for a person.
    longest = parameters["IdentityDays"]["MaxValue"] + parameters["CoolingHours"]["MaxValue"] / 24
    assert rules["StagingBucket"]["staged"]["ExpirationInDays"] >= longest + 180
    # Certificates are evidence: they stay.
    assert not [
        r for r in rules["BundlesBucket"].values() if "certificates/".startswith(r.get("Prefix", "x"))
    ]


@pytest.mark.parametrize("bucket", sorted(BUCKETS))
def test_buckets_refuse_plain_http(stack: Stack, bucket: str) -> None:
    """Unless an operator says otherwise, which only a local cloud needs."""
    policy = stack.properties(f"{bucket}Policy")
    assert policy["Bucket"] == stack.properties(bucket)["BucketName"]
    statements = policy["PolicyDocument"]["Statement"]
    for resource in (stack.arn(bucket), f"{stack.arn(bucket)}/any"):
        refusing = [s for s in statements if iam.concerns(s, "s3:GetObject", resource)]
        assert [s["Effect"] for s in refusing] == ["Deny"]
        assert iam.holds(refusing[0], {"aws:SecureTransport": "false"})
        assert not iam.holds(refusing[0], {"aws:SecureTransport": "true"})
        assert refusing[0]["Principal"] == "*"
    assert not Stack(RequireTls="false").of_type("AWS::S3::BucketPolicy")


# -- the desk --------------------------------------------------------------------------------------


def test_accounts_of_the_desk_are_given_and_well_kept(stack: Stack) -> None:
    """By an administrator alone, with long passwords and a second factor for who wants one."""
    pool = stack.properties("DeskUserPool")
    assert pool["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert pool["DeletionProtection"] == "ACTIVE"
    assert (pool["MfaConfiguration"], pool["EnabledMfas"]) == ("OPTIONAL", ["SOFTWARE_TOKEN_MFA"])
    policy = pool["Policies"]["PasswordPolicy"]
    assert policy["MinimumLength"] >= 14
    assert all(policy[f"Require{kind}"] for kind in ("Lowercase", "Uppercase", "Numbers", "Symbols"))
    resource = stack.resources["DeskUserPool"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_groups_of_the_desk_are_its_roles(stack: Stack) -> None:
    """Word for word: the claim in the token is all that gives a role."""
    groups = stack.of_type("AWS::Cognito::UserPoolGroup").values()
    assert {group["GroupName"] for group in groups} == {role.value for role in Role}


# -- queues, logs, tags ----------------------------------------------------------------------------


def test_dead_letters_are_kept_as_long_as_can_be(stack: Stack) -> None:
    """14 days, under our key."""
    queue = stack.properties("DeadLetters")
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert queue["KmsMasterKeyId"] == "DataKey-id"
    assert "FifoQueue" not in queue, "a schedule's dead letters take no FIFO queue"


def test_events_that_cannot_be_delivered_reach_the_dead_letters(stack: Stack) -> None:
    """EventBridge writes to the queue as itself: the queue and its key must let it, for our rules alone.

    Using resource-based policies for Amazon EventBridge; dead-letter queues of rules.
    """
    queue = stack.arn("DeadLetters")
    for rule in stack.of_type("AWS::Events::Rule").values():
        assert rule["EventBusName"] == stack.properties("SiteEvents")["Name"]
        for target in rule["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": queue}
    (policy,) = stack.of_type("AWS::SQS::QueuePolicy").values()
    of_queue = policy["PolicyDocument"]["Statement"]
    of_key = stack.properties("DataKey")["KeyPolicy"]["Statement"][1:]
    rules = f"arn:aws:events:{REGION}:{ACCOUNT}:rule"
    ours = {"aws:SourceArn": f"{rules}/dsr-site/any", "aws:SourceAccount": ACCOUNT}
    others = {"aws:SourceArn": f"{rules}/other/any", "aws:SourceAccount": ACCOUNT}
    for statements, action, resource in (
        (of_queue, "sqs:SendMessage", queue),
        (of_key, "kms:GenerateDataKey", "*"),
        (of_key, "kms:Decrypt", "*"),
    ):
        by_events = [s for s in statements if s["Principal"] == {"Service": "events.amazonaws.com"}]
        assert iam.allows(by_events, action, resource, ours)
        assert not iam.allows(by_events, action, resource, others)


def test_schedules_have_dead_letters_and_do_not_insist(stack: Stack) -> None:
    """The next run makes up for a missed one."""
    schedules = {s["Name"]: s for s in stack.of_type("AWS::Scheduler::Schedule").values()}
    assert schedules.keys() == {"dsr-keep-clocks", "dsr-sign-heads", "dsr-sweep", "dsr-lake"}
    for schedule in schedules.values():
        assert schedule["State"] == "ENABLED"
        assert schedule["Target"]["DeadLetterConfig"] == {"Arn": stack.arn("DeadLetters")}
        assert schedule["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 60 * 60
    assert schedules["dsr-keep-clocks"]["ScheduleExpression"] == "rate(15 minutes)"
    assert schedules["dsr-sweep"]["ScheduleExpression"] == "cron(30 2 * * ? *)"
    assert schedules["dsr-lake"]["ScheduleExpression"] == "cron(30 3 * * ? *)"
    off = Stack(Schedules="DISABLED", SweepSchedule="rate(12 hours)").of_type("AWS::Scheduler::Schedule")
    assert {s["State"] for s in off.values()} == {"DISABLED"}
    assert "rate(12 hours)" in {s["ScheduleExpression"] for s in off.values()}


def test_logs_are_kept_as_long_as_said_and_encrypted(stack: Stack) -> None:
    """Every group."""
    for name, group in stack.of_type("AWS::Logs::LogGroup").items():
        assert str(group["RetentionInDays"]) == "90", name
        assert group["KmsKeyId"] == stack.arn("DataKey"), name
        assert stack.resources[name].get("DeletionPolicy", "Delete") == "Delete", name


TAGGED = {
    "AWS::DynamoDB::Table",
    "AWS::Events::EventBus",
    "AWS::KMS::Key",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::StepFunctions::StateMachine",
    "AWS::ApiGateway::Stage",
}


def test_what_costs_bears_the_products_tag(stack: Stack) -> None:
    """So that its bill can be told from the company's."""
    for name, resource in stack.resources.items():
        if resource["Type"] in TAGGED:
            assert {"Key": "product", "Value": "dsr"} in resource["Properties"]["Tags"], name


# -- the API ---------------------------------------------------------------------------------------


def test_the_api_has_one_stage_and_it_is_throttled(stack: Stack) -> None:
    """SAM would make a second one, without throttles, if no OpenAPI version were named."""
    (stage,) = stack.of_type("AWS::ApiGateway::Stage").values()
    (deployment,) = stack.of_type("AWS::ApiGateway::Deployment").values()
    assert "StageName" not in deployment
    assert stage["StageName"] == "prod"
    (settings,) = stage["MethodSettings"]
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert settings["ThrottlingRateLimit"] > 0
    assert settings["ThrottlingBurstLimit"] > 0
    assert settings["DataTraceEnabled"] is False, "it would log what people submit"
    assert "LoggingLevel" not in settings
    assert settings["MetricsEnabled"] is False, "metrics per method are billed as custom ones"


def test_the_api_leads_every_address_to_the_pages(stack: Stack) -> None:
    """The root and all below it, by the methods that pages have, each listed."""
    body = stack.properties("Api")["Body"]
    assert {path: set(methods) for path, methods in body["paths"].items()} == {
        "/": {"get", "head"},
        "/{proxy+}": {"get", "head", "post"},
        "/desk": {"get"},
        "/desk/{proxy+}": {"get", "post"},
        "/answers/{question}": {"post"},
    }
    assert body["x-amazon-apigateway-binary-media-types"] == ["multipart/form-data"], "files that agents send"
    for path, methods in body["paths"].items():
        of_others = {"desk": "DeskWebFunction", "answers": "TakeAnswerFunction"}
        function = of_others.get(path.split("/")[1], "PublicWebFunction")
        for method in methods.values():
            integration = method["x-amazon-apigateway-integration"]
            assert (integration["type"], integration["httpMethod"]) == ("aws_proxy", "POST")
            assert stack.arn(function) in integration["uri"]
            assert "credentials" not in integration
    of_gateway = {
        permission["SourceArn"].split("/", 2)[2]
        for permission in stack.of_type("AWS::Lambda::Permission").values()
        if permission["Principal"] == "apigateway.amazonaws.com"
    }
    desk = {"GET/desk", "GET/desk/*", "POST/desk/*", "POST/answers/*"}
    assert of_gateway == {"GET/", "HEAD/", "GET/*", "HEAD/*", "POST/*"} | desk


def test_functions_are_invoked_by_what_is_ours(stack: Stack) -> None:
    """By this API and by this bus's rules: each permission names its source."""
    for name, permission in stack.of_type("AWS::Lambda::Permission").items():
        assert permission["Principal"] in ("apigateway.amazonaws.com", "events.amazonaws.com")
        own = "execute-api" if "apigateway" in permission["Principal"] else "rule/dsr-site/"
        assert own in permission["SourceArn"], name


def test_what_the_gateway_says_itself_tells_nothing_of_the_inside(stack: Stack) -> None:
    """Plain words for every response that it may make, and no variable in them."""
    responses: dict[str, Any] = stack.properties("Api")["Body"]["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "MISSING_AUTHENTICATION_TOKEN", "THROTTLED"} <= responses.keys()
    assert responses["DEFAULT_5XX"]["statusCode"] == 503
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == 404
    assert "statusCode" not in responses["DEFAULT_4XX"], "it would be every other 4xx response's too"
    for response in responses.values():
        for text in response["responseTemplates"].values():
            assert re.fullmatch(r"[A-Za-z;,. ]+", text)


# -- parameters and outputs ------------------------------------------------------------------------


def test_every_parameter_explains_itself() -> None:
    """With a description, a default, and a place in one group of the console's form."""
    template = source()
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])
    for name, parameter in template["Parameters"].items():
        assert len(parameter["Description"]) > 10, name
        assert "Default" in parameter, name
        if parameter["Type"] == "Number":
            assert parameter.keys() & {"MinValue", "AllowedValues"}, name


def test_every_output_explains_itself() -> None:
    """And those that tools of ours look for are there."""
    outputs = source()["Outputs"]
    for name, output in outputs.items():
        assert output["Description"], name
    assert {
        "ApiId",
        "ApiUrl",
        "CasesTable",
        "StagingBucket",
        "BundlesBucket",
        "RequestWorkflow",
        "StoreWorkflow",
    } <= outputs.keys()


def test_names_begin_with_the_deployments(stack: Stack) -> None:
    """Two deployments in one account do not meet, and a policy can name one's resources."""
    other = Stack(Name="privacy")
    named = ("FunctionName", "RoleName", "TableName", "BucketName", "QueueName", "StateMachineName")
    for name, resource in other.resources.items():
        for key in named:
            if key in resource.get("Properties", {}):
                assert resource["Properties"][key].startswith("privacy-"), name
    whole = str(other.resources).replace("craftzone-dsr-", "")
    assert "dsr-" not in whole, "a name that is not made from the parameter"


def test_what_s3_may_copy_is_what_its_owners_named_and_nothing_without(stack: Stack) -> None:
    named = "arn:aws:s3:::films/*,arn:aws:s3:::pictures/2026/*"
    key = "arn:aws:kms:eu-west-1:111122223333:key/1234"
    lent = Stack(CopySources=named, CopyKeys=key)
    added = [s for s in _policy(lent) if s not in _policy(stack)]
    assert added == [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": named.split(","),
        },
        {
            "Effect": "Allow",
            "Action": ["kms:Decrypt"],
            "Resource": [key],
            "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}},
        },
    ]


def _policy(stack: Stack) -> list[dict[str, Any]]:
    statements = stack.properties("BuildBundleRole")["Policies"][0]["PolicyDocument"]["Statement"]
    return [statement for statement in statements if isinstance(statement, dict)]
