"""The data map: each mistake is told with its line and the way out; the order of reading fits any map."""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr.datamap.compile import compile_file
from dsr.datamap.plan import Plan, VisitPlan, from_json, to_json
from dsr.datamap.roles import roles_template
from dsr.datamap.schema import DataMap
from dsr.durations import in_days
from dsr.errors import MapError
from tests.unit.world import HEAD, collection, compiled, field, store

CRAFTZONE = Path("infra/craftzone/datamap.yaml")
VALUES = {"account": "123456789012", "region": "eu-west-1", "user_pool": "eu-west-1_x"}
VALUES |= {"mailing": "https://hooks.letterbird.example/dsr", "revocation": "https://accounts.example/revoke"}
IDENTITY = "identity: {is: email, normalise: lower, verified: true}"

# A small map that is right, one thing per line: each mistake below changes one of them.
RIGHT = HEAD + "".join(
    [
        store(
            "shop",
            collection(
                "members",
                {"id": "", "email": IDENTITY, "sub": "proves: sign_in", "born": "", "at": ""},
                "account: id",
                "born: born",
                "indexes: {email: by-email}",
            ),
            collection("orders", {"order": "", "member": "references: shop.members.id", "at": ""}),
        ),
        store(
            "files",
            collection(
                "pictures",
                {"object_key": "", "member": "references: shop.members.id"},
                "key_template: 'p/{member}/'",
                "match: prefix",
                table=False,
            ),
            kind="s3",
            connection="bucket: pictures",
        ),
        store(
            "signin",
            collection("users", {"sub": "references: shop.members.sub"}, table=False),
            kind="cognito",
            connection="user_pool: pool",
        ),
    ]
)


def check(folder: Path, text: str | bytes, **values: str) -> Plan:
    path = folder / "map.yaml"
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text, encoding="utf-8")
    return compile_file(path, values)


def error_of(folder: Path, text: str | bytes, **values: str) -> str:
    with pytest.raises(MapError) as raised:
        check(folder, text, **values)
    return str(raised.value)


def test_the_right_map_is_right(tmp_path: Path) -> None:
    plan = check(tmp_path, RIGHT)
    assert [(v.visit, v.collections, v.resolves) for v in plan.visits] == [
        ("0-shop-who", ("members",), True),
        ("0-shop", ("orders",), False),
        ("1-files", ("pictures",), False),
        ("1-signin", ("users",), False),
    ]


def change(old: str, new: str, count: int = 1) -> Callable[[str], str]:
    def apply(text: str) -> str:
        assert old in text, f"{old!r} is not in the map any more"
        return text.replace(old, new, count)

    return apply


def also(name: str, more: str) -> Callable[[str], str]:
    """The first field of that name says `more`."""
    return change(f"{name}: {field()}", f"{name}: {field(more)}")


ORDERS = "stores.shop.collections.orders"
MEMBERS = "stores.shop.collections.members"
PICTURES = "stores.files.collections.pictures"
OBJECT_TOKEN = "object_key: {category: user.unique_id, purpose: p, revoke: 'https://x.example/revoke'}"
KEEP = "{keep: for tax, law: Art. 17, until: {duration: P7Y, from: at}}"

