"""What the map says of recipients: mistakes are told with their way out, and the role reaches no further."""

import json
from pathlib import Path

import pytest

from dsr.datamap.compile import compile_file
from dsr.datamap.plan import Plan, from_json, to_json
from dsr.datamap.roles import roles_template
from dsr.errors import MapError
from tests.unit.world import HEAD, collection, store

IDENTITY = "identity: {is: email, normalise: lower, verified: true}"
MEMBERS = store(
    "shop", collection("members", {"id": "", "email": IDENTITY, "sub": "proves: sign_in"}, "account: id")
)
WHO = "{name: Letterbird, role: processor, answer_within: P7D}"
LISTS = collection("lists", {"address": "references: shop.members.email", "topic": ""}, table=False)
SECRET = 'url: "https://mail.example/dsr", secret: shop/mail'


def webhook(connection: str = SECRET, who: str = WHO, lists: str = LISTS, name: str = "mailing") -> str:
    made = store(name, lists, kind="webhook", connection=connection)
    return made.replace("    collections:", f"    recipient: {who}\n    collections:") if who else made


def manual(lists: str = LISTS, more: str = "") -> str:
    return (
        f"  courier:\n    kind: manual\n    recipient: {WHO}\n    instructions: Write to them.\n{more}"
        f"    collections:\n{lists}"
    )


def compiled(folder: Path, *stores: str) -> Plan:
    path = folder / "map.yaml"
    path.write_text(HEAD + MEMBERS + "".join(stores))
    return compile_file(path, {})


def test_recipients_ship_with_what_is_told_of_them(tmp_path: Path) -> None:
    plan = from_json(to_json(compiled(tmp_path, webhook(), manual())))
    who = {"name": "Letterbird", "role": "processor", "answer_within": "P7D"}
    assert plan.stores["mailing"].recipient == who
    assert plan.stores["mailing"].connection == {
        "region": "us-east-1", "url": "https://mail.example/dsr", "secret": "shop/mail",
    }  # fmt: skip
    assert plan.stores["courier"].recipient == {**who, "instructions": "Write to them."}
    assert plan.stores["courier"].connection == {}
    assert plan.stores["shop"].recipient == {}


ACCOUNT = LISTS.replace("        fields", "        account: address\n        fields")
SENT = collection("sent", {"list": "references: mailing.lists.topic"}, table=False)
MASKED = LISTS.replace("on_deletion: delete", 'on_deletion: {mask: {topic: "null"}}')
KEPT = LISTS.replace("on_deletion: delete", "on_deletion: {keep: tax, law: a law, until: {date: 2030-12-31}}")
ROLE = "    role: arn:aws:iam::1:role/x\n"
MISTAKES = {
    "plain http": (webhook('url: "http://mail.example/dsr", secret: s'), "url`: must begin with https://"),
    "no host": (webhook('url: "https:///dsr", secret: s'), "needs a host"),
    "a password": (webhook('url: "https://a:b@mail.example/", secret: s'), "neither a user, a password"),
    "nothing to sign with": (webhook('url: "https://mail.example/"'), "either `secret` or `key`"),
    "two to sign with": (webhook(SECRET + ', key: "arn:aws:kms:k"'), "either `secret` or `key`"),
    "nobody named": (webhook(who=""), "`stores.mailing.recipient`: is missing"),
    "a role of its own": (webhook(who=WHO.replace("processor", "friend")), "'processor' or 'controller'"),
    "no time": (webhook(who=WHO.replace("P7D", "a week")), "`stores.mailing.recipient.answer_within`"),
    "an account": (webhook(lists=ACCOUNT), "only what is searched here can tell who a person is"),
    "a way within": (webhook(lists=LISTS + SENT), "sent.fields.list.references`: leads from the same"),
    "kept there": (webhook(lists=KEPT), "nobody could tell when the time is over"),
    "a mask": (webhook(lists=MASKED), "can only delete or keep whole records"),
    "a manual task with a role": (manual(more=ROLE), "`stores.courier.role`: no such key"),
    "no way": (manual(collection("lists", {"topic": ""}, table=False)), "no way to find a person here"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    text, said = MISTAKES[name]
    with pytest.raises(MapError) as error:
        compiled(tmp_path, text)
    assert said in str(error.value)


def test_plain_http_to_this_machine_is_for_trying_out(tmp_path: Path) -> None:
    compiled(tmp_path, webhook('url: "http://127.0.0.1:8080/dsr", secret: s'))


def test_the_role_opens_the_secret_or_the_key_alone_and_a_manual_task_has_none(tmp_path: Path) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    plan = compiled(
        tmp_path, webhook(), webhook(f'url: "https://b.example/", key: "{key}"', name="other"), manual()
    )
    resources = roles_template(plan)["Resources"]
    assert set(resources) == {"ShopAccess", "MailingAccess", "OtherAccess"}
    granted = {
        name: r["Properties"]["Policies"][0]["PolicyDocument"]["Statement"] for name, r in resources.items()
    }
    [secret], [sign] = granted["MailingAccess"], granted["OtherAccess"]
    assert (secret["Action"], sign["Action"]) == (["secretsmanager:GetSecretValue"], ["kms:Sign"])
    assert ":secret:shop/mail-??????" in json.dumps(secret["Resource"])
    assert sign["Resource"] == [{"Fn::Sub": key}]
    assert "role/dsr-store-webhook-role" in json.dumps(resources["MailingAccess"])
