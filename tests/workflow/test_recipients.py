"""Recipients as deployed: asked by real HTTP, answered at once, later, by an agent of the desk, or never.

Their stores are in a map of their own. The cases of these tests are put on it while they wait for their
person's proof, as if it had been the deployed one when they began.
"""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest

from dsr.case import State
from dsr.certificate import verify
from dsr.datamap.compile import compile_file
from dsr.datamap.plan import Plan, to_json
from dsr.datamap.roles import roles_template
from infra.local import deploy, processes
from infra.local.browser import Browser, Page
from infra.local.home import ROOT
from tests.unit import recipients
from tests.workflow.stage import Stage
from tests.workflow.story import Story
from tests.workflow.test_desk import signed_in

pytestmark = pytest.mark.cloud

COLLECTION = """\
      {name}:
        title: {title}
        key: [member]
        subjects: one
        basis: consent
        retention: {{until: account_deleted}}
        on_deletion: delete
        copies: none
        fields:
          member: {{category: user.unique_id, purpose: newsletter, references: members.members.member_id}}
          {field}: {{category: user.behavior, purpose: newsletter}}
"""
MAILING = """
  mailing:
    kind: webhook
    role: arn:aws:iam::${{account}}:role/craftzone-dsr-mailing
    connection:
      region: ${{region}}
      url: "http://127.0.0.1:{port}/dsr"
      secret: craftzone/mailing-webhook
    recipient: {{name: Letterbird, role: processor, answer_within: P7D}}
    collections:
"""
COURIER = """\
  courier:
    kind: manual
    recipient: {name: Swiftparcel, role: controller, answer_within: P14D}
    instructions: Write to them with the member's number.
    collections:
"""


@dataclass
class Outside:
    """The map with recipients, and the server of one of them."""

    stage: Stage
    plan: Plan
    receiver: Any

    def holds(self, who: str, *topics: str) -> str:
        """Have the recipient hold subscriptions of this person, and another's; returns their id."""
        person = self.stage.community.person(who)
        member = person.member_id
        theirs = [{"member": member, "topic": topic} for topic in topics]
        held = {"subscriptions": [*theirs, {"member": "m-of-somebody-else", "topic": "bees"}]}
        self.receiver.path.write_text(json.dumps(held))
        return member

    def ask(self, who: str, **answers: str) -> Story:
        """A request of this person under the map with recipients, proven."""
        story = Story(self.stage, who).ask(**answers)
        self.stage.until("the proof to be waited for", lambda: story.case().token, case_id=story.case_id)
        self.stage.alter(story.case_id, map_version=self.plan.version)
        return story.prove()

    def waits(self, story: Story, visit: str) -> None:
        """Until the case waits for nothing but this visit, with nothing running in its store."""
        self.stage.until(
            f"the case to wait for {visit}",
            lambda: story.case().waiting_for == (visit,) and story.case().token,
            case_id=story.case_id,
        )