MISTAKES: dict[str, tuple[Callable[[str], str], str, str, str]] = {
    # name: (the change, what stands in the line that is named, path, what is said)
    "an unknown key of a collection": (
        change("        basis: contract", "        basiss: contract"),
        "basiss:",
        f"{MEMBERS}.basiss",
        "did you mean `basis`?",
    ),
    "an unknown key of a field": (
        change("purpose: p, ref", "purpos: p, ref"),
        "purpos:",
        f"{ORDERS}.fields.member.purpos",
        "did you mean `purpose`?",
    ),
    "an unknown key of an identity": (
        change("verified: true}", "verified: true, verifed: true}"),
        "verifed",
        f"{MEMBERS}.fields.email.identity.verifed",
        "did you mean `verified`?",
    ),
    "an unknown key at the top": (
        change("version: 1\n", "version: 1\npurpose: {}\n"),
        "purpose: {}",
        "purpose",
        "did you mean `purposes`?",
    ),
    "a key of another place": (
        change("version: 1\n", "version: 1\nfields: {}\n"),
        "fields: {}",
        "fields",
        "belongs elsewhere",
    ),
    "a key of another kind of store": (
        change("        table: orders\n", "        table: orders\n        key_template: 'x'\n"),
        "key_template",
        f"{ORDERS}.key_template",
        "it is a word of s3",
    ),
    "freezing what cannot be frozen": (
        change("        account: id\n", "        account: id\n        freeze: true\n"),
        "freeze",
        f"{MEMBERS}.freeze",
        "a dynamodb store cannot stop the use of records; cognito can",
    ),
    "a token of a store that has none revoked": (
        change("object_key: {category: user.unique_id, purpose: p}", OBJECT_TOKEN),
        "revoke:",
        f"{PICTURES}.fields.object_key.revoke",
        "only dynamodb stores have tokens revoked",
    ),
    "masks in a store that has none": (
        change(
            "on_deletion: delete\n        copies: none\n        key_template",
            "on_deletion: {mask: {member: redacted}}\n        copies: none\n        key_template",
        ),
        "redacted",
        f"{PICTURES}.on_deletion.mask.member",
        "a s3 store can only delete or keep whole records",
    ),
    "an unknown key of a connection": (
        change("bucket: pictures}", "bucket: pictures, buket: x}"),
        "buket",
        "stores.files.connection.buket",
        "did you mean `bucket`?",
    ),
    "a connection that lacks something": (
        change(", bucket: pictures}", "}"),
        "connection",
        "stores.files.connection",
        "needs bucket",
    ),
    "a missing key": (
        change("        subjects: one\n", ""),
        "members:",
        f"{MEMBERS}.subjects",
        "is missing",
    ),
    "an unknown purpose": (
        change("purpose: p}", "purpose: qq}"),
        "qq",
        f"{MEMBERS}.fields.id.purpose",
        "`qq` is none of `purposes`; did you mean `q`?",
    ),
    "a reference to a store that is not there": (
        change("references: shop.members.id", "references: shp.members.id"),
        "shp.",
        f"{ORDERS}.fields.member.references",
        "no store `shp`; did you mean `shop`?",
    ),
    "a reference to a collection that is not there": (
        change("references: shop.members.id", "references: shop.member.id"),
        "shop.member.",
        f"{ORDERS}.fields.member.references",
        "no collection `member`",
    ),
    "a reference to a field that is not there": (
        change("references: shop.members.id", "references: shop.members.idd"),
        "idd",
        f"{ORDERS}.fields.member.references",
        "in collection `shop.members`; did you mean `id`?",
    ),
    "a reference that is no path": (
        change("references: shop.members.id", "references: members"),
        "references: members",
        f"{ORDERS}.fields.member.references",
        "must be store.collection.field",
    ),
    "a reference to itself": (
        also("order", "references: shop.orders.order"),
        "shop.orders.order",
        f"{ORDERS}.fields.order.references",
        "every record would be found by itself",
    ),
    "a reference within the store to a collection that is not there": (
        change("references: shop.members.id", "references: member.id"),
        "member.id",
        f"{ORDERS}.fields.member.references",
        "no collection `member` in store `shop`; did you mean `members`?",
    ),
    "one of several references": (
        change("references: shop.members.id", "references: [shop.members.id, shop.members.idd]"),
        "idd",
        f"{ORDERS}.fields.member.references.1",
        "did you mean `id`?",
    ),
    "late where nothing goes in a circle": (
        change("references: shop.members.id", "references: [members.id, {to: members.sub, late: true}]"),
        "late",
        f"{ORDERS}.fields.member.references",
        "`shop.members` does not follow from here",
    ),
    "only what is late leads here": (
        lambda text: also("at", "references: orders.order")(
            change("references: shop.members.id", "references: {to: members.id, late: true}")(text)
        ),
        "orders:",
        ORDERS,
        "at first (what is `late`",
    ),
    "an unknown key of a reference": (
        change("references: shop.members.id", "references: {to: shop.members.id, lat: true}"),
        "lat",
        f"{ORDERS}.fields.member.references.lat",
        "did you mean `late`?",
    ),
    "an address without a word on its proof": (
        change(", verified: true", ""),
        "email",
        f"{MEMBERS}.fields.email.identity.verified",
        "is missing: say whether",
    ),
    "a phone that a household shares": (
        change("references: shop.members.id", "identity: {is: phone, normalise: e164, verified: true}"),
        "phone",
        f"{ORDERS}.fields.member.identity",
        "a household shares a phone",
    ),
    "a sign-in verified otherwise": (
        change("references: shop.members.id", "identity: {is: sign_in, verified: true}"),
        "sign_in",
        f"{ORDERS}.fields.member.identity",
        "proven by signing in",
    ),
    "accounts found by signing in": (
        change("proves: sign_in", "proves: sign_in, identity: {is: sign_in}"),
        "is: sign_in",
        f"{MEMBERS}.fields.sub.identity.is",
        "find accounts by email",
    ),
    "never without a reason": (
        also("at", "disclose: never"),
        "never",
        f"{MEMBERS}.fields.at",
        "needs a `reason`",
    ),
    "since without verified": (
        change("verified: true}", "verified: false, since: at}"),
        "since",
        f"{MEMBERS}.fields.email.identity.since",
        "set `verified: true`",
    ),
    "valid without recorded": (
        change("verified: true}", "verified: true, valid: P1Y}"),
        "valid",
        f"{MEMBERS}.fields.email.identity.valid",
        "name that field in `recorded`",
    ),
    "an identity's field that is not there": (
        change("verified: true}", "verified: true, recorded: att}"),
        "att",
        f"{MEMBERS}.fields.email.identity.recorded",
        "no field `att` in this collection; did you mean `at`?",
    ),
    "an account that is no field": (
        change("account: id", "account: idd"),
        "account:",
        f"{MEMBERS}.account",
        "no field `idd`",
    ),
    "an index on no field": (
        change("indexes: {email:", "indexes: {emil:"),
        "emil",
        f"{MEMBERS}.indexes.emil",
        "did you mean `email`?",
    ),
    "a key that is no field": (change("key: [id]", "key: [i]"), "key: [i]", f"{MEMBERS}.key", "no field `i`"),
    "a retention in both forms": (
        change("{until: account_deleted}", "{until: account_deleted, duration: P1Y, from: at}"),
        "duration",
        f"{MEMBERS}.retention",
        "give either",
    ),
    "a retention from no field": (
        change("{until: account_deleted}", "{duration: P1Y, from: att}"),
        "att",
        f"{MEMBERS}.retention.from",
        "did you mean `at`?",
    ),
    "a retention without its field": (
        change("{until: account_deleted}", "{duration: P1Y}"),
        "P1Y",
        f"{MEMBERS}.retention",
        "give either",
    ),
    "a duration that is none": (
        change("{until: account_deleted}", "{duration: 1 year, from: at}"),
        "1 year",
        f"{MEMBERS}.retention.duration",
        "ISO 8601 duration, such as P90D",
    ),
    "keep until a field that is not there": (
        change("on_deletion: delete", f"on_deletion: {KEEP.replace('from: at', 'from: att')}"),
        "att",
        f"{MEMBERS}.on_deletion.until.from",
        "did you mean `at`?",
    ),
    "keep without its law": (
        change("on_deletion: delete", f"on_deletion: {KEEP.replace('law: Art. 17, ', '')}"),
        "keep",
        f"{MEMBERS}.on_deletion.law",
        "is missing",
    ),
    "a misspelt key of keep": (
        change("on_deletion: delete", f"on_deletion: {KEEP.replace('law', 'lav')}"),
        "keep",
        f"{MEMBERS}.on_deletion.l",
        "",
    ),
    "a mask of no field": (
        change("on_deletion: delete", "on_deletion: {mask: {borm: redacted}}"),
        "borm",
        f"{MEMBERS}.on_deletion.mask.borm",
        "did you mean `born`?",
    ),
    "a mask that is none": (
        change("on_deletion: delete", "on_deletion: {mask: {born: blacken}}"),
        "blacken",
        f"{MEMBERS}.on_deletion.mask.born",
        "redacted",
    ),
    "a treatment that is none": (
        change("on_deletion: delete", "on_deletion: dlete"),
        "dlete",
        f"{MEMBERS}.on_deletion",
        "'delete'",
    ),
    "copies not said": (change("copies: none", "copies:"), "copies:", f"{MEMBERS}.copies", ""),
    "a copy without a name": (
        change("copies: none", "copies: [{kind: cdn}]"),
        "cdn",
        f"{MEMBERS}.copies.0.name",
        "is missing",
    ),
    "a kind that is none": (change("kind: s3", "kind: ftp"), "ftp", "stores.files.kind", "'dynamodb'"),
    "a table not named": (
        change("        table: orders\n", ""),
        "orders:",
        ORDERS,
        "a dynamodb collection needs `table`",
    ),
    "a template without its field": (
        change("p/{member}/", "p/{members}/"),
        "key_template",
        f"{PICTURES}.key_template",
        "did you mean `member`?",
    ),
    "a template of nothing": (
        change("p/{member}/", "p/"),
        "key_template",
        f"{PICTURES}.key_template",
        "exactly one",
    ),
    "a template of two": (
        change("p/{member}/", "p/{member}/{object_key}/"),
        "key_template",
        f"{PICTURES}.key_template",
        "exactly one",
    ),
    "a lone brace in a template": (
        change("p/{member}/", "p/{member/"),
        "key_template",
        f"{PICTURES}.key_template",
        "exactly one",
    ),
    "a format in a template": (
        change("p/{member}/", "p/{member!r}/"),
        "key_template",
        f"{PICTURES}.key_template",
        "must be a field",
    ),
    "a prefix that fits others too": (
        change("p/{member}/", "p/{member}"),
        "key_template",
        f"{PICTURES}.key_template",
        "belongs to 123",
    ),
    "a way that makes no key": (
        also("object_key", "references: shop.orders.order"),
        "shop.orders.order",
        f"{PICTURES}.fields.object_key.references",
        "finds no object",
    ),
    "an identity that makes no key": (
        also("object_key", IDENTITY),
        "identity",
        f"{PICTURES}.fields.object_key.identity",
        "finds no object",
    ),
    "no way to a collection": (
        change(f"member: {field('references: shop.members.id')}", f"member: {field()}"),
        "orders:",
        ORDERS,
        "no way to find a person here: give a field",
    ),
    "leave to read a whole table that has an index": (
        change(
            "indexes: {email: by-email}", "indexes: {email: by-email}\n        scan: {allowed: it is small}"
        ),
        "scan:",
        f"{MEMBERS}.scan",
        "is not needed",
    ),
    "leave to read a whole table without a reason": (
        change("indexes: {email: by-email}", "scan: {allowed: yes}"),
        "scan:",
        f"{MEMBERS}.scan.allowed",
        "must be a text: put it in quotes",
    ),
    "a category that is none of the taxonomy": (
        change("category: user.unique_id", "category: user.contact.emial"),
        "emial",
        f"{MEMBERS}.fields.id.category",
        "none of the Fides taxonomy; did you mean `user.contact.email`?",
    ),
    "a treatment that the kind cannot do": (
        change(
            "on_deletion: delete\n        copies: none\n        key_template",
            "on_deletion: {mask: {object_key: keyed_hash}}\n        copies: none\n        key_template",
        ),
        "keyed_hash",
        f"{PICTURES}.on_deletion.mask.object_key",
        "a s3 store can only delete or keep whole records",
    ),
    "a file kept until a time that it does not tell": (
        change(
            "on_deletion: delete\n        copies: none\n        key_template",
            "on_deletion: {keep: tax, law: a law, until: {duration: P7Y, from: object_key}}"
            "\n        copies: none\n        key_template",
        ),
        "object_key",
        f"{PICTURES}.on_deletion.until.from",
        "is no time that an object tells: last_modified, metadata.NAME or tags.NAME",
    ),
    "a truncation that is none": (
        change("on_deletion: delete", "on_deletion: {mask: {at: {truncate: week}}}"),
        "week",
        f"{MEMBERS}.on_deletion.mask.at.truncate",
        "'year', 'month', 'day', 'hour' or 'ip'",
    ),
    "a generalisation in no form": (
        change("on_deletion: delete", "on_deletion: {mask: {at: {generalise: {band: 0}}}}"),
        "band",
        f"{MEMBERS}.on_deletion.mask.at.generalise.band",
        "greater than 0",
    ),
    "a constant without its text": (
        change("on_deletion: delete", "on_deletion: {mask: {at: {constant: ''}}}"),
        "constant",
        f"{MEMBERS}.on_deletion.mask.at.constant",
        "must not be empty",
    ),
    "an end of keeping that is told twice": (
        change(
            "on_deletion: delete", f"on_deletion: {KEEP.replace('from: at', 'from: at, date: 2030-12-31')}"
        ),
        "on_deletion",
        f"{MEMBERS}.on_deletion.until",
        "give either `duration` and `from`, or a `date`",
    ),
    "an end of keeping that counts from nothing": (
        change("on_deletion: delete", f"on_deletion: {KEEP.replace(', from: at', '')}"),
        "on_deletion",
        f"{MEMBERS}.on_deletion.until",
        "give either `duration` and `from`, or a `date`",
    ),
    "a restriction by what finds the record": (
        change("        account: id\n", "        account: id\n        restrict: {set: {email: none}}\n"),
        "restrict",
        f"{MEMBERS}.restrict.set.email",
        "take a field of its own",
    ),
    "a restriction that is lifted and never set": (
        change(
            "        account: id\n", "        account: id\n        restrict: {set: {at: x}, lift: {b: y}}\n"
        ),
        "restrict",
        f"{MEMBERS}.restrict.lift.b",
        "is not set, so there is nothing to lift",
    ),
    "a masked record that still identifies": (
        change("on_deletion: delete", "on_deletion: {mask: {email: redacted, at: null, born: null}}"),
        "sub:",
        f"{MEMBERS}.fields.sub",
        "`user.unique_id` still identifies after the deletion: mask it too",
    ),
    "a detached record that still leads to its person": (
        lambda text: (
            text.replace(f"at: {field()}", f"at: {field('provided: true')}")
            .replace("on_deletion: delete", "on_deletion: {detach: {member: null}}", 2)
            .replace("on_deletion: {detach: {member: null}}", "on_deletion: delete", 1)
        ),
        "at:",
        f"{ORDERS}.fields.at",
        "still identifies",
    ),
    "a copy without an end": (
        change("copies: none", "copies: [{kind: cdn, name: x}]"),
        "cdn",
        f"{MEMBERS}.copies.0",
        "say its `lag`",
    ),
    "an expiry of the store's own that a hold would not stop": (
        change("        account: id\n", "        account: id\n        expires_by: ttl\n"),
        "expires_by",
        f"{MEMBERS}.expires_by",
        "a dynamodb store cannot suspend it: say `may_be_held: false`",
    ),
    "a source that is none": (
        change("        account: id\n", "        account: id\n        source: persn\n"),
        "persn",
        f"{MEMBERS}.source",
        "did you mean `person`?",
    ),
    "a source of a field that is none": (
        also("at", "source: courier"),
        "courier",
        f"{MEMBERS}.fields.at.source",
        "is neither `person`, `use`, `us` nor one of `sources`",
    ),
    "a source that nothing comes from": (
        change("version: 1\n", "version: 1\nsources: {courier: the courier}\n"),
        "courier",
        "sources.courier",
        "nothing comes from this source",
    ),
    "a recipient that is none": (
        change("        account: id\n", "        account: id\n        recipients: [mailer]\n"),
        "mailer",
        f"{MEMBERS}.recipients.0",
        "none of `recipients`",
    ),
    "a recipient who receives nothing": (
        change("version: 1\n", "version: 1\nrecipients: {courier: {name: C, role: processor}}\n"),
        "courier",
        "recipients.courier",
        "no collection goes to this recipient",
    ),
    "a circle": (
        also("at", "references: shop.orders.order"),
        "members:",
        MEMBERS,
        "(`shop.members` → `shop.orders` → `shop.members`)",
    ),
    "nobody to prove a sign-in": (
        change(", proves: sign_in", ""),
        "account: id",
        f"{MEMBERS}.account",
        "no field has `proves: sign_in`",
    ),
    "a category of no taxonomy": (
        change("category: user.unique_id", "category: people.id"),
        "people.id",
        f"{MEMBERS}.fields.id.category",
        "a data category of the Fides taxonomy",
    ),
    "a role that is none": (change("role: arn:", "role: nra:"), "nra:", "stores.shop.role", "must be an ARN"),
    "a name with a dash": (
        change("  shop:\n", "  my-shop:\n"),
        "my-shop:",
        "stores.my-shop",
        "a word of lower-case letters",
    ),
    "another version of the format": (change("version: 1", "version: 2"), "version: 2", "version", "1"),
    "a text instead of a mapping": (
        change("  files:\n    kind: s3", "  files: x\n  fles:\n    kind: s3"),
        "files: x",
        "stores.files",
        "must be a mapping",
    ),
    "a number for a title": (
        change("title: Your orders", "title: 5"),
        "title: 5",
        f"{ORDERS}.title",
        "must be a text",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_line_its_path_and_the_way_out(tmp_path: Path, name: str) -> None:
    apply, shown, path, said = MISTAKES[name]
    text = apply(RIGHT)
    message = error_of(tmp_path, text)
    told = re.fullmatch(r"(.*map\.yaml):(\d+): `([^`]*)`: (.*)", message)
    assert told, f"one mistake, one line: {message}"
    assert Path(told[1]) == tmp_path / "map.yaml"
    assert told[3].startswith(path), message
    assert said in told[4], message
    assert shown in text.splitlines()[int(told[2]) - 1], f"{message}\n{text.splitlines()[int(told[2]) - 1]}"


def test_several_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = RIGHT
    for name in ("never without a reason", "a reference to a store that is not there", "an unknown purpose"):
        text = MISTAKES[name][0](text)
    lines = error_of(tmp_path, text).splitlines()
    assert [re.sub(r".*?map\.yaml:\d+: ", "", line) for line in lines] == [
        f"`{MEMBERS}.fields.id.purpose`: `qq` is none of `purposes`; did you mean `q`?",
        f"`{MEMBERS}.fields.at`: `disclose: never` needs a `reason` that the person will read",
        f"`{ORDERS}.fields.member.references`: `shp.members.id`: no store `shp`; did you mean `shop`?",
    ]
    text = text.replace("basis: contract", "basiss: contract").replace("kind: s3", "kind: s33")
    lines = error_of(tmp_path, text).splitlines()
    assert len(lines) == 4, "words first: what they say together is told when they are right"
    assert sum("did you mean `basis`?" in line for line in lines) == 3
    assert "did you mean `s3`?" in lines[2]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        ("\n\n---\n", 1, "empty"),
        ("version: 1\nstores: [\n", 3, "not YAML"),
        ("version: 1\n\tx: 1\n", 2, "not YAML"),
        ("a: 1\nb: 'x\x07'\n", 2, "not YAML"),
        ("a: !Ref b\n", 1, "not YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "`a` stands here twice"),
        ("a:\n  b: 1\n  c: {d: 1, d: 2}\n", 3, "`d` stands here twice"),
        ("- a\n- b\n", 1, "not a mapping"),
        ("just words\n", 1, "not a mapping"),
        ("a: 1\n? [x, y]\n: 2\n", 2, "a key must be a plain word"),
        ("a: &x\n  b: *x\n", 1, "holds itself"),
        ("---\na: 1\n---\nb: 2\n", 3, "not YAML"),
        ("a: 2026-13-45\n", 1, "looks like a date"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
    ],
)
def test_what_is_no_map_at_all_is_told_with_its_line(
    tmp_path: Path, text: str | bytes, line: int, said: str
) -> None:
    message = error_of(tmp_path, text)
    assert message.startswith(f"{tmp_path / 'map.yaml'}:{line}: "), message
    assert said in message


def test_dates_are_dates_whatever_sam_teaches_the_shared_loader(tmp_path: Path) -> None:
    from samcli import yamlhelper

    yamlhelper.yaml_parse("a: 1")  # from here on every safe loader of this process takes dates for text
    assert "looks like a date" in error_of(tmp_path, "a: 2026-13-45\n")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"nowhere.yaml:1: cannot be read: No such file"):
        compile_file(tmp_path / "nowhere.yaml", {})


@given(st.data())
@settings(max_examples=60)
def test_no_cut_or_swap_of_lines_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = RIGHT.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    match data.draw(st.sampled_from(["cut", "drop", "indent", "double", "letter"])):
        case "cut":
            lines = lines[:at]
        case "drop":
            del lines[at]
        case "indent":
            lines[at] = "  " + lines[at]
        case "double":
            lines.insert(at, lines[at])
        case _:
            column = data.draw(st.integers(0, len(lines[at]) - 1))
            sign = data.draw(st.sampled_from("{}[]:,'\"&*!|>%@`#-? x\t"))
            lines[at] = lines[at][:column] + sign + lines[at][column + 1 :]
    folder = tmp_path_factory.mktemp("cut", numbered=True)
    try:
        check(folder, "".join(lines))
    except MapError as error:
        told = str(error)
    else:
        return
    assert re.match(r".*map\.yaml:\d+: .", told), told


# -- values ------------------------------------------------------------------------------------------


def test_values_are_filled_in_everywhere_and_missed_by_name(tmp_path: Path) -> None:
    text = RIGHT.replace("bucket: pictures", 'bucket: "pictures-${account}$$"').replace(
        "Your orders", '"Orders for $5"'
    )
    plan = check(tmp_path, text, account="123")
    assert plan.stores["files"].connection["bucket"] == "pictures-123$"
    assert plan.collections["shop.orders"].title == "Orders for $5"
    message = error_of(tmp_path, text)
    line = next(n for n, line in enumerate(text.splitlines(), 1) if "${account}" in line)
    assert message == (
        f"{tmp_path / 'map.yaml'}:{line}: `stores.files.connection.bucket`: "
        "`${account}` has no value; give it with --set account=…"
    )
    for odd in ("${", "${account", "${a b}", "${account} and $"):
        message = error_of(tmp_path, RIGHT.replace("bucket: pictures", f'bucket: "{odd}"'), account="1")
        assert "must be written `$$`" in message


def test_other_values_are_another_version_and_the_same_are_the_same(tmp_path: Path) -> None:
    text = RIGHT.replace("bucket: pictures", 'bucket: "${b}"')
    one, again, other = (check(tmp_path, text, b=b) for b in ("x", "x", "y"))
    assert one == again
    assert one.version != other.version
    assert check(tmp_path, RIGHT.replace("Your orders", "Orders")).version != check(tmp_path, RIGHT).version
    assert check(tmp_path, "# a comment\n" + RIGHT).version == check(tmp_path, RIGHT).version


def test_words_that_yaml_takes_for_something_else_mean_what_they_say(tmp_path: Path) -> None:
    text = RIGHT.replace("purpose: p, references", "purpose: p, disclose: yes, references").replace(
        "on_deletion: delete", "on_deletion: {mask: {at: null, born: redacted, email: null, sub: null}}", 1
    )
    plan = check(tmp_path, text)
    assert plan.collections["shop.orders"].fields["member"].disclose == "yes"
    masks = plan.collections["shop.members"].masks
    assert {name: "redacted" if t.masking.to else t.masking.how for name, t in masks.items()} == {
        "at": "null",
        "born": "redacted",
        "email": "null",
        "sub": "null",
    }


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("P1Y", 365), ("P6M", 180), ("P2W", 14), ("P90D", 90), ("P1Y6M", 545), ("PT24H", 0), ("P1DT12H", 1)],
)
def test_durations_in_days(duration: str, expected: int) -> None:
    assert in_days(duration) == expected


