"""The two functions of the front door in one process, over moto: real handlers, real proxy events."""

import base64
import html
import json
import os
import re
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock
from urllib.parse import urlencode, urlsplit

import boto3
from moto.core import DEFAULT_ACCOUNT_ID

from dsr import aws, casekey, front_door, parameters, signing_key
from dsr import requests as requests_module
from dsr.casebook import Casebook
from dsr.datamap import plan as plan_module
from dsr.datamap.plan import Collection, Field, Plan, Store, VisitPlan
from tests.conftest import REGION, aws_in_process

HOST = "abc123.execute-api.us-east-1.amazonaws.com"
PUBLIC_URL = f"https://{HOST}/prod"
SIGN_IN = {
    "domain": "https://login.example",
    "client_id": "client-1",
    "issuer": "https://issuer.example/pool",
}
TABLES = ("dsr-cases", "dsr-case-keys", "dsr-front-door")
FORM = {"right": "access", "email": "Ada@example.com", "for_whom": "self"}


def a_plan() -> Plan:
    """A small map: two stores, three collections."""

    def collection(store: str, name: str, title: str, **more: Any) -> Collection:
        fields = {"id": Field("user.unique_id", "account"), "email": Field("user.contact.email", "account")}
        return Collection(store, name, title, ("id",), (), fields, **more)

    collections = [
        collection("members", "members", "Your account", freeze=True),
        collection("support", "tickets", "What you asked us", on_deletion={"detach": {"email": "null"}}),
        collection("support", "messages", "Messages with support"),
    ]
    return Plan(
        version="map-1",
        controller={
            "name": "CraftZone",
            "contact": "privacy@craftzone.example",
            "complaint": "the data protection authority of the country you live in",
        },
        purposes={"account": "to give you an account"},
        requires={r: {"default": "mailbox", "account_holder": "account"} for r in ("access", "deletion")},
        stores={n: Store(n, "dynamodb", "arn", {"region": REGION}) for n in ("members", "support")},
        collections={c.path: c for c in collections},
        visits=(
            VisitPlan("members", 0, "members", "dynamodb", ("members",), True),
            VisitPlan("support", 1, "support", "dynamodb", ("tickets", "messages")),
        ),
    )


class FakeLambda:
    """Collects the asynchronous calls; the test decides when they run."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, int]:  # noqa: N803
        assert (FunctionName, InvocationType) == ("dsr-send-notice", "Event")
        self.calls.append(json.loads(Payload))
        return {"StatusCode": 202}


class Mailbox:
    """SES in front of moto's, which checks the call; keeps what was sent."""

    def __init__(self, real: Any) -> None:
        self._real, self.exceptions = real, real.exceptions
        self.sent: list[dict[str, str]] = []
        self.refuses = False

    def send_email(self, **call: Any) -> None:
        if self.refuses:
            raise self.exceptions.BadRequestException({"Error": {"Code": "BadRequestException"}}, "SendEmail")
        self._real.send_email(**call)
        simple = call["Content"]["Simple"]
        self.sent.append(
            {
                "to": call["Destination"]["ToAddresses"][0],
                "subject": simple["Subject"]["Data"],
                "text": simple["Body"]["Text"]["Data"],
                "html": simple["Body"]["Html"]["Data"],
            }
        )


class FakeStates:
    """Step Functions as the front door uses it: which executions were started, which tokens woken."""

    exceptions = types.SimpleNamespace(
        ExecutionAlreadyExists=type("ExecutionAlreadyExists", (Exception,), {}),
        TaskTimedOut=type("TaskTimedOut", (Exception,), {}),
        TaskDoesNotExist=type("TaskDoesNotExist", (Exception,), {}),
        InvalidToken=type("InvalidToken", (Exception,), {}),
    )

    def __init__(self) -> None:
        self.started: list[str] = []
        self.woken: list[str] = []

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:  # noqa: A002, N803
        if name in self.started:
            raise self.exceptions.ExecutionAlreadyExists
        self.started.append(name)

    def send_task_success(self, *, taskToken: str, output: str) -> None:  # noqa: N803
        self.woken.append(taskToken)


