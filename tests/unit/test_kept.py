"""When what is kept by law ends: by record, by a day for all, month by month; pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.datamap.plan import Plan, from_json, to_json
from dsr.kept import Listed, endings
from dsr.planning import by_own_keys, end_of, hindrance, plan_of
from dsr_cli import map_commands
from dsr_cli.main import main
from tests.unit.world import collection, compiled, store

AT = "on_deletion: {keep: tax, law: the law, until: {duration: P7Y, from: at}}"
DAY = "on_deletion: {keep: a trial, law: the law, until: {date: 2030-12-31}}"


def kept(name: str, how: str, *more: str, key: str = "") -> str:
    fields = {"member": "references: members.members.id", "n": "", "at": ""}
    return collection(name, fields, *more, key=key).replace("on_deletion: delete", how)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    members = {"id": "", "email": "identity: {is: email, verified: true}", "sub": "proves: sign_in"}
    made = compiled(
        tmp_path_factory.mktemp("map"),
        store("members", collection("members", members, "indexes: {email: by-email}", "account: id")),
        store("shop", kept("bills", AT, key="member, n"), kept("files", DAY),
              kind="sql", connection="secret: s"),
        store("bucket", collection(
            "papers", {"object_key": "", "member": "references: members.members.id"},
            'key_template: "p/{member}/"', "match: prefix", table=False,
        ).replace("on_deletion: delete", DAY), kind="s3", connection="bucket: b"),
        store("logs", collection(
            "visits", {"id": "", "member": "references: members.members.id"}, "prefix: v/", "format: jsonl",
            table=False,
        ).replace("on_deletion: delete", DAY), kind="lake", connection="bucket: l"),
    )  # fmt: skip
    return from_json(to_json(made))


def test_what_was_kept_is_found_by_its_own_keys_and_by_nothing_of_its_person(plan: Plan) -> None:
    own = by_own_keys(plan)
    assert {path: [w.field for w in c.ways] for path, c in own.collections.items()} == {
        "shop.bills": ["member"], "shop.files": ["member"], "bucket.papers": ["object_key"],
    }  # fmt: skip
    assert sorted(name for visit in own.visits for name in visit.collections) == ["bills", "files", "papers"]
    for c in own.collections.values():
        assert (c.kept, c.account, c.feeds) == (False, "", ())
        assert c.guards == ()
    assert "at" in own.collections["shop.bills"].locating
    assert hindrance(plan.collections["logs.visits"], plan.stores["logs"])
    assert not hindrance(plan.collections["bucket.papers"], plan.stores["bucket"])
    assert not hindrance(plan.collections["shop.bills"], plan.stores["shop"])


def test_a_day_for_all_is_told_and_waited_for(plan: Plan) -> None:
    records = [{"values": {"member": "m-1", "n": 1, "at": "2020-05-06"}}]
    planned = plan_of(plan, {"shop.files": 1, "shop.bills": 1}, lambda _: iter(records))
    assert planned["shop.files"]["until"] == "2030-12-31"
    assert planned["shop.bills"]["until"] == "2027-05-06"
    found = endings(plan, lambda path: [] if path == "bucket.papers" else records)
    assert {m: (e.until.date().isoformat(), e.keys) for m, e in found.items()} == {
        "2030-12": ("2031-01-01", {"shop.files": [["m-1"]]}),
        "2027-05": ("2027-05-07", {"shop.bills": [["m-1", 1]]}),
    }


times = st.integers(0, 14_600).map(lambda days: datetime(2000, 1, 1, 7, tzinfo=UTC) + timedelta(days=days))


@given(at=st.lists(times, max_size=30), now=times)
def test_each_record_goes_once_and_none_before_its_time(
    plan: Plan, at: list[datetime], now: datetime
) -> None:
    records = [{"values": {"member": f"m-{n}", "n": n, "at": t.isoformat()}} for n, t in enumerate(at)]
    records.append({"values": {"member": "m-x", "n": 0, "at": "no time"}})
    bills = plan.collections["shop.bills"]
    found = endings(plan, lambda path: records if path == "shop.bills" else [])
    listed = [tuple(key) for ending in found.values() for key in ending.keys["shop.bills"]]
    assert sorted(listed) == sorted((f"m-{n}", n) for n in range(len(at)))
    for ending in found.values():
        judge = Listed(ending.keys, now).judge()
        for record in records:
            values, end = record["values"], end_of(bills, record["values"])
            said = judge(bills, values)
            if [values["member"], values["n"]] in ending.keys["shop.bills"]:
                assert end
                assert timedelta() < ending.until - end <= timedelta(days=32), (
                    "in the same month, or just after"
                )
                assert said is (end <= now)
            else:
                assert said is None


def test_another_record_of_the_same_first_key_is_none_of_it(plan: Plan) -> None:
    listed = Listed({"shop.bills": [["m-1", 1]]}, datetime(2060, 1, 1, tzinfo=UTC))
    assert listed.locators(plan) == {"shop.bills.member": ["m-1"]}
    bills = plan.collections["shop.bills"]
    assert listed.judge()(bills, {"member": "m-1", "n": 2, "at": "2020-01-01"}) is None
    assert listed.judge()(bills, {"member": "m-1", "n": 1, "at": "2020-01-01"}) is True
    assert Listed({"shop.gone": [["x"]]}, listed.now).missing(plan) == ("shop.gone",)


def test_a_file_goes_as_a_whole_when_the_last_of_its_versions_may(plan: Plan) -> None:
    papers = plan.collections["bucket.papers"]
    until = {"duration": "P7Y", "from": "last_modified"}
    kept_so = replace(
        plan, collections={papers.path: replace(papers, on_deletion={"keep": "x", "until": until})}
    )
    dates = {"old": "2020-05-06", "new": "2023-01-02", "marker": None}
    records = [
        {
            "values": {
                "object_key": "p/1/a",
                "version_id": name,
                "last_modified": at,
                "holds_nothing": at is None,
            }
        }
        for name, at in dates.items()
    ]
    [(month, ending)] = endings(kept_so, lambda _: records).items()
    assert (month, ending.keys) == ("2030-01", {"bucket.papers": [["p/1/a"]]})
    judge = Listed(ending.keys, datetime(2030, 1, 3, tzinfo=UTC)).judge()
    own = by_own_keys(kept_so).collections[papers.path]
    assert [judge(own, record["values"]) for record in records] == [True, True, True]
    assert judge(own, records[0]["values"] | {"last_modified": "2025-01-01"}) is False, "written anew"
    assert judge(own, records[0]["values"] | {"object_key": "p/1/b"}) is None


def test_the_check_names_what_stays_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plan: Plan
) -> None:
    with mock.patch.object(map_commands, "plan_of", return_value=plan):
        assert main(["map", "check", str(tmp_path / "map.yaml")]) == 0
    assert "not deleted when the law that keeps it ends: logs.visits" in capsys.readouterr().out