# -- what the plan holds -----------------------------------------------------------------------------


def test_the_plan_survives_being_shipped() -> None:
    plan = compile_file(CRAFTZONE, VALUES)
    assert from_json(to_json(plan)) == plan
    assert from_json(to_json(plan).encode()) == plan
    assert json.loads(to_json(plan))["version"] == plan.version


def test_references_come_before_identities_so_that_certainty_comes_first(tmp_path: Path) -> None:
    fields = {"email": IDENTITY, "x": "", "member": "references: a.people.id"}
    plan = compiled(
        tmp_path, store("a", collection("people", {"id": "", "email": IDENTITY}), collection("notes", fields))
    )
    assert [w.field for w in plan.collections["a.notes"].ways] == ["member", "email"]
    assert plan.collections["a.people"].feeds == ("id",)
    assert plan.collections["a.notes"].feeds == ()
    assert plan.collections["a.notes"].parents == {"a.people"}


def test_the_schema_for_editors_is_strict_and_speaks_the_maps_words() -> None:
    schema = DataMap.model_json_schema(by_alias=True)
    assert schema["additionalProperties"] is False
    assert all(d["additionalProperties"] is False for d in schema["$defs"].values() if d["type"] == "object")
    identity = schema["$defs"]["IdentityField"]
    assert identity["required"] == ["is"]
    assert "is_" not in identity["properties"]