@dataclass
class Page:
    """An answer as a browser has it."""

    status: int
    headers: dict[str, str]
    body: str
    cookies: list[str]

    @property
    def location(self) -> str:
        """Where it sends the browser."""
        return self.headers.get("Location", "")

    @property
    def text(self) -> str:
        """What a person reads: no tags, entities resolved, spaces folded."""
        bare = re.sub(r"<(style|script|head).*?</\1>", " ", self.body, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


class Browser:
    """Keeps cookies, follows nothing by itself. `get` and `post` take paths without the stage."""

    def __init__(self, front: "Front", source: str = "203.0.113.7", base: str = "/prod") -> None:
        self.front, self.source, self.base = front, source, base
        self.jar: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Page:
        return self._send("GET", path, None, headers)

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> Page:
        return self._send("POST", path, form or {}, headers)

    def follow(self, page: Page) -> Page:
        """GET where the answer sends us."""
        assert page.status == 303, page.text
        assert page.location.startswith(self.base), page.location
        return self.get(page.location.removeprefix(self.base))

    def _send(self, method: str, path: str, form: dict[str, str] | None, headers: dict[str, str]) -> Page:
        split = urlsplit(path)
        sent = {"Host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.jar:
            sent["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.jar.items())
        if form is not None:
            sent |= {"Content-Type": "application/x-www-form-urlencoded"}
            if "Origin" not in sent:
                sent |= {"Origin": "null", "Sec-Fetch-Site": sent.get("Sec-Fetch-Site", "same-origin")}
        query = dict(pair.partition("=")[::2] for pair in split.query.split("&")) if split.query else None
        event = proxy_event(method, split.path, query, form, sent, self.source, self.base)
        page = self.front.answer(event)
        for cookie in page.cookies:
            name, _, value = cookie.split(";")[0].partition("=")
            self.jar[name] = value
        return page


def proxy_event(
    method: str,
    path: str,
    query: dict[str, str] | None,
    form: dict[str, str] | None,
    headers: dict[str, str],
    source: str,
    base: str = "/prod",
    encoded: bool = False,
) -> dict[str, Any]:
    """An event of a REST API's proxy integration, as API Gateway sends it."""
    body = urlencode(form) if form is not None else None
    if body is not None and encoded:
        body = base64.b64encode(body.encode()).decode()
    root = path == "/"
    return {
        "resource": "/" if root else "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query,
        "pathParameters": None if root else {"proxy": path.removeprefix("/")},
        "requestContext": {"path": f"{base}{path}", "stage": "prod", "identity": {"sourceIp": source}},
        "body": body,
        "isBase64Encoded": encoded,
    }


@dataclass
class Front:
    """The front door with its surroundings."""

    public: Any
    notices: Any
    lambda_: FakeLambda
    states: FakeStates
    mailbox: Mailbox
    seen: int = 0

    @property
    def book(self) -> Casebook:
        return Casebook("dsr-cases", "dsr-case-keys")

    def browser(self, source: str = "203.0.113.7") -> Browser:
        return Browser(self, source)

    def answer(self, event: dict[str, Any]) -> Page:
        """What the function for the pages says."""
        said = json.loads(json.dumps(self.public.handler(event, None)))
        return Page(
            said["statusCode"],
            said["headers"],
            said["body"],
            said.get("multiValueHeaders", {}).get("Set-Cookie", []),
        )

    def notice(self, case_id: str, notice: str, contact: int | None = None) -> dict[str, Any]:
        """Run the function for notices, as the workflow does."""
        event = {"case_id": case_id, "notice": notice} | ({"contact": contact} if contact is not None else {})
        result: dict[str, Any] = self.notices.handler(event, None)
        return result

    def run_calls(self) -> None:
        """Run the asynchronous calls made so far."""
        while self.lambda_.calls:
            self.notices.handler(self.lambda_.calls.pop(0), None)

    def mails(self) -> list[dict[str, str]]:
        """The mails that were not read yet: to, subject, text."""
        fresh, self.seen = self.mailbox.sent[self.seen :], len(self.mailbox.sent)
        return fresh

    def submit(self, browser: Browser, **form: str) -> str:
        """Send the form; returns the case id."""
        page = browser.get("/")
        token = re.search(r'name="submission" value="([^"]+)"', page.body)
        assert token
        answer = browser.post("/requests", FORM | {"submission": token[1]} | form)
        assert answer.status == 303, answer.text
        return answer.location.rpartition("/")[2]

    def proven(self, browser: Browser, **form: str) -> str:
        """A case whose only mailbox is proven in this browser."""
        case_id = self.submit(browser, **form)
        self.notice(case_id, "code")
        [mail] = self.mails()
        assert browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mail)}).status == 303
        return case_id

    def put(self, case_id: str, **changes: Any) -> None:
        """Set the case as the workflow would have, without its events."""
        from dsr.casebook import _from_case
        from dsr.items import to_item

        case = replace(self.book.get(case_id), **changes)
        aws.client("dynamodb").put_item(TableName="dsr-cases", Item=to_item(_from_case(case)))

    def tables(self) -> dict[str, list[Any]]:
        """Everything stored, in a form that compares."""
        dynamodb = aws.client("dynamodb")
        return {
            table: sorted(
                dynamodb.scan(TableName=table)["Items"],
                key=lambda i: json.dumps(i, default=str, sort_keys=True),
            )
            for table in TABLES
        }


