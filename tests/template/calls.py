"""What right each call to AWS needs, and on what: the table beside the code.

`reach.py` finds which calls a function can make; this says what its role must allow for them, and by the
same token what it need not. A call that is not in the table fails the tests: add its row.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.template import reach
from tests.template.cloudformation import ACCOUNT, REGION, Stack

CASE = "K7Q2-9FXM-3TWD-5BHP"
STAGED = f"StagingBucket/cases/{CASE}/staged/members/members/000000"
QUEUED = f"StagingBucket/lake/queue/{CASE}/erase@0/0-lake/lake.visits.json"
PLAN = "StagingBucket/plans/0123456789abcdef.json"
CERTIFICATE = f"BundlesBucket/certificates/{CASE}/certificate.json"
BUNDLE = f"BundlesBucket/bundles/{CASE}/{CASE}.zip"

# Module or place in it → operation → rights: (action, what it is done to). The place rules over the module.
RIGHTS: dict[str, dict[str, list[tuple[str, str]]]] = {
    "answers": {
        "dynamodb.get_item": [("dynamodb:GetItem", "CasesTable")],
        "dynamodb.put_item": [("dynamodb:PutItem", "CasesTable")],
    },
    "aws": {
        "sts.assume_role": [("sts:AssumeRole", "store role")],
    },
    "bundle.copying": {
        # Reading the original is its owner's to allow: where they do not, it passes through.
        "s3.upload_part_copy": [("s3:PutObject", BUNDLE)],
        "s3.create_multipart_upload": [("s3:PutObject", BUNDLE)],
        "s3.abort_multipart_upload": [("s3:AbortMultipartUpload", BUNDLE)],
        "s3.list_multipart_uploads": [("s3:ListBucketMultipartUploads", "BundlesBucket")],
    },
    "bundle.upload": {
        "s3.upload_part": [("s3:PutObject", BUNDLE)],
        "s3.complete_multipart_upload": [("s3:PutObject", BUNDLE)],
        "s3.list_parts": [("s3:ListMultipartUploadParts", BUNDLE)],
    },
    "casebook": {
        "dynamodb.get_item": [("dynamodb:GetItem", "CasesTable")],
        "dynamodb.put_item": [("dynamodb:PutItem", "CasesTable")],
        "dynamodb.query": [("dynamodb:Query", "CasesTable")],
        "dynamodb.transact_write_items": [("dynamodb:PutItem", "CasesTable")],
        "dynamodb.update_item": [("dynamodb:UpdateItem", "CasesTable")],
    },
    "callbacks": {
        "kms.generate_mac": [("kms:GenerateMac", "MacKey")],
    },
    "casebook.Casebook.wake_visit": {
        "dynamodb.update_item": [("dynamodb:UpdateItem", "CasesTable")],
    },
    "casebook.Casebook.open_cases": {
        "dynamodb.query": [("dynamodb:Query", "CasesTable/index/open-cases")],
    },
    "heads.moved": {
        "dynamodb.query": [("dynamodb:Query", "CasesTable/index/chained-cases")],
    },
    "casekey": {
        "dynamodb.get_item": [("dynamodb:GetItem", "CaseKeysTable")],
        "dynamodb.put_item": [("dynamodb:PutItem", "CaseKeysTable")],
        "dynamodb.delete_item": [("dynamodb:DeleteItem", "CaseKeysTable")],
        "kms.encrypt": [("kms:Encrypt", "CaseKey")],
        "kms.decrypt": [("kms:Decrypt", "CaseKey")],
    },
    "certifying": {
        "s3.get_object": [("s3:GetObject", CERTIFICATE)],
        "s3.put_object": [("s3:PutObject", CERTIFICATE)],
    },
    "front_door": {
        "dynamodb.get_item": [("dynamodb:GetItem", "FrontDoorTable")],
        "dynamodb.put_item": [("dynamodb:PutItem", "FrontDoorTable")],
        "dynamodb.update_item": [("dynamodb:UpdateItem", "FrontDoorTable")],
        "dynamodb.delete_item": [("dynamodb:DeleteItem", "FrontDoorTable")],
        "kms.generate_mac": [("kms:GenerateMac", "MacKey")],
    },
    "heads.Locked._get": {
        "s3.get_object": [("s3:GetObjectVersion", "ProofBucket/heads/000001.json")],
    },
    "heads.Locked._oldest": {
        "s3.list_object_versions": [("s3:ListBucketVersions", "ProofBucket")],
    },
    "heads.Locked._put": {
        "s3.put_object": [("s3:PutObject", "ProofBucket/parts/0123.txt")],
    },
    "heads.Locked.put_head": {
        "s3.put_object": [("s3:PutObject", "ProofBucket/heads/000001.json")],
    },
    "holdbook": {
        "dynamodb.get_item": [("dynamodb:GetItem", "CasesTable")],
        "dynamodb.query": [("dynamodb:Query", "CasesTable")],
        "dynamodb.transact_get_items": [("dynamodb:GetItem", "CasesTable")],
        "dynamodb.transact_write_items": [
            ("dynamodb:PutItem", "CasesTable"),
            ("dynamodb:UpdateItem", "CasesTable"),
        ],
    },
    "keeping_clocks": {
        "stepfunctions.describe_execution": [("states:DescribeExecution", "execution")],
    },
    "lake_runs": {
        "stepfunctions.describe_execution": [("states:DescribeExecution", "execution of a lake run")],
        "stepfunctions.start_execution": [("states:StartExecution", "LakeWorkflow")],
    },
    "lakebook": {
        "s3.get_object": [("s3:GetObject", QUEUED), ("s3:ListBucket", "StagingBucket")],
        "s3.put_object": [("s3:PutObject", QUEUED)],
        "s3.list_objects_v2": [("s3:ListBucket", "StagingBucket")],
    },
    "notices.send": {
        "sesv2.send_email": [("ses:SendEmail", "identity"), ("ses:SendEmail", "configuration set")],
        "sns.publish": [("sns:Publish", "phone number")],
    },
    "parameters": {
        "ssm.get_parameter": [("ssm:GetParameter", "parameter")],
    },
    "plans": {
        "s3.get_object": [("s3:GetObject", PLAN)],
        "s3.put_object": [("s3:PutObject", PLAN)],
    },
    "requests": {
        "lambda.invoke": [("lambda:InvokeFunction", "SendNoticeFunction")],
        "s3.get_object": [("s3:GetObject", BUNDLE)],  # for a link: who follows it has the signer's rights
    },
    "requests.Requests.certificate": {
        "s3.get_object": [("s3:GetObject", CERTIFICATE)],
    },
    "signing_key": {
        "kms.sign": [("kms:Sign", "SigningKey")],
        "kms.get_public_key": [("kms:GetPublicKey", "SigningKey")],
    },
    "staging": {
        # Without the right to list, S3 says Access Denied instead of No Such Key (GetObject, Amazon S3 API).
        "s3.get_object": [("s3:GetObject", STAGED), ("s3:ListBucket", "StagingBucket")],
        "s3.put_object": [("s3:PutObject", STAGED)],
        "s3.list_objects_v2": [("s3:ListBucket", "StagingBucket")],
    },
    "staging.remove_versions": {
        "s3.list_object_versions": [("s3:ListBucketVersions", "emptied bucket")],
        # DeleteObjects asks for both when versions are named (DeleteObjects, Amazon S3 API).
        "s3.delete_objects": [("s3:DeleteObject", "emptied"), ("s3:DeleteObjectVersion", "emptied")],
    },
    "subjects": {
        "dynamodb.get_item": [("dynamodb:GetItem", "CasesTable")],
        "dynamodb.put_item": [("dynamodb:PutItem", "CasesTable")],
    },
    "suppression": {
        "dynamodb.batch_get_item": [("dynamodb:BatchGetItem", "SuppressionTable")],
        "dynamodb.batch_write_item": [("dynamodb:BatchWriteItem", "SuppressionTable")],
    },
    "sweepbook": {
        "dynamodb.get_item": [("dynamodb:GetItem", "CasesTable")],
        "dynamodb.put_item": [("dynamodb:PutItem", "CasesTable")],
        "dynamodb.query": [("dynamodb:Query", "CasesTable")],
    },
    "sweeping": {
        "stepfunctions.describe_execution": [("states:DescribeExecution", "execution of a sweep")],
    },
    "web.desk.looks": {
        "dynamodb.put_item": [("dynamodb:PutItem", "CasesTable")],
    },
    "web.desk.queue": {
        "dynamodb.query": [("dynamodb:Query", "CasesTable/index/open-cases")],
    },
    "working_key": {
        "kms.generate_mac": [("kms:GenerateMac", "working key")],
    },
    "workflow": {
        "stepfunctions.start_execution": [("states:StartExecution", "RequestWorkflow")],
        "stepfunctions.send_task_success": [("states:SendTaskSuccess", "*")],
    },
}

# What differs from function to function.
EMPTIED = {
    "build_bundle": ["StagingBucket"],
    "conclude_gathering": ["StagingBucket"],
    "desk_web": ["StagingBucket"],
    "issue_certificate": ["StagingBucket", "BundlesBucket"],
    "keep_clocks": ["StagingBucket", "BundlesBucket"],
    "plan_lake_run": ["StagingBucket"],
}
PARAMETERS = {
    "desk_web": ["PublicUrlParameter", "DeskSignInParameter"],
    "public_web": ["PublicUrlParameter", "MemberSignInParameter"],
    "send_notice": ["PublicUrlParameter"],
    "store_webhook": ["PublicUrlParameter"],
}
# The key that working keys are derived from, where it is not that of codes and sessions.
DERIVED_FROM = {"issue_certificate": "SuppressionKey", "take_site_event": "SuppressionKey"}
PREFIX = {"StagingBucket": "cases", "BundlesBucket": "bundles"}
PREFIXES = {"plan_lake_run": {"StagingBucket": "lake/queue"}}

# SSE-KMS: who reads an object needs Decrypt, who writes one GenerateDataKey, who writes one in parts both
# (Protecting data with SSE-KMS, Uploading and copying objects using multipart upload, Amazon S3).
ENCRYPTION = {
    "s3.get_object": ["kms:Decrypt"],
    "s3.put_object": ["kms:GenerateDataKey"],
    "s3.create_multipart_upload": ["kms:GenerateDataKey", "kms:Decrypt"],
    "s3.upload_part": ["kms:GenerateDataKey", "kms:Decrypt"],
    "s3.upload_part_copy": ["kms:GenerateDataKey", "kms:Decrypt"],
    "s3.complete_multipart_upload": ["kms:GenerateDataKey", "kms:Decrypt"],
}

# What Lambda itself does with a function's role.
# Resources of VPC access: Giving Lambda functions access to resources in an Amazon VPC.
NETWORK = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
]


@dataclass(frozen=True)
class Need:
    """An action on a resource (its ARN), in a context of condition keys; and why."""

    action: str
    resource: str
    why: str
    context: tuple[tuple[str, str], ...] = ()


def rights(site: str, operation: str) -> list[tuple[str, str]]:
    """The table's row of a call. Raises KeyError for a call that has none."""
    place = site
    while place:
        if operation in RIGHTS.get(place, {}):
            return RIGHTS[place][operation]
        place = place.rpartition(".")[0]
    raise KeyError(f"{operation} in {site} has no row in RIGHTS")