@pytest.fixture(scope="module")
def outside(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("outside")
    with recipients.receiving(folder, {}) as receiver, resolving_like_a_browser():
        path = folder / "datamap.yaml"
        path.write_text(
            (ROOT / "infra/craftzone/datamap.yaml").read_text()
            + MAILING.format(port=receiver.server_address[1])
            + COLLECTION.format(name="subscriptions", title="Newsletters sent to you", field="topic")
            + COURIER
            + COLLECTION.format(name="parcels", title="Parcels sent to you", field="parcel")
        )
        pool = deploy.stack_outputs(stage.cloud, deploy.COMMUNITY_STACK)["UserPoolId"]
        values = {"account": processes.ACCOUNT, "region": processes.REGION, "user_pool": pool}
        plan = compile_file(path, values)
        key = f"plans/{plan.version}.json"
        stage.client("s3").put_object(
            Bucket=stage.outputs["StagingBucket"], Key=key, Body=to_json(plan).encode()
        )
        stage.client("secretsmanager").create_secret(
            Name="craftzone/mailing-webhook", SecretString=recipients.SECRET
        )
        grant(stage, plan)
        yield Outside(stage, plan, receiver)


def grant(stage: Stage, plan: Plan) -> None:
    """Deploy the access role of the webhook, as the secret's owner does."""
    role = roles_template(plan)["Resources"]["MailingAccess"]["Properties"]
    text = (
        json.dumps(role).replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", processes.ACCOUNT)
    )
    role = json.loads(text, object_hook=lambda d: d.get("Fn::Sub", d) if set(d) == {"Fn::Sub"} else d)
    iam = stage.client("iam")
    iam.create_role(
        RoleName=role["RoleName"], AssumeRolePolicyDocument=json.dumps(role["AssumeRolePolicyDocument"])
    )
    [policy] = role["Policies"]
    iam.put_role_policy(
        RoleName=role["RoleName"],
        PolicyName=policy["PolicyName"],
        PolicyDocument=json.dumps(policy["PolicyDocument"]),
    )


@contextmanager
def resolving_like_a_browser() -> Iterator[None]:
    """Names under localhost lead to this machine, which Python's resolver does not know."""
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **more: Any) -> Any:
        local = isinstance(host, str) and host.endswith(".localhost")
        return real("127.0.0.1" if local else host, *arguments, **more)

    with mock.patch.object(socket, "getaddrinfo", resolve):
        yield