def code_in(mail: dict[str, str]) -> str:
    """The code on its own line."""
    found = re.search(r"^(\d{4} \d{4})$", mail["text"], flags=re.MULTILINE)
    assert found, mail["text"]
    return found[1]


def link_in(mail: dict[str, str]) -> str:
    """The path of the confirmation link on its own line, without the stage."""
    found = re.search(rf"^{re.escape(PUBLIC_URL)}(/confirm/\S+)$", mail["text"], flags=re.MULTILINE)
    assert found, mail["text"]
    return found[1]


@contextmanager
def front_door_open(**environment: str) -> Iterator[Front]:
    """The functions with everything they need; `environment` overrides their settings."""
    lambda_, states = FakeLambda(), FakeStates()
    with aws_in_process():
        _forget()
        told = _create() | environment
        real = aws.client
        mailbox = Mailbox(real("sesv2"))
        fakes: dict[str, Any] = {"lambda": lambda_, "stepfunctions": states, "sesv2": mailbox}

        def client(service: str) -> Any:
            return fakes.get(service) or real(service)

        with (
            mock.patch.dict(os.environ, told),
            mock.patch.object(requests_module, "client", client),
            mock.patch("dsr.workflow.client", client),
            mock.patch("dsr.notices.send.client", client),
            mock.patch.object(plan_module, "load", a_plan),
        ):
            import public_web.handler as public
            import send_notice.handler as notices

            public._pages.cache_clear()
            notices._notices.cache_clear()
            yield Front(public, notices, lambda_, states, mailbox)
        _forget()


def _forget() -> None:
    aws.client.cache_clear()
    front_door._mac.cache_clear()
    casekey._identity.cache_clear()
    signing_key._public.cache_clear()
    parameters._kept.clear()


def _create() -> dict[str, str]:
    """Make the resources; returns the environment that names them."""
    dynamodb, kms, ssm = (boto3.client(s, region_name=REGION) for s in ("dynamodb", "kms", "ssm"))
    for name, keys in (
        ("dsr-cases", ("case_id", "part")),
        ("dsr-case-keys", ("case_id",)),
        ("dsr-front-door", ("id",)),
    ):
        dynamodb.create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": k, "KeyType": t} for k, t in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    boto3.client("s3", region_name=REGION).create_bucket(Bucket="dsr-bundles")
    boto3.client("sesv2", region_name=REGION).create_email_identity(EmailIdentity="privacy@craftzone.example")
    ssm.put_parameter(Name="/dsr/public-url", Value=PUBLIC_URL, Type="String")
    ssm.put_parameter(Name="/dsr/member-sign-in", Value=json.dumps(SIGN_IN), Type="String")
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    return {
        "CASES_TABLE": "dsr-cases",
        "CASE_KEYS_TABLE": "dsr-case-keys",
        "FRONT_DOOR_TABLE": "dsr-front-door",
        "CASE_KEY": kms.create_key()["KeyMetadata"]["KeyId"],
        "MAC_KEY": mac,
        "SIGNING_KEYS": signing,
        "REQUEST_WORKFLOW": f"arn:aws:states:{REGION}:{DEFAULT_ACCOUNT_ID}:stateMachine:dsr-request",
        "SEND_NOTICE_FUNCTION": "dsr-send-notice",
        "BUNDLES_BUCKET": "dsr-bundles",
        "PUBLIC_URL_PARAMETER": "/dsr/public-url",
        "SIGN_IN_PARAMETER": "/dsr/member-sign-in",
        "SENDER": "privacy@craftzone.example",
        "THROTTLE_ADDRESS": "100",
        "THROTTLE_SOURCE": "1000",
    }