def needs(stack: Stack, folder: str, function: str) -> Iterator[Need]:
    """Everything that the role of a function must allow. `function` is its logical name."""
    for site in sorted(reach.sites_of(folder)):
        for operation in sorted(reach.call_sites()[site]):
            if operation == "sns.publish" and stack.parameters["TextMessages"] == "false":
                continue  # never called then, nor allowed
            for action, what in rights(site, operation):
                for resource in _resources(stack, folder, what):
                    yield Need(action, resource, site, tuple(_context(action, stack)))
            # The bucket of proofs lies under S3's own keys.
            for action in ENCRYPTION.get(operation, ()) if not site.startswith("heads.") else ():
                yield Need(action, stack.arn("DataKey"), site, _via("s3"))
    yield from _of_lambda(stack, function)


def _of_lambda(stack: Stack, function: str) -> Iterator[Need]:
    properties = stack.properties(function)
    log = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{properties['LoggingConfig']['LogGroup']}:log-stream:x"
    yield Need("logs:CreateLogStream", log, "its log")
    yield Need("logs:PutLogEvents", log, "its log")
    if "DeadLetterConfig" in properties:
        yield Need("sqs:SendMessage", stack.arn("DeadLetters"), "its dead letters")
        for action in ("kms:GenerateDataKey", "kms:Decrypt"):
            yield Need(action, stack.arn("DataKey"), "its dead letters", _via("sqs"))
    if "VpcConfig" in properties:
        for action in NETWORK:
            yield Need(action, "*", "its network interface")


