"""Each function can do its own job and nothing else: asked of IAM with the very credentials it was given."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from dsr.datamap.plan import Store
from tests.workflow.stage import Stage
from tests.workflow.story import Story

pytestmark = pytest.mark.cloud

DENIED = {"AccessDenied", "AccessDeniedException", "403", "Forbidden"}
CASE, KEYS, DOOR = "dsr-cases", "dsr-case-keys", "dsr-front-door"
STORE_WORKERS = (
    "store-dynamodb",
    "store-s3",
    "store-sql",
    "store-cognito",
    "store-lake",
    "store-webhook",
    "store-manual",
)


@dataclass(frozen=True)
class Target:
    """A case in the middle of its life, to try things on: what it has where."""

    case_id: str
    wrapped: bytes  # its key
    staged: str  # the key of an object of its staging
    staging: str
    bundles: str
    workflow: str
    mac_key: str

    @property
    def row(self) -> dict[str, Any]:
        return {"case_id": {"S": self.case_id}, "part": {"S": "case"}}

    @property
    def key(self) -> dict[str, Any]:
        return {"case_id": {"S": self.case_id}}


Client = Callable[[str], Any]
Act = Callable[[Client, Target], object]

ACTS: dict[str, Act] = {
    "read the case": lambda c, t: c("dynamodb").get_item(TableName=CASE, Key=t.row),
    "read the case's history": lambda c, t: c("dynamodb").query(
        TableName=CASE,
        KeyConditionExpression="case_id = :c",
        ExpressionAttributeValues={":c": t.key["case_id"]},
    ),
    "list all cases": lambda c, _: c("dynamodb").scan(TableName=CASE),
    "delete the case": lambda c, t: c("dynamodb").delete_item(TableName=CASE, Key=t.row),
    "read the case's wrapped key": lambda c, t: c("dynamodb").get_item(TableName=KEYS, Key=t.key),
    "list all wrapped keys": lambda c, _: c("dynamodb").scan(TableName=KEYS),
    "destroy a case's key": lambda c, _: c("dynamodb").delete_item(
        TableName=KEYS, Key={"case_id": {"S": "no such case"}}
    ),
    "unwrap the case's key": lambda c, t: c("kms").decrypt(
        CiphertextBlob=t.wrapped, EncryptionContext={"case": t.case_id}
    ),
    "hash like the front door": lambda c, t: c("kms").generate_mac(
        KeyId=t.mac_key, Message=b"x", MacAlgorithm="HMAC_SHA_256"
    ),
    "read codes and sessions": lambda c, t: c("dynamodb").get_item(
        TableName=DOOR, Key={"id": {"S": f"code#{t.case_id}#0"}}
    ),
    "read what is staged": lambda c, t: c("s3").get_object(Bucket=t.staging, Key=t.staged),
    "write what is staged": lambda c, t: c("s3").put_object(
        Bucket=t.staging, Key=f"{t.staged}.tried", Body=b""
    ),
    "remove what is staged": lambda c, t: c("s3").delete_object(Bucket=t.staging, Key=f"{t.staged}.tried"),
    "read a bundle": lambda c, t: c("s3").get_object(Bucket=t.bundles, Key="bundles/none"),
    "write a bundle": lambda c, t: c("s3").put_object(Bucket=t.bundles, Key="bundles/tried", Body=b""),
    "remove a bundle": lambda c, t: c("s3").delete_object(Bucket=t.bundles, Key="bundles/tried"),
    "start a case's workflow": lambda c, t: c("stepfunctions").start_execution(
        stateMachineArn=t.workflow, name=f"{t.case_id}-1", input="{}"
    ),
    "stop a case's workflow": lambda c, t: c("stepfunctions").stop_execution(
        executionArn=t.workflow.replace(":stateMachine:", ":execution:") + ":none"
    ),
    "send a mail": lambda c, _: c("sesv2").send_email(
        FromEmailAddress="privacy@craftzone.example",
        Destination={"ToAddresses": ["someone@example.com"]},
        Content={"Simple": {"Subject": {"Data": "-"}, "Body": {"Text": {"Data": "-"}}}},
    ),
    "call a store's worker": lambda c, _: c("lambda").invoke(FunctionName="dsr-store-sql", Payload=b"{}"),
    "have a notice mailed": lambda c, _: c("lambda").invoke(
        FunctionName="dsr-send-notice",
        InvocationType="Event",
        Payload=b'{"case_id": "none", "notice": "code"}',
    ),
    "read the members' table": lambda c, _: c("dynamodb").query(
        TableName="craftzone-members",
        KeyConditionExpression="member_id = :m",
        ExpressionAttributeValues={":m": {"S": "none"}},
    ),
    "read a database's password": lambda c, _: c("secretsmanager").get_secret_value(
        SecretId="craftzone/events-db"
    ),
    "give itself more rights": lambda c, _: c("iam").put_role_policy(
        RoleName="dsr-public-web-role", PolicyName="more", PolicyDocument="{}"
    ),
}
OF_STORES = {
    "read the case", "read the case's history", "read the case's wrapped key", "unwrap the case's key",
    "read what is staged", "write what is staged",
}  # fmt: skip
# Of the acts above what each function may do; all else it may not.
MAY: dict[str, set[str]] = {
    "public-web": {
        "read the case", "read the case's history", "read the case's wrapped key", "unwrap the case's key",
        "hash like the front door", "read codes and sessions", "read a bundle", "start a case's workflow",
        "have a notice mailed",
    },
    "take-up-case": {"read the case", "read the case's history"},
    "resolve-subject": {
        "read the case", "read the case's history", "read the case's wrapped key", "unwrap the case's key",
        "read what is staged", "hash like the front door",
    },
    "conclude-gathering": OF_STORES | {"remove what is staged"},
    "build-bundle": OF_STORES | {"remove what is staged", "write a bundle"},
    # That it mails as one sender only is asserted on the template: the local cloud tells IAM no sender.
    "send-notice": {
        "read the case", "read the case's history", "read the case's wrapped key", "unwrap the case's key",
        "hash like the front door",
        "send a mail",
    },
    "keep-clocks": {  # in the history's table lie the holds too, whose last day it watches
        "read the case", "read the case's history", "destroy a case's key", "remove what is staged",
        "remove a bundle", "start a case's workflow",
    },
    "desk-web": {
        "read the case", "read the case's history", "read the case's wrapped key", "unwrap the case's key",
        "hash like the front door", "read codes and sessions", "read what is staged", "write what is staged",
        "remove what is staged", "start a case's workflow",
    },
    "conclude-erasing": {"read the case", "read the case's history"},
    # The certificate is bound to whom the case is about; the snapshot tells by what they would return, and
    # the place in it is kept beside it.
    "issue-certificate": {
        "read the case", "read the case's history", "read the case's wrapped key", "unwrap the case's key",
        "read what is staged", "write what is staged", "remove what is staged", "remove a bundle",
    },
    "take-site-event": {"read the case", "read the case's wrapped key", "start a case's workflow"},
    **dict.fromkeys(STORE_WORKERS, OF_STORES),
    # Their passes tell by keyed hashes who of the deleted has returned; a recipient's secret is made so too.
    **dict.fromkeys(
        ("store-dynamodb", "store-sql", "store-lake", "store-webhook"),
        OF_STORES | {"hash like the front door"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def target(stage: Stage) -> Target:
    """A case that waits for its account holder's sign-in; every function has worked once by then."""
    done = Story(stage, "account_only").ask().prove()
    done.download()
    done.browser.get(f"{stage.url}/desk")
    story = Story(stage, "household_a").ask()
    story.confirm()
    story.asked_to_sign_in()
    item = stage.client("dynamodb").get_item(TableName=KEYS, Key={"case_id": {"S": story.case_id}})["Item"]
    staging = stage.outputs["StagingBucket"]
    listed = stage.client("s3").list_objects_v2(Bucket=staging, Prefix=f"cases/{story.case_id}/")
    public_web = stage.client("lambda").get_function_configuration(FunctionName="dsr-public-web")
    return Target(
        story.case_id,
        item["wrapped"]["B"],
        listed["Contents"][0]["Key"],
        staging,
        stage.outputs["BundlesBucket"],
        stage.outputs["RequestWorkflow"],
        public_web["Environment"]["Variables"]["MAC_KEY"],
    )


