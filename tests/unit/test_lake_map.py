"""What the map says of a data lake: mistakes are told with their way out, and the role reaches no further."""

import json
from pathlib import Path
from typing import Any

import pytest

from dsr.datamap.compile import compile_file
from dsr.datamap.plan import Plan, from_json, to_json
from dsr.datamap.roles import roles_template
from dsr.errors import MapError
from tests.unit.world import HEAD, collection, store

IDENTITY = "identity: {is: email, normalise: lower, verified: true}"
WAY = "references: shop.members.id"
MEMBERS = store(
    "shop",
    collection(
        "members", {"id": "", "email": IDENTITY, "sub": "proves: sign_in", "joined": ""}, "account: id"
    ),
    collection("devices", {"member": WAY, "seen": ""}),
).replace("        table: members", "        table: members\n        indexes: {email: by-email}")


def lake(*more: str, connection: str = "bucket: lake", treatment: str = "delete") -> str:
    """A map with accounts, and a lake that they lead to."""
    options = more or ("prefix: logs/visits/", "format: parquet")
    visits = collection("visits", {"id": "", "member": WAY, "at": "", "a.b": ""}, *options, table=False)
    visits = visits.replace("on_deletion: delete", f"on_deletion: {treatment}")
    return HEAD + MEMBERS + store("lake", visits, kind="lake", connection=connection)


def compiled(folder: Path, text: str) -> Plan:
    path = folder / "map.yaml"
    path.write_text(text)
    return compile_file(path, {})