def test_the_sample_map_reads_its_accounts_before_anything_else() -> None:
    plan = compile_file(CRAFTZONE, VALUES)
    assert {c for v in plan.visits if v.resolves for c in v.collections} == {"members"}
    assert plan.visit_of("artwork.originals").wave == 2


# -- the order, for any map ------------------------------------------------------------------------------


@st.composite
def some_maps(draw: st.DrawFn) -> dict[str, tuple[set[str], bool]]:
    """Collections by path, each with its parents (or none: an identity) and whether it holds accounts."""
    count = draw(st.integers(1, 9))
    paths = [f"{draw(st.sampled_from('abcd'))}.c{n}" for n in range(count)]
    made: dict[str, tuple[set[str], bool]] = {}
    for n, path in enumerate(paths):
        parents = draw(st.sets(st.sampled_from(paths[:n]), max_size=3)) if n else set()
        made[path] = (parents, draw(st.booleans()) and draw(st.booleans()))
    order = draw(st.permutations(paths))
    return {path: made[path] for path in order}


def yaml_of(made: dict[str, tuple[set[str], bool]], extra: tuple[str, str] | None = None) -> list[str]:
    """The map; `extra` adds a reference from the first to the second."""
    stores: dict[str, list[str]] = {}
    for path, (parents, account) in made.items():
        where, name = path.split(".")
        fields = {"id": "proves: sign_in"}
        to = sorted(parents) + ([extra[1]] if extra and extra[0] == path else [])
        fields |= {f"r{n}": f"references: {parent}.id" for n, parent in enumerate(to)}
        if not parents:
            fields["email"] = IDENTITY
        stores.setdefault(where, []).append(collection(name, fields, *(["account: id"] if account else [])))
    return [store(where, *collections) for where, collections in stores.items()]


