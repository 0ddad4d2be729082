"""The tables, buckets and keys of one deployment on moto; cases in any state; maps from a few lines."""

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dsr import casekey, signing_key, working_key
from dsr.case import Case, Proof, Requester, Right, State, new_case_id
from dsr.casebook import Casebook, seal_requester
from dsr.datamap.compile import compile_file
from dsr.datamap.plan import Plan, to_json
from dsr.staging import Staging
from tests.conftest import REGION
from tests.tables import table

SUPPRESSION = "dsr-suppression"
CASES, KEYS, STAGING, BUNDLES = "dsr-cases", "dsr-case-keys", "dsr-staging", "dsr-bundles"
RECEIVED = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
WORKFLOW = f"arn:aws:states:{REGION}:123456789012:stateMachine:dsr-request"
ADA = Requester(("ada@example.com",), {"name": "Ada Lovelace", "phone": "+44 20 7946 0000"})

# One field of a collection, as short as the schema allows; `more` is appended.
HEAD = """\
version: 1
controller: {name: Shop, contact: privacy@shop.example, complaint: the authority}
purposes: {p: to serve you, q: to keep you safe}
requires:
  access: {default: mailbox, account_holder: account}
stores:
"""


def field(more: str = "") -> str:
    """A field in YAML's flow form."""
    return "{category: user.unique_id, purpose: p" + (f", {more}" if more else "") + "}"


def collection(name: str, fields: dict[str, str], *more: str, key: str = "", table: bool = True) -> str:
    """A collection in YAML; `fields` by name, each the inside of its braces after category and purpose."""
    lines = [
        f"      {name}:",
        f"        title: Your {name}",
        f"        key: [{key or next(iter(fields))}]",
        "        subjects: one",
        "        basis: contract",
        "        retention: {until: account_deleted}",
        "        on_deletion: delete",
        "        copies: none",
        *([f"        table: {name}"] if table else []),
        *(f"        {line}" for line in more),
        "        fields:",
        *(f"          {n}: {field(said)}" for n, said in fields.items()),
    ]
    return "\n".join(lines) + "\n"


def store(name: str, *collections: str, kind: str = "dynamodb", connection: str = "") -> str:
    """A store in YAML."""
    wired = f"{{region: us-east-1{', ' + connection if connection else ''}}}"
    head = f"  {name}:\n    kind: {kind}\n    role: arn:aws:iam::123456789012:role/{name}\n"
    return f"{head}    connection: {wired}\n    collections:\n{''.join(collections)}"


def compiled(folder: Path, *stores: str, head: str = HEAD) -> Plan:
    """The plan of a map of these stores."""
    path = folder / "map.yaml"
    path.write_text(head + "".join(stores), encoding="utf-8")
    return compile_file(path, {})


_entropy = itertools.count(1)