PREFIX, PARQUET = "prefix: logs/visits/", "format: parquet"
DATED = 'partition: {{layout: "dt=%Y-%m-%d", field: at, since: {}}}'
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no prefix": ({"more": (PARQUET,)}, "`stores.lake.collections.visits.prefix`: is missing"),
    "no format": ({"more": (PREFIX,)}, "collections.visits.format`: is missing"),
    "a format of its own": ({"more": (PREFIX, "format: orc")}, "must be 'parquet', 'jsonl' or 'csv'"),
    "a prefix that others share": (
        {"more": ("prefix: logs/vis", PARQUET)},
        "`stores.lake.collections.visits.prefix`: ends with `/`",
    ),
    "a prefix from the root": ({"more": ("prefix: /logs/", PARQUET)}, "ends with `/` and begins without"),
    "columns of Parquet": ({"more": (PREFIX, PARQUET, "columns: [id]")}, "is for `format: csv`"),
    "sparse CSV": ({"more": (PREFIX, "format: csv", "sparse: true")}, "is for `format: jsonl`"),
    "columns without the one that finds": (
        {"more": (PREFIX, "format: csv", "columns: [id, at]")},
        "lacks `member`, by which records are found",
    ),
    "a layout without a year": (
        {"more": (PREFIX, PARQUET, 'partition: {layout: "m=%m", field: at}')},
        "`stores.lake.collections.visits.partition.layout`: needs %Y",
    ),
    "a layout with hours": (
        {"more": (PREFIX, PARQUET, 'partition: {layout: "dt=%Y-%m-%d-%H", field: at}')},
        "no other sign",
    ),
    "a layout with days and no months": (
        {"more": (PREFIX, PARQUET, 'partition: {layout: "y=%Y/d=%d", field: at}')},
        "needs %Y",
    ),
    "a partition by no field": (
        {"more": (PREFIX, PARQUET, 'partition: {layout: "dt=%Y-%m-%d", field: att}')},
        "no field `att` in this collection; did you mean `at`?",
    ),
    "a time before by no field": (
        {"more": (PREFIX, PARQUET, DATED.format("shop.members.joind"))},
        "partition.since`: `shop.members.joind`: no field `joind` in collection `shop.members`; did you mean",
    ),
    "a time before of no collection": (
        {"more": (PREFIX, PARQUET, DATED.format("shop.member.joined"))},
        "no collection `member` in store `shop`; did you mean `members`?",
    ),
    "a time before of another collection than what leads here": (
        {"more": (PREFIX, PARQUET, DATED.format("shop.devices.seen"))},
        "partition.since`: `shop.devices` does not lead here: name a field of a collection that fields here",
    ),
    "a time before of its own": (
        {"more": (PREFIX, PARQUET, DATED.format("lake.visits.at"))},
        "`lake.visits` does not lead here",
    ),
    "a time before without a date in the keys": (
        {"more": (PREFIX, PARQUET, "partition: {field: at, since: shop.members.joined}")},
        "partition.layout`: is missing",
    ),
    "a nested mask": ({"treatment": "{mask: {a.b: null}}"}, "a lake masks whole fields"),
    "no bucket": ({"connection": ""}, "bucket`: is missing"),
    "an unknown word of the connection": (
        {"connection": "bucket: lake, kms_kee: 'arn:x'"},
        "did you mean `kms_key`?",
    ),
    "a key by its alias": (
        {"connection": "bucket: lake, kms_key: alias/lake"},
        "must be an ARN: it begins with arn:",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_the_way_out(tmp_path: Path, name: str) -> None:
    how, said = MISTAKES[name]
    with pytest.raises(MapError) as raised:
        compiled(tmp_path, lake(*how.pop("more", ()), **how))
    assert said in str(raised.value)


def test_words_of_a_lake_are_for_a_lake(tmp_path: Path) -> None:
    wrong = MEMBERS.replace("table: members", "table: members\n        prefix: logs/")
    with pytest.raises(MapError, match="no such key here, it is a word of lake"):
        compiled(tmp_path, HEAD + wrong)


def test_what_a_deletion_masks_does_not_say_since_when(tmp_path: Path) -> None:
    text = lake(PREFIX, PARQUET, DATED.format("shop.members.joined"))
    masked = text.replace("on_deletion: delete", "on_deletion: {mask: {joined: {constant: '2020-01-01'}}}", 1)
    with pytest.raises(MapError, match="`: is masked by a deletion"):
        compiled(tmp_path, masked)


def test_what_says_since_when_is_read_of_the_records_that_lead_here(tmp_path: Path) -> None:
    plan = compiled(tmp_path, lake(PREFIX, PARQUET, DATED.format("shop.members.joined")))
    [way] = plan.collections["lake.visits"].ways
    assert (way.parent, way.since) == ("shop.members.id", "joined")
    members = plan.collections["shop.members"]
    assert "joined" in members.locating
    assert "joined" not in members.feeds  # by those the deleted are recognised
    assert from_json(to_json(plan)) == plan


@pytest.mark.parametrize("layout", ["dt=%Y-%m-%d", "year=%Y/month=%m/day=%d", "%Y/%m", "y=%Y"])
def test_layouts_of_days_months_and_years(tmp_path: Path, layout: str) -> None:
    plan = compiled(tmp_path, lake(PREFIX, PARQUET, f'partition: {{layout: "{layout}", field: at}}'))
    options = plan.collections["lake.visits"].options
    assert options == {
        "prefix": "logs/visits/",
        "format": "parquet",
        "partition": {"layout": layout, "field": "at"},
    }


def test_the_role_reaches_the_prefix_and_nothing_beside_it(tmp_path: Path) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1"
    plan = compiled(tmp_path, lake(connection=f"bucket: lake, kms_key: '{key}'"))
    role = roles_template(plan)["Resources"]["LakeAccess"]["Properties"]
    trusted = role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]
    assert [arn["Fn::Sub"].rpartition("/")[2] for arn in trusted] == ["dsr-store-lake-role"]
    listing, *objects, kms = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["logs/visits/*"]}}
    for statement in objects:
        [resource] = statement["Resource"]
        assert resource["Fn::Sub"].endswith(":::lake/logs/visits/*")
    assert kms["Resource"] == [key]
    assert "kms:ViaService" in json.dumps(kms["Condition"])
    without = roles_template(compiled(tmp_path, lake()))["Resources"]["LakeAccess"]
    assert "kms:" not in json.dumps(without)