@pytest.fixture(scope="module")
def client_of(stage: Stage, target: Target) -> Callable[[str, str], Any]:
    """The client of a service with a function's own credentials: `client_of(function, service)`."""
    session = cache(stage.function_session)
    return cache(lambda function, service: stage.client_of(session(function), service))


def _allowed(act: Callable[[], object]) -> bool:
    try:
        act()
    except ClientError as error:
        # Whatever else it is (no such bundle, the name is taken): IAM let it through.
        return error.response["Error"]["Code"] not in DENIED
    return True


@pytest.mark.parametrize("function", MAY)
def test_a_function_may_do_its_own_job_and_nothing_else(
    client_of: Callable[[str, str], Any], target: Target, function: str
) -> None:
    assert f"/dsr-{function}" in client_of(function, "sts").get_caller_identity()["Arn"]
    client = partial(client_of, function)
    may = {name for name, act in ACTS.items() if _allowed(partial(act, client, target))}
    assert may == MAY[function]


# -- the stores' own roles ---------------------------------------------------------------------------


def _with_role(stage: Stage) -> list[Store]:
    """The stores that are asked over AWS: of all but those where a person asks."""
    stores = stage.plan.stores.values()
    assert all(store.role or store.kind == "manual" for store in stores)
    return [store for store in stores if store.role]