@dataclass
class World:
    """One deployment. `plan` is the shipped one."""

    plan: Plan
    kms_key: str

    @property
    def book(self) -> Casebook:
        return Casebook(CASES, KEYS)

    def draft(
        self,
        state: State = State.RECEIVED,
        requester: Requester = ADA,
        proofs: Sequence[Proof] | None = None,
        **fields: Any,
    ) -> Case:
        """A case that is stored nowhere yet; all contacts are proven unless `proofs` says otherwise."""
        case_id = fields.pop("case_id", None) or new_case_id(next(_entropy).to_bytes(10, "big"))
        recipient = casekey.create(case_id, KEYS, self.kms_key)
        case = Case(
            case_id=case_id,
            right=Right.ACCESS,
            state=state,
            version=1,
            received_at=RECEIVED,
            due_at=RECEIVED + timedelta(days=30),
            updated_at=RECEIVED,
            regimes=("gdpr",),
            map_version=self.plan.version,
            recipient=recipient,
            sealed=seal_requester(recipient, requester),
            contacts=tuple(proofs or [Proof.CONFIRMED] * len(requester.contacts)),
        )
        return replace(case, **fields)

    def case(self, state: State = State.RECEIVED, **fields: Any) -> Case:
        """A case as `draft` makes it, stored."""
        case = self.draft(state, **fields)
        assert self.book.open(case, "web")
        return self.book.get(case.case_id)

    def staging(self, case: Case) -> Staging:
        return Staging(STAGING, KEYS, case)

    def objects(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys under `prefix`, every version and marker counted."""
        s3 = boto3.client("s3", region_name=REGION)
        answer = s3.list_object_versions(Bucket=bucket, Prefix=prefix)
        return [v["Key"] for v in [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]]

    def names(self, case: Case) -> list[str]:
        """Of each event of the case its name."""
        return [e.name for e in self.book.events(case.case_id)]


@contextmanager
def opened(plan: Plan) -> Iterator[World]:
    """A deployment that ships `plan`; moto must be running. The settings of all functions are set."""
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    dynamodb.create_table(
        TableName=CASES,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": n, "AttributeType": "S"}
            for n in ("case_id", "part", "open", "due_at", "chain", "updated_at")
        ],
        KeySchema=[
            {"AttributeName": "case_id", "KeyType": "HASH"},
            {"AttributeName": "part", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "open-cases",
                "KeySchema": [
                    {"AttributeName": "open", "KeyType": "HASH"},
                    {"AttributeName": "due_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": "chained-cases",
                "KeySchema": [
                    {"AttributeName": "chain", "KeyType": "HASH"},
                    {"AttributeName": "updated_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["version", "head"]},
            },
        ],
    )
    table(KEYS, "case_id")
    table(SUPPRESSION, "id")
    working_key.working_key.cache_clear()
    s3 = boto3.client("s3", region_name=REGION)
    for bucket in (STAGING, BUNDLES):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    kms = boto3.client("kms", region_name=REGION)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    environment = {
        "SIGNING_KEYS": signing,
        "CASE_KEY": key,
        "CASES_TABLE": CASES,
        "CASE_KEYS_TABLE": KEYS,
        "STAGING_BUCKET": STAGING,
        "BUNDLES_BUCKET": BUNDLES,
        "REQUEST_WORKFLOW": WORKFLOW,
        "MAC_KEY": mac,
        "SUPPRESSION_TABLE": SUPPRESSION,
        "SUPPRESSION_KEY": mac,
    }
    with mock.patch.dict(os.environ, environment), shipped(plan):
        yield World(plan, key)


@contextmanager
def shipped(plan: Plan) -> Iterator[None]:
    """`plan` is the one that this deployment ships."""
    with (
        mock.patch("dsr.plans.load", return_value=plan),
        mock.patch("dsr.datamap.plan.load", return_value=plan),
    ):
        yield


def keep(plan: Plan) -> None:
    """Store `plan` as an earlier deployment did."""
    s3 = boto3.client("s3", region_name=REGION)
    s3.put_object(Bucket=STAGING, Key=f"plans/{plan.version}.json", Body=to_json(plan).encode())


def workflow() -> Any:
    """A state machine named as the deployment's, whose executions run until they are stopped."""
    client = boto3.client("stepfunctions", region_name=REGION)
    client.create_state_machine(
        name="dsr-request",
        roleArn="arn:aws:iam::123456789012:role/workflow",
        definition=json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Succeed"}}}),
    )
    return client


class Context:
    """Lambda's context with this much time left."""

    def __init__(self, seconds: float = 300) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        """As Lambda gives it."""
        return int(self._seconds * 1000)


class Signer:
    """KMS's two calls for signing, by a key of this process: moto hashes a digest once more."""

    def __init__(self) -> None:
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}

    def _key(self, name: str) -> ec.EllipticCurvePrivateKey:
        return self._keys.setdefault(name, ec.generate_private_key(ec.SECP256R1()))

    def sign(self, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> dict[str, bytes]:  # noqa: N803
        """As KMS does with a digest."""
        assert (MessageType, SigningAlgorithm, len(Message)) == ("DIGEST", "ECDSA_SHA_256", 32)
        return {"Signature": self._key(KeyId).sign(Message, ec.ECDSA(Prehashed(SHA256())))}

    def get_public_key(self, KeyId: str) -> dict[str, bytes]:  # noqa: N803
        """In DER."""
        public = self._key(KeyId).public_key()
        return {"PublicKey": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)}


@contextmanager
def signing() -> Iterator[None]:
    """What is signed is signed as by KMS; any name is a key's."""
    signer, real = Signer(), signing_key.client
    signing_key._public.cache_clear()
    with mock.patch.object(signing_key, "client", lambda s: signer if s == "kms" else real(s)):
        yield
    signing_key._public.cache_clear()