def ancestors(made: dict[str, tuple[set[str], bool]], path: str) -> set[str]:
    return {path}.union(*(ancestors(made, p) for p in made[path][0]))


def depth(made: dict[str, tuple[set[str], bool]], path: str) -> int:
    """Over how many borders between stores the longest way leads here."""
    return max((depth(made, p) + (p[0] != path[0]) for p in made[path][0]), default=0)


@given(some_maps())
@settings(max_examples=50)
def test_every_collection_waits_for_all_its_parents_and_for_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, made: dict[str, tuple[set[str], bool]]
) -> None:
    plan = compiled(tmp_path_factory.mktemp("map"), *yaml_of(made))
    order = [f"{v.store}.{name}" for v in plan.visits for name in v.collections]
    assert sorted(order) == sorted(made), "each collection in one visit, and in no other"
    assert len({v.visit for v in plan.visits}) == len(plan.visits)
    who = {a for path, (_, account) in made.items() if account for a in ancestors(made, path)}
    for path, (parents, _) in made.items():
        visit = plan.visit_of(path)
        assert visit.wave == depth(made, path), "no wave more than it takes"
        assert visit.resolves == (path in who)
        for parent in parents:
            before = plan.visit_of(parent)
            assert order.index(parent) < order.index(path)
            assert before.wave < visit.wave or (before.store, before.wave) == (visit.store, visit.wave)
            # Within a wave all visits run at once: a parent may stand in another only if that one
            # runs earlier, when it is told who the person is.
            assert before == visit or before.wave < visit.wave or (before.resolves and not visit.resolves)
    for visit in plan.visits:
        follows = plan.from_visit(f"{visit.store}.{visit.collections[0]}")
        assert follows[0] == visit
        children = {plan.visit_of(p).visit for p, (parents, _) in made.items() if parents & _paths(visit)}
        assert children <= {v.visit for v in follows}