def _assume(stage: Stage, sts: Any, store: str, external_id: str) -> dict[str, Any]:
    asked = {"ExternalId": external_id} if external_id else {}
    role = stage.plan.stores[store].role
    return dict(sts.assume_role(RoleArn=role, RoleSessionName="tried", **asked)["Credentials"])


def test_a_stores_role_is_taken_by_the_worker_of_its_kind_alone(
    stage: Stage, client_of: Callable[[str, str], Any]
) -> None:
    for store in _with_role(stage):
        welcome = {f"store-{store.kind}"} | ({"build-bundle"} if store.kind == "s3" else set())
        taken = {
            function
            for function in MAY
            if _allowed(partial(_assume, stage, client_of(function, "sts"), store.name, store.external_id))
        }
        assert taken == welcome, store.name


def test_without_the_external_id_nobody_takes_a_stores_role(
    stage: Stage, client_of: Callable[[str, str], Any]
) -> None:
    for store in _with_role(stage):
        worker = client_of(f"store-{store.kind}", "sts")
        for wrong in ("", "dsr2", "DSR"):
            assert not _allowed(partial(_assume, stage, worker, store.name, wrong)), (store.name, wrong)


def test_a_stores_role_reads_its_own_store_and_no_other(
    stage: Stage, client_of: Callable[[str, str], Any]
) -> None:
    def reads(store: str) -> list[bool]:
        worker, plan = client_of("store-dynamodb", "sts"), stage.plan.stores[store]
        keys = _assume(stage, worker, store, plan.external_id)
        session = boto3.Session(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=plan.access.region
        )
        client = stage.client_of(session, "dynamodb")
        asked = {
            "KeyConditionExpression": "member_id = :m",
            "ExpressionAttributeValues": {":m": {"S": "none"}},
        }
        assert not _allowed(partial(client.scan, TableName="craftzone-members"))
        tables = ("craftzone-members", "craftzone-consents", CASE)
        return [_allowed(partial(client.query, TableName=table, **asked)) for table in tables]

    assert reads("members") == [True, False, False]
    assert reads("trust") == [False, True, False]


def test_a_worker_asks_no_store_before_the_proof_whoever_calls_it(stage: Stage) -> None:
    story = Story(stage, "everything").ask()
    story.code()
    for visit in stage.plan.visits:
        kind = stage.plan.stores[visit.store].kind
        event = {"case_id": story.case_id, "visit": visit.visit, "verb": "gather"}
        assert "Refused" in stage.invoke(f"store-{kind}", event)["errorMessage"], visit.visit
    assert stage.book.visits(story.case_id) == {}
    assert stage.versions(stage.outputs["StagingBucket"], f"cases/{story.case_id}/") == []