def _context(action: str, stack: Stack) -> Iterator[tuple[str, str]]:
    if action == "ses:SendEmail":
        yield "ses:FromAddress", stack.parameters["Sender"]
    if action == "sts:AssumeRole":
        yield "sts:ExternalId", stack.parameters["ExternalId"]


def _via(service: str) -> tuple[tuple[str, str], ...]:
    return (("kms:ViaService", f"{service}.{REGION}.amazonaws.com"),)


def _resources(stack: Stack, folder: str, what: str) -> list[str]:
    """The ARNs that a word of the table stands for."""
    ses = f"arn:aws:ses:{REGION}:{ACCOUNT}"
    fixed = {
        "*": "*",
        "store role": "arn:aws:iam::444455556666:role/craftzone-dsr-members",
        "identity": f"{ses}:identity/craftzone.example",
        "configuration set": f"{ses}:configuration-set/any",
        "phone number": "+447700900123",  # what IAM is asked about instead of an ARN
        "execution": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:dsr-request:{CASE}-1",
        "execution of a sweep": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:dsr-sweep:any",
        "execution of a lake run": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:dsr-lake:any",
    }
    if what in fixed:
        return [fixed[what]]
    if what == "parameter":
        return [stack.arn(name) for name in PARAMETERS[folder]]
    if what == "working key":
        return [stack.arn(DERIVED_FROM.get(folder, "MacKey"))]
    if what == "emptied bucket":
        return [stack.arn(name) for name in EMPTIED[folder]]
    if what == "emptied":
        prefix = PREFIXES.get(folder, PREFIX)
        return [f"{stack.arn(name)}/{prefix[name]}/{CASE}/x" for name in EMPTIED[folder]]
    name, _, rest = what.partition("/")
    return [f"{stack.arn(name)}/{rest}" if rest else stack.arn(name)]