def _paths(visit: VisitPlan) -> set[str]:
    return {f"{visit.store}.{name}" for name in visit.collections}


@given(some_maps(), st.data())
@settings(max_examples=40)
def test_a_circle_is_shown_whole_and_blamed_on_one_that_is_in_it(
    tmp_path_factory: pytest.TempPathFactory, made: dict[str, tuple[set[str], bool]], data: st.DataObject
) -> None:
    below = [(a, p) for p in made for a in ancestors(made, p) if a != p]
    if not below:
        return
    top, bottom = data.draw(st.sampled_from(sorted(below)))
    text = HEAD + "".join(yaml_of(made, (top, bottom)))
    message = error_of(tmp_path_factory.mktemp("map"), text)
    circle = re.findall(r"`([a-d]\.c\d)`", message)
    assert "go in a circle" in message
    assert circle[0] == circle[-1]
    assert len(set(circle)) == len(circle) - 1 >= 2
    for child, parent in itertools.pairwise(circle):
        assert parent in made[child][0] or (child, parent) == (top, bottom)
    where, name = circle[0].split(".")
    assert f"`stores.{where}.collections.{name}`" in message
    line = text.splitlines()[int(re.search(r":(\d+):", message)[1]) - 1]  # type: ignore[index]
    assert line.strip() == f"{name}:"