def upload(browser: Browser, page: Page, name: str, content: bytes) -> int:
    """Send the page's form with a file, as a browser does; returns the status."""
    form, mark = page.form("collection", action="/file"), "----boundary"
    parts = "".join(
        f'--{mark}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'
        for n, v in form.fields.items()
        if n != "file"
    )
    parts += f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    where = urlsplit(page.url)
    headers = {
        "Host": where.netloc,
        "Content-Type": f"multipart/form-data; boundary={mark}",
        "Origin": f"{where.scheme}://{where.netloc}",
        "Cookie": "; ".join(f"{n}={v}" for n, v in browser._cookies[where.netloc].items()),
    }
    connection = http.client.HTTPConnection("127.0.0.1", where.port or 80, timeout=60)
    body = parts.encode() + content + f"\r\n--{mark}--\r\n".encode()
    connection.request("POST", urlsplit(form.action).path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("later", [False, True])
def test_a_copy_holds_what_recipients_answered(outside: Outside, later: bool) -> None:
    """At once or by a callback through the public API; and by hand, a file byte by byte."""
    stage, who = outside.stage, "mixed_case"
    outside.receiver.later = later
    member = outside.holds(who, "looms", "engines")
    story = outside.ask(who)
    outside.waits(story, outside.plan.visit_of("courier.parcels").visit)
    executions = stage.client("stepfunctions").list_executions(
        stateMachineArn=stage.outputs["RequestWorkflow"].replace("dsr-request", "dsr-store"),
        statusFilter="RUNNING",
    )["executions"]
    assert not [e for e in executions if story.case_id in e["name"]], "no store is held open meanwhile"
    browser, page = signed_in(stage, "agents", f"/desk/cases/{story.case_id}")
    page = browser.get(next(link for link in map(page_link(page), page.links) if "/tasks/" in link))
    assert member in page.text
    assert "Swiftparcel" in page.text
    slip = bytes(range(256)) * 4
    assert upload(browser, page, "slip.pdf", slip) == 303
    assert upload(browser, page, "parcels.csv", f"member,parcel\n{member},TRK1\n".encode()) == 303
    page = browser.submit(page, page.form("said"), said="answered")
    assert "The task is closed" in page.text
    bundle = story.download()
    theirs = bundle.records[("mailing", "subscriptions")]
    assert sorted(r["topic"] for r in theirs) == ["engines", "looms"]
    assert [r.get("parcel") for r in bundle.records[("courier", "parcels")]] == [None, "TRK1"]
    visits = stage.book.visits(story.case_id)
    told = {v.store: v.answer for v in visits.values() if v.asked_at}
    assert told == {"mailing": "answered", "courier": "answered"}
    assert all(v.asked_at <= v.answered_at < v.answer_by for v in visits.values() if v.asked_at)


def page_link(page: Page) -> Any:
    """Links of the page as addresses."""
    where = urlsplit(page.url)
    return lambda link: link if "://" in link else f"{where.scheme}://{where.netloc}{link}"


def test_the_rest_is_released_in_part_when_nobody_answers(outside: Outside) -> None:
    stage = outside.stage
    outside.receiver.later = False
    outside.holds("mixed_case", "looms")
    story = outside.ask("mixed_case")
    visit = outside.plan.visit_of("courier.parcels").visit
    outside.waits(story, visit)
    # The time to answer passes.
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    stage.client("dynamodb").update_item(
        TableName=stage.outputs["CasesTable"],
        Key={"case_id": {"S": story.case_id}, "part": {"S": f"visit#{visit}"}},
        UpdateExpression="SET answer_by = :past",
        ExpressionAttributeValues={":past": {"S": past}},
    )
    stage.alter(story.case_id, expires_at=past)
    assert stage.keep_clocks()["overdue"] >= 1
    case = stage.reaches(story.case_id, State.NEEDS_ATTENTION)
    assert [(p.visit, p.reason) for p in case.attention] == [(visit, "overdue")]
    stage.settled(story.case_id)
    browser, page = signed_in(stage, "agents", f"/desk/cases/{story.case_id}")
    page = browser.submit(page, page.form("visit", action="/leave-out"))
    assert "goes on without this store" in page.text
    bundle = story.download()
    assert story.case().outcome == "delivered_in_part"
    assert ("mailing", "subscriptions") in bundle.records
    assert ("courier", "parcels") not in bundle.records


def test_a_deletion_tells_recipients_and_asks_what_is_left(outside: Outside) -> None:
    stage, who = outside.stage, "name_apostrophe"
    outside.receiver.later = True
    outside.receiver.done.clear()
    member = outside.holds(who, "looms")
    story = outside.ask(who, right="deletion")
    stage.reaches(story.case_id, State.AWAITING_CONFIRMATION)
    assert outside.receiver.done == {}, "nobody is told before it is confirmed"
    page = story.look()
    form = page.form(action="/confirm-deletion")
    ticked = {name: values[0] for name, values in form.choices.items() if values}
    story.browser.submit(page, form, **ticked)
    outside.waits(story, outside.plan.visit_of("courier.parcels").visit)
    held = json.loads(outside.receiver.path.read_text())
    assert [r["member"] for r in held["subscriptions"]] == ["m-of-somebody-else"]
    browser, page = signed_in(stage, "agents", f"/desk/cases/{story.case_id}")
    page = browser.get(next(link for link in map(page_link(page), page.links) if "/tasks/" in link))
    assert "Ask them to delete" in page.text
    assert member in page.text
    browser.submit(page, page.form("said"), said="erased", text="deleted, says their Bob")
    case = stage.reaches(story.case_id, State.ERASED, State.ERASED_IN_PART)
    assert [name.split("_")[2] for name in outside.receiver.done] == ["erase", "remaining"]
    told = {v.store: v.answer for v in stage.book.visits(story.case_id, "erase@0").values() if v.asked_at}
    assert told == {"mailing": "erased", "courier": "erased"}
    content = stage.client("s3").get_object(Bucket=stage.outputs["BundlesBucket"], Key=case.certificate)
    key = story.browser.get(f"{stage.url}/.well-known/dsr/certificate-key.pem").body
    said = verify(content["Body"].read(), key)
    erased = {c["store"]: c["erased"] for c in said["collections"]}
    assert (erased["mailing"], erased["courier"]) == (1, 1)
