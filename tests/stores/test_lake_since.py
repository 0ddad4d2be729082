"""Partitions from before a person came are passed over, and no record of theirs with them."""

from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.response import StreamingBody
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr.case import Right
from dsr.datamap.plan import Plan, Way
from dsr.first_day import first_day
from dsr.records import to_line
from dsr.stores.lake import store as lake_store
from dsr.stores.lake.objects import Bucket
from tests.conftest import REGION
from tests.unit.test_gathering import NOW, Fate, Memory, Shelves, a_case, gather, held, visits_of
from tests.unit.world import ADA, collection, compiled, store

EMAIL = "identity: {is: email, normalise: lower, verified: true}"
LAYOUTS = ["dt=%Y-%m-%d", "year=%Y/month=%m", "m=%m/y=%Y", "y=%Y"]
UNREADABLE = [None, "", "soon", "2026-13-01", "9999-12-31T00:00:00Z", {"year": 2020}, [], ["2020-01-01", "x"]]


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    """By layout a map with accounts, and a lake that they lead to."""
    return {layout: _plan(tmp_path_factory.mktemp("map"), layout) for layout in LAYOUTS}


def _plan(folder: Path, layout: str) -> Plan:
    said = f'partition: {{layout: "{layout}", field: at, since: a.people.joined}}'
    fields = {"id": "", "who": "references: a.people.id", "at": ""}
    logs = collection("logs", fields, "prefix: logs/", "format: jsonl", said, table=False)
    people = collection("people", {"id": "", "email": EMAIL, "joined": ""})
    return compiled(folder, store("a", people), store("lake", logs, kind="lake", connection="bucket: lake"))


@pytest.fixture
def opened(cloud: None) -> Iterator[list[str]]:
    """The keys of the files that were read, in order."""
    keys: list[str] = []
    call = Bucket.call

    def noting(self: Bucket, collection: Any, verb: str, key: str = "", **arguments: Any) -> Any:
        if verb == "get_object":
            keys.append(key)
        return call(self, collection, verb, key, **arguments)

    with mock.patch.object(Bucket, "call", noting):
        yield keys


def s3(verb: str, **arguments: Any) -> Any:
    return getattr(boto3.client("s3", region_name=REGION), verb)(Bucket="lake", **arguments)


def files_of(layout: str, rows: list[dict[str, Any]]) -> dict[str, bytes]:
    """A lake of these rows, one file a partition."""
    files: dict[str, bytes] = {}
    for row in rows:
        key = f"logs/{row['at']:{layout}}/log"
        files[key] = files.get(key, b"") + to_line(row)
    return files


def fill(layout: str, rows: list[dict[str, Any]]) -> None:
    s3("create_bucket")
    for key, content in files_of(layout, rows).items():
        s3("put_object", Key=key, Body=content)


def found(
    plan: Plan, people: list[dict[str, Any]], told: tuple[str, ...] = (), right: Right = Right.ACCESS
) -> list[int]:
    """The numbers of the rows in the lake that a case finds."""
    case = replace(a_case(plan), right=right)
    requester = replace(ADA, locators={"a.people.id": told} if told else {})
    staging, shelves = Memory(Fate()), Shelves({"a.people": people}, iter(lambda: 9, 0), Fate())
    lake = lake_store.LakeStore(plan.stores["lake"])
    for visit in visits_of(plan):
        at = lake if visit.store == "lake" else shelves
        result = gather(plan, case, visit, staging, at, requester=requester)  # type: ignore[arg-type]
        assert result.outcome == "done", result
    return sorted(row["id"] for row in held(plan, staging)["lake.logs"])


def last_day(layout: str, at: date) -> date:
    month = at.month if "%m" in layout else 12
    return at if "%d" in layout else date(at.year, month, monthrange(at.year, month)[1])


# -- whatever the dates ----------------------------------------------------------------------------

MOMENTS = st.integers(0, 840 * 86_400).map(lambda s: datetime(2023, 11, 1, tzinfo=UTC) + timedelta(seconds=s))
AFTER = st.integers(0, 50_000) | st.integers(0, 400 * 86_400)  # in seconds
FORMS = [
    lambda t: t.isoformat(),
    lambda t: t.strftime("%Y-%m-%d %H:%M"),
    lambda t: t.strftime("%Y%m%d"),
    lambda t: (t + timedelta(hours=14)).strftime("%Y-%m-%dT%H:%M:%S"),  # of a site in Kiribati, without zone
    lambda t: int(t.timestamp()),
]