@given(some_maps(), st.data())
@settings(max_examples=40)
def test_what_nothing_leads_to_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, made: dict[str, tuple[set[str], bool]], data: st.DataObject
) -> None:
    lost = data.draw(st.sampled_from(sorted(p for p, (parents, _) in made.items() if not parents)))
    text = HEAD + "".join(yaml_of(made))
    where, name = lost.split(".")
    block = re.search(rf"(?ms)^  {where}:\n.*?(^      {name}:\n.*?)(?=^      \w|^  \w|\Z)", text)
    assert block
    broken = text.replace(block[1], block[1].replace(f", {IDENTITY}", ""))
    message = error_of(tmp_path_factory.mktemp("map"), broken)
    assert f"`stores.{where}.collections.{name}`: no way to find a person here" in message


# -- the roles that the stores' owners deploy ----------------------------------------------------------


def statements(plan: Plan, name: str) -> list[dict[str, Any]]:
    role = roles_template(plan)["Resources"][f"{name}Access"]["Properties"]
    found: list[dict[str, Any]] = role["Policies"][0]["PolicyDocument"]["Statement"]
    return found


def test_roles_reach_only_what_the_map_names() -> None:
    plan = compile_file(CRAFTZONE, VALUES | {"external_id": "secret-handshake"})
    template = roles_template(plan)
    owned = [s for s in plan.stores.values() if s.kind != "manual"]
    assert len(template["Resources"]) == len(owned)
    for resource in template["Resources"].values():
        role = resource["Properties"]
        [trust] = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": "secret-handshake"}}
        assert "*" not in json.dumps(trust["Principal"])
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]:
            assert not [a for a in statement["Action"] if "*" in a], statement
            for to in statement["Resource"]:
                assert to != "*"
                assert not to["Fn::Sub"].endswith((":*", "table/*", ":::*")), statement
    tables = json.dumps(statements(plan, "Members"))
    assert "table/craftzone-members" in tables
    assert "table/craftzone-members/index/by-email" in tables
    assert "consents" not in tables
    assert "Scan" not in json.dumps(template)
    assert "eu-west-1" in tables


def test_a_role_lets_a_whole_table_be_read_only_where_the_map_does(tmp_path: Path) -> None:
    reason = "scan: {allowed: it holds some hundred members}"
    plan = check(tmp_path, RIGHT.replace("indexes: {email: by-email}", reason))
    [scan] = [s for s in statements(plan, "Shop") if "dynamodb:Scan" in s["Action"]]
    assert [to["Fn::Sub"].partition("table/")[2] for to in scan["Resource"]] == ["members"]
    assert plan.collections["shop.members"].options["scan"] == {"allowed": "it holds some hundred members"}


def test_a_role_trusts_the_worker_of_its_kind_in_the_account_that_runs_the_product() -> None:
    plan = compile_file(CRAFTZONE, VALUES)
    resources = roles_template(plan, "999999999999", "rights")["Resources"]

    def trusted(name: str) -> list[str]:
        document = resources[f"{name}Access"]["Properties"]["AssumeRolePolicyDocument"]
        return [arn["Fn::Sub"].partition("iam::")[2] for arn in document["Statement"][0]["Principal"]["AWS"]]

    assert trusted("Events") == ["999999999999:role/rights-store-sql-role"]
    assert trusted("Artwork") == [
        "999999999999:role/rights-store-s3-role",
        "999999999999:role/rights-build-bundle-role",
    ]
    names = [r["Properties"]["RoleName"] for r in resources.values()]
    assert names == [s.role.rsplit("/", 1)[-1] for s in plan.stores.values() if s.kind != "manual"]


def test_two_stores_never_share_a_role(tmp_path: Path) -> None:
    """Names that fall together as CloudFormation's ids (no underscores there) stay two."""
    plan = compiled(
        tmp_path,
        *(store(name, collection("c", {"id": "", "email": IDENTITY})) for name in ("a1", "a_1", "ab", "a_b")),
    )
    assert len(roles_template(plan)["Resources"]) == 4
    assert replace(plan, version="") != plan