@st.composite
def communities(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Accounts of one person and of others, and what is logged of them: never from before they joined."""
    people, rows = [], list[dict[str, Any]]()
    for number in range(draw(st.integers(1, 4))):
        joined = draw(MOMENTS)
        known = draw(st.integers(0, 5))
        said = draw(st.sampled_from(FORMS))(joined) if known else draw(st.sampled_from(UNREADABLE))
        email = draw(st.sampled_from(["ada@example.com"] * 2 + ["bob@example.com"]))
        who = f"p{number}"
        people.append(
            {"id": who, "email": email, "joined": said} if said is not None else {"id": who, "email": email}
        )
        for _ in range(draw(st.integers(0, 4))):
            at = joined + timedelta(seconds=draw(AFTER)) if known else draw(MOMENTS)
            rows.append({"id": len(rows), "who": who, "at": at})
    rows += [{"id": len(rows) + n, "who": "x", "at": draw(MOMENTS)} for n in range(draw(st.integers(1, 5)))]
    return people, rows


def in_memory(files: dict[str, bytes]) -> Callable[..., dict[str, Any]]:
    """`Bucket.call` of a bucket without versions: for hundreds of lakes moto would take half a minute."""

    def call(_: Bucket, __: Any, verb: str, key: str = "", **arguments: Any) -> dict[str, Any]:
        if verb == "get_object":
            return {"Body": StreamingBody(BytesIO(files[key]), len(files[key]))}
        listed = [{"Key": k, "Size": len(c), "ETag": k, "VersionId": "1"} for k, c in sorted(files.items())]
        assert not arguments.keys() & {"StartAfter", "KeyMarker"}
        return {"Contents": listed, "Versions": listed, "IsTruncated": False}

    return call


@given(
    communities(), st.sampled_from(LAYOUTS), st.booleans(), st.sampled_from([Right.ACCESS, Right.DELETION])
)
@settings(max_examples=200, deadline=None)
def test_it_finds_what_reading_everything_finds(
    plans: dict[str, Plan],
    community: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    layout: str,
    stranger: bool,
    right: Right,
) -> None:
    people, rows = community
    told = ("x",) if stranger else ()  # the site tells an id, of which there is no account any more
    ids = {p["id"] for p in people if p["email"] == "ada@example.com"} | set(told)
    with mock.patch.object(Bucket, "call", in_memory(files_of(layout, rows))):
        assert found(plans[layout], people, told, right) == [r["id"] for r in rows if r["who"] in ids]


# -- how much is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("right", [Right.ACCESS, Right.DELETION])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_files_of_days_on_which_there_can_be_something_are_opened(
    plans: dict[str, Plan], opened: list[str], layout: str, right: Right
) -> None:
    """Of two accounts the older one rules; the day before is read as well, for time zones."""
    days = [datetime(2024, 12, 1, 12, tzinfo=UTC) + timedelta(days=28 * n) for n in range(16)]
    rows = [{"id": n, "who": "p1" if at.year > 2025 else "x", "at": at} for n, at in enumerate(days)]
    fill(layout, rows)
    ada = {"email": "ada@example.com"}
    joined = date(2025, 11, 3)  # the day after one of these
    people = [{"id": "p0", "joined": "2025-12-01", **ada}, {"id": "p1", "joined": f"{joined}", **ada}]
    assert found(plans[layout], people, right=right) == [r["id"] for r in rows if r["who"] == "p1"]
    here = [at for at in days if last_day(layout, at.date()) >= joined - timedelta(days=1)]
    assert sorted(opened) == sorted({f"logs/{at:{layout}}/log" for at in here})
    assert len(here) < len(days) or layout == "y=%Y"
    opened.clear()
    people.append({"id": "p2", "joined": "one day", **ada})
    found(plans[layout], people, right=right)
    assert len(opened) == len({f"{at:{layout}}" for at in days})


def test_where_all_is_from_before_nothing_is_opened_and_nothing_found(
    plans: dict[str, Plan], opened: list[str]
) -> None:
    fill(LAYOUTS[0], [{"id": n, "who": "x", "at": datetime(2025, 1, n, tzinfo=UTC)} for n in (1, 2, 3)])
    people = [{"id": "p0", "email": "ada@example.com", "joined": "2026-01-01"}]
    assert found(plans[LAYOUTS[0]], people) == []
    assert opened == []


def test_a_folder_with_a_date_that_there_is_not_is_read(plans: dict[str, Plan], opened: list[str]) -> None:
    fill(LAYOUTS[0], [{"id": 0, "who": "x", "at": datetime(2025, 1, 1, tzinfo=UTC)}])
    s3("put_object", Key="logs/dt=2025-02-30/log", Body=to_line({"id": 1, "who": "p0", "at": "?"}))
    people = [{"id": "p0", "email": "ada@example.com", "joined": "2026-01-01"}]
    assert found(plans[LAYOUTS[0]], people) == [1]
    assert opened == ["logs/dt=2025-02-30/log"]


@pytest.mark.parametrize(
    ("joined", "day"),
    [
        ("2026-02-01", date(2026, 1, 31)),
        (["2026-02-01", "2026-01-05T23:59:59+00:00"], date(2026, 1, 4)),
        ("2026-01-05T01:00:00+05:00", date(2026, 1, 3)),
        (1_767_225_600, date(2025, 12, 31)),
        (1_767_225_600_000, None),  # in milliseconds
        ("0001-01-01", date.min),
        ("0001-01-01T00:00:00+05:00", None),
        ((NOW + timedelta(seconds=1)).isoformat(), None),
        *((said, None) for said in UNREADABLE),
    ],
)
def test_the_day_that_a_record_says(joined: Any, day: date | None) -> None:
    way = Way("who", parent="a.people.id", since="joined")
    assert first_day(way, [{"id": "p0", "joined": joined}, {"id": "", "joined": "x"}], (), NOW) == day
    assert first_day(way, [{"id": 7, "joined": joined}], ("7", ""), NOW) == day
    assert first_day(way, [{"id": "p0", "joined": joined}], ("p1",), NOW) is None
    assert first_day(way, [], (), NOW) is None
