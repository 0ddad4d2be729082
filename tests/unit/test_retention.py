"""Retention: durations by the calendar, what a sweep plans, and that any walk takes the expired alone."""

import calendar
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr import retention, sweeping
from dsr.case import Case, Proof, Right, State
from dsr.datamap.plan import Collection, Field, Plan, Way
from dsr.durations import subtract
from dsr.errors import NotFound, Refused, StoreFault
from dsr.retention import DRY_RUN, ON, Known, Sweep, as_of, cutoff, learn, moment, plan_collection
from dsr.stores.base import Expired, Record
from dsr.sweepbook import Sweepbook
from dsr.treatments import Masks
from tests.unit import world
from tests.unit.world import CASES, World

NOW = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)

# -- durations -------------------------------------------------------------------------------------

moments = st.integers(-(2**31), 2**33).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)  # 1901 to 2242
durations = st.builds(
    lambda y, m, w, d, h: "".join(
        ["P", *(f"{n}{u}" for n, u in ((y, "Y"), (m, "M"), (w, "W"), (d, "D")) if n), f"T{h}H" if h else ""]
    ),
    *(st.integers(0, most) for most in (9, 30, 9, 400, 50)),
).filter(lambda text: text != "P")


def later(start: datetime, duration: str) -> datetime:
    """The moment a duration after `start`, months first, a missing day taken for the month's last."""
    date_part, _, time_part = duration[1:].partition("T")
    found = {unit: int(n) for n, unit in re.findall(r"(\d+)([YMWD])", date_part)}
    month = start.month - 1 + found.get("M", 0) + 12 * found.get("Y", 0)
    year, month = start.year + month // 12, month % 12 + 1
    start = start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))
    hours = sum(int(n) for n in re.findall(r"(\d+)H", time_part))
    return start + timedelta(days=found.get("D", 0) + 7 * found.get("W", 0), hours=hours)


@pytest.mark.parametrize(
    ("now", "duration", "expected"),
    [
        ("2026-11-22T02:30", "P180D", "2026-05-26T02:30"),
        ("2026-11-22T02:30", "P6M", "2026-05-22T02:30"),
        ("2026-08-31T12:00", "P6M", "2026-02-28T12:00"),  # February has no 31st
        ("2028-08-31T12:00", "P6M", "2028-02-29T12:00"),
        ("2029-02-28T00:00", "P1Y", "2028-02-28T00:00"),
        ("2028-02-29T00:00", "P1Y", "2027-02-28T00:00"),
        ("2028-02-29T00:00", "P4Y", "2024-02-29T00:00"),
        ("2026-01-15T00:00", "P1Y1M", "2024-12-15T00:00"),
        ("2026-03-01T00:00", "P1M1D", "2026-01-28T00:00"),
        ("2026-03-29T12:00", "PT36H", "2026-03-28T00:00"),
        ("2026-03-29T12:00", "P2WT30M", "2026-03-15T11:30"),
    ],
)
def test_durations_follow_the_calendar(now: str, duration: str, expected: str) -> None:
    assert subtract(datetime.fromisoformat(now), duration) == datetime.fromisoformat(expected)


@given(now=moments, duration=durations, back=st.timedeltas(timedelta(0), timedelta(days=900)))
def test_nothing_expires_before_its_time(now: datetime, duration: str, back: timedelta) -> None:
    held_since = cutoff(now, duration) - timedelta(microseconds=1) - back
    assert later(held_since, duration) <= now


@given(now=moments, duration=durations)
def test_what_is_past_its_time_goes_within_days(now: datetime, duration: str) -> None:
    """A month's missing days and the rounding to a day keep nothing longer than that."""
    edge = cutoff(now, duration)
    assert edge > subtract(now, duration) - timedelta(days=1)
    assert later(edge, duration) > now - timedelta(
        days=36
    )  # two clamps of at most 3 days, and a shorter month


@given(now=moments, step=st.timedeltas(timedelta(0), timedelta(days=400)), duration=durations)
def test_the_cutoff_never_goes_back(now: datetime, step: timedelta, duration: str) -> None:
    assert cutoff(now, duration) <= cutoff(now + step, duration)


@given(now=moments, duration=durations)
def test_a_cutoff_is_a_midnight_in_utc(now: datetime, duration: str) -> None:
    elsewhere = now.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    assert cutoff(elsewhere, duration) == cutoff(now, duration)
    assert (cutoff(now, duration).timetz(), cutoff(now, duration).tzinfo) == (
        datetime.min.replace(tzinfo=UTC).timetz(),
        UTC,
    )


@pytest.mark.parametrize("duration", ["P3000Y", "P99999999999D", "P99999999999999999M", "PT99999999999999H"])
def test_a_duration_longer_than_the_calendar_expires_nothing(duration: str) -> None:
    assert cutoff(NOW, duration) == datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "duration", ["", "P", "PT", "6M", "P6", "P-6M", "P1.5Y", "P6M T1H", "P1S", "PT1D", "P1DT", "p1d"]
)
def test_no_duration_is_refused(duration: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        subtract(NOW, duration)


@given(st.from_regex(r"P((\d{1,3}[YMWD])+(T(\d{1,3}[HM])+)?|T(\d{1,3}[HM])+)", fullmatch=True))
def test_every_duration_that_a_map_may_hold_is_understood(duration: str) -> None:
    assert subtract(NOW, duration) <= NOW


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-05-25T23:59:59Z", "2026-05-25T23:59:59+00:00"),
        ("2026-05-26T08:00:00+09:00", "2026-05-25T23:00:00+00:00"),
        ("2026-05-25 23:59:59.123456", "2026-05-25T23:59:59.123456+00:00"),
        ("2026-05-25", "2026-05-25T00:00:00+00:00"),
        (date(2026, 5, 25), "2026-05-25T00:00:00+00:00"),
        (datetime(2026, 5, 25, 3), "2026-05-25T03:00:00+00:00"),  # noqa: DTZ001
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "0001-01-01T00:00:00+00:00"),
        ("soon", None),
        ("", None),
        (None, None),
        (1_779_000_000, None),
        (True, None),
        ({"at": "2026-05-25"}, None),
    ],
)
def test_the_moment_that_a_field_holds(value: Any, expected: str | None) -> None:
    assert moment(value) == (expected and datetime.fromisoformat(expected))


# -- who waits for a copy holds the cutoff back ---------------------------------------------------------


def case(state: State, received: datetime, proven: bool = True, **fields: Any) -> Case:
    made = Case(
        case_id="K7Q2-9FXM-3TWD-5BHP", right=Right.ACCESS, state=state, version=1, received_at=received,
        due_at=received + timedelta(days=30), updated_at=received, regimes=("gdpr",), map_version="1",
        recipient="", sealed=b"", contacts=(Proof.CONFIRMED if proven else Proof.PENDING,),
    )  # fmt: skip
    return replace(made, **fields)


ASKED = NOW - timedelta(days=3)


@pytest.mark.parametrize(
    ("waiting", "held"),
    [
        (case(State.GATHERING, ASKED), True),
        (case(State.RESOLVING, ASKED), True),
        (case(State.VERIFIED, ASKED), True),
        (case(State.AWAITING_APPROVAL, ASKED), True),
        (case(State.AWAITING_IDENTITY, ASKED), True),  # asked to sign in as well
        (case(State.NEEDS_ATTENTION, ASKED, resume=State.GATHERING), True),
        (case(State.GATHERING, ASKED, proven=False, approved=True), True),
        (case(State.AWAITING_IDENTITY, ASKED, proven=False), False),
        (case(State.RECEIVED, ASKED, proven=False), False),
        (case(State.BUNDLING, ASKED), False),  # gathered
        (case(State.NEEDS_ATTENTION, ASKED, resume=State.BUNDLING), False),
        (case(State.DELIVERED, ASKED), False),
        (case(State.CLOSED, ASKED), False),
        (case(State.REFUSED, ASKED), False),
        (case(State.GATHERING, ASKED, right=Right.DELETION), False),  # gone either way
    ],
)
def test_what_was_held_when_somebody_asked_is_held_until_it_is_gathered(waiting: Case, held: bool) -> None:
    assert as_of(NOW, [waiting]) == (ASKED if held else NOW)


def test_the_oldest_request_counts_and_none_for_more_than_a_month() -> None:
    assert as_of(NOW, []) == NOW
    several = [case(State.GATHERING, NOW - timedelta(days=n)) for n in (2, 9, 5)]
    assert as_of(NOW, several) == NOW - timedelta(days=9)
    assert as_of(NOW, [case(State.GATHERING, NOW - timedelta(days=200))]) == datetime(
        2026, 10, 22, 2, 30, tzinfo=UTC
    )


# -- what is planned -----------------------------------------------------------------------------------


def collection(kind: str = "sql", duration: str = "P180D") -> Collection:
    options: dict[str, Any] = {"table": "visits"}
    if kind == "dynamodb":
        options["expiry"] = {"index": "by-day", "bucket": "day", "since": "2026-01-01"}
    fields = {name: Field("user.behavior", "p") for name in ("id", "owner", "at")}
    rule = {"duration": duration, "from": "at"}
    ways = (Way("owner", parent="a.b.c"),)
    return Collection("shop", "visits", "Visits", ("id",), ways, fields, retention=rule, options=options)


def planned(kind: str = "sql", mode: str = ON, known: Known | None = None, **fields: Any) -> Sweep:
    made = plan_collection("2026-11-22", collection(kind), kind, NOW, mode, 100, known or Known())
    return replace(made, **fields)


def erasing(by_day: bool = False, limit: int = 1000) -> Sweep:
    """A sweep whose rule has been counted before."""
    return replace(planned("dynamodb" if by_day else "sql"), mode=ON, limit=limit)


def test_the_first_sweep_under_a_rule_only_counts() -> None:
    rule = retention.rule_of(collection())
    assert planned().mode == DRY_RUN
    assert planned(known=Known(rule, "2026-05-25")).mode == ON
    assert planned(known=Known("another", "2026-05-25")).mode == DRY_RUN
    assert planned(mode=DRY_RUN, known=Known(rule, "2026-05-25")).mode == DRY_RUN


def test_any_change_of_the_rule_is_a_new_rule() -> None:
    rules = {
        retention.rule_of(collection()),
        retention.rule_of(collection(duration="P181D")),
        retention.rule_of(replace(collection(), retention={"duration": "P180D", "from": "id"})),
        retention.rule_of(replace(collection(), options={"table": "other"})),
        retention.rule_of(collection("dynamodb")),
        retention.rule_of(replace(collection(), retention={"until": "account_deleted"})),
    }
    assert len(rules) == 6
    assert "" in rules


def test_what_cannot_be_swept_says_so() -> None:
    unindexed = plan_collection("s", collection(), "dynamodb", NOW, ON, 100, Known())
    assert (unindexed.outcome, unindexed.reason) == ("needs_attention", "missing_index")
    file = plan_collection("s", collection(), "s3", NOW, ON, 100, Known())
    assert (file.outcome, file.reason) == ("needs_attention", "unsupported")


def test_the_walk_by_days_goes_on_where_it_was_and_now_and_then_at_the_beginning() -> None:
    rule = retention.rule_of(collection("dynamodb"))
    first = planned("dynamodb")
    assert (first.mode, first.since) == (DRY_RUN, "")
    known = learn(Known(), replace(first, outcome="done"))
    assert known == Known(rule, counted_on="2026-05-26")
    second = planned("dynamodb", known=known)
    assert (second.mode, second.since) == (ON, "")
    known = learn(known, replace(second, outcome="done"))
    assert known == Known(rule, "2026-05-26", "2026-05-26", "2026-05-26")
    third = planned("dynamodb", known=known)
    assert (third.mode, third.since) == (ON, "2026-05-23")
    assert learn(known, replace(third, more=True)) == known
    much_later = plan_collection(
        "s", collection("dynamodb"), "dynamodb", NOW + timedelta(days=30), ON, 9, known
    )
    assert much_later.since == ""


# -- the walk --------------------------------------------------------------------------------------


class Killed(BaseException):
    """The worker was stopped from outside."""


class Shelf:
    """A store in memory: records by name with their time; killed at any call; keeps what is referred to."""

    erase_at_once = 3

    def __init__(
        self, records: dict[str, datetime | str], by_day: bool, referred: Sequence[str] = ()
    ) -> None:
        self.records, self.by_day, self.referred = dict(records), by_day, set(referred)
        self.calls, self.kill_at, self.erasures = 0, -1, 0

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed

    def expired(
        self, collection: Collection, before: datetime, after: Any, limit: int, since: str = ""
    ) -> Expired:
        self._call()
        where = after or [since if self.by_day else "", ""]
        held = sorted(
            (str(moment(at))[:10] if moment(at) else str(at)[:10], n) for n, at in self.records.items()
        )
        end = before.date().isoformat()
        left = [[day, n] for day, n in held if [day, n] > where and day < end]
        page = left[:limit]
        records = [Record({"id": n, "at": self.records[n]}) for _, n in page if moment(self.records[n])]
        day = (page[-1][0] if page else end) if self.by_day else ""
        return Expired(records, page[-1] if len(left) > limit else None, len(page) - len(records), day)

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: Masks) -> None:
        assert collection.guards == ("at",)
        assert not masks
        self.erasures += 1
        self._call()
        if self.referred & {r["id"] for r in records}:
            raise StoreFault("still_referenced", "shop: table visits")
        for number, record in enumerate(records):
            if number == len(records) // 2:
                self._call()  # killed in the middle of a batch as well
            if self.records.get(record["id"]) == record["at"]:
                del self.records[record["id"]]


def sweep_through(shelf: Shelf, plan: Sweep, kills: Sequence[int] = (), seconds: float = 1e9) -> Sweep:
    """Call the worker until it is through, as the workflow does; killed after each of `kills` calls."""
    kind = "dynamodb" if shelf.by_day else "sql"
    kept, ticks = [plan], iter(range(10**9))
    todo = list(kills)
    for _ in range(1000):
        shelf.kill_at = shelf.calls + todo.pop() if todo else -1
        try:
            clock = ticks.__next__
            done = sweeping.run(
                kept[-1], collection(kind), shelf, lambda: False, kept.append, clock() + seconds, clock
            )  # type: ignore[arg-type]
        except Killed:
            continue
        kept.append(done)
        if done.outcome != "continue":
            return done
    raise AssertionError("never through")


shelves = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.builds(lambda n: datetime(2026, 5, 26, tzinfo=UTC) + timedelta(hours=7 * n), st.integers(-60, 60)),
    max_size=25,
)


def is_expired(at: Any) -> bool:
    return at < cutoff(NOW, "P180D")


@given(
    records=shelves,
    by_day=st.booleans(),
    kills=st.lists(st.integers(1, 9), max_size=6),
    seconds=st.integers(1, 9),
)
def test_killed_anywhere_and_cut_anywhere_the_end_is_the_same(
    records: dict[str, Any], by_day: bool, kills: list[int], seconds: int
) -> None:
    shelf = Shelf(records, by_day)
    plan = erasing(by_day)
    done = sweep_through(shelf, plan, kills, seconds)
    assert shelf.records == {n: at for n, at in records.items() if not is_expired(at)}
    assert (done.outcome, done.more) == ("done", False)
    if not kills:
        assert done.records == len(records) - len(shelf.records)
    again = sweep_through(shelf, plan)
    assert (again.records, again.outcome) == (0, "done")


@given(records=shelves, by_day=st.booleans(), seconds=st.integers(1, 9))
def test_a_dry_run_changes_nothing_and_says_the_truth(
    records: dict[str, Any], by_day: bool, seconds: int
) -> None:
    shelf = Shelf(records, by_day)
    done = sweep_through(shelf, planned("dynamodb" if by_day else "sql", limit=1000), seconds=seconds)
    assert shelf.records == records
    assert shelf.erasures == 0
    expired = sum(map(is_expired, records.values()))
    assert done.records <= expired
    assert done.more or done.records == expired
    assert done.outcome == "done"


@given(records=shelves, by_day=st.booleans(), limit=st.integers(1, 8))
def test_a_run_takes_no_more_than_its_limit_and_the_next_goes_on(
    records: dict[str, Any], by_day: bool, limit: int
) -> None:
    shelf = Shelf(records, by_day)
    expired = sum(map(is_expired, records.values()))
    runs = 0
    while True:
        before = len(shelf.records)
        done = sweep_through(shelf, erasing(by_day, limit))
        assert before - len(shelf.records) == done.records <= limit
        runs += 1
        if not done.more:
            break
    assert runs <= expired // limit + 1
    assert shelf.records == {n: at for n, at in records.items() if not is_expired(at)}


@given(records=shelves, data=st.data())
def test_what_others_need_stays_and_the_rest_goes(records: dict[str, Any], data: st.DataObject) -> None:
    referred = data.draw(st.sets(st.sampled_from(sorted(records)))) if records else set()
    shelf = Shelf(records, False, sorted(referred))
    done = sweep_through(shelf, erasing())
    assert shelf.records == {n: at for n, at in records.items() if not is_expired(at) or n in referred}
    assert done.left == len([n for n in referred if is_expired(records[n])])


def test_too_many_that_others_need_are_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_MOST_LEFT", 4)
    records: dict[str, datetime | str] = {f"r{n:02d}": NOW - timedelta(days=300) for n in range(20)}
    done = sweep_through(Shelf(records, False, sorted(records)), erasing())
    assert (done.outcome, done.reason, done.about) == ("needs_attention", "still_referenced", "shop.visits")


def test_a_worker_that_gets_no_further_does_not_go_on_for_ever() -> None:
    records: dict[str, datetime | str] = {f"r{n:02d}": NOW - timedelta(days=300) for n in range(9)}
    done = sweep_through(Shelf(records, False, sorted(records)), erasing(), seconds=1)
    assert (done.outcome, done.reason) == ("needs_attention", "still_referenced")


def test_times_that_cannot_be_read_are_counted_and_their_records_stay() -> None:
    shelf = Shelf({"broken": "2026-02-30", "old": NOW - timedelta(days=300)}, True)
    done = sweep_through(shelf, erasing(True))
    assert (done.records, done.undated, set(shelf.records)) == (1, 1, {"broken"})


def test_a_fault_of_the_store_is_for_a_person() -> None:
    class Broken(Shelf):
        def expired(self, *_: Any, **__: Any) -> Expired:
            raise StoreFault("missing_index", "shop: table visits: index on at")

    done = sweep_through(Broken({}, False), erasing())
    assert (done.outcome, done.reason) == ("needs_attention", "missing_index")


# -- the day's sweep, planned and kept -------------------------------------------------------------------


def shop(folder: Path) -> Plan:
    """A map with a swept DynamoDB collection, one without index, two of SQL, and one that never expires."""
    visits = world.collection("visits", {"id": "", "at": "", "day": "", "who": "references: shop.users.id"})
    visits = visits.replace("{until: account_deleted}", "{duration: P90D, from: at}")
    unindexed = visits.replace("visits", "sights")
    visits = visits.replace(
        "        fields:", "        expiry: {index: i, bucket: day, since: 2026-01-01}\n        fields:"
    )
    users = world.collection("users", {"id": "", "email": "identity: {is: email, verified: true}"})
    orders = world.collection("orders", {"id": "", "at": "", "who": "references: shop.users.id"})
    items = world.collection("items", {"id": "", "at": "", "order": "references: sales.orders.id"})
    sold = [c.replace("{until: account_deleted}", "{duration: P90D, from: at}") for c in (orders, items)]
    return world.compiled(
        folder,
        world.store(
            "shop", users.replace("fields:", "indexes: {email: by-email}\n        fields:"), visits, unindexed
        ),
        world.store("sales", *sold, kind="sql", connection="secret: s"),
        head=world.HEAD.replace("account_holder: account", "account_holder: mailbox"),
    )


@pytest.fixture
def here(cloud: None, tmp_path: Path) -> Iterator[World]:
    plan = shop(tmp_path)
    with world.opened(plan) as opened, mock.patch("dsr.sweeping.load", return_value=plan):
        yield opened


@contextmanager
def at(now: datetime, mode: str = ON, limit: int = 100) -> Iterator[None]:
    """That moment, under these parameters."""
    variables = {"SWEEP_MODE": mode, "SWEEP_LIMIT": str(limit)}
    with mock.patch("dsr.casebook.now", return_value=now), mock.patch.dict("os.environ", variables):
        yield


def execution(name: str) -> str:
    """A running execution of that name."""
    states = world.workflow()
    machine = states.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    return str(states.start_execution(stateMachineArn=machine, name=name)["executionArn"])


def plan_sweep(arn: str, **asked: str) -> dict[str, Any]:
    return sweeping.plan_sweep({"execution": arn, "input": asked})


def works(answer: dict[str, Any]) -> list[list[str]]:
    return [[work["collection"] for work in store["collections"]] for store in answer["stores"]]


def test_a_sweep_is_planned_with_what_refers_to_others_first(here: World) -> None:
    with at(NOW):
        answer = plan_sweep(execution("one"))
    assert answer["ours"]
    assert works(answer) == [["sales.items", "sales.orders"], ["shop.visits"]]
    book = Sweepbook(CASES)
    assert {s.collection: (s.mode, s.outcome) for s in book.collections("2026-11-22")} == {
        "sales.items": (DRY_RUN, "pending"),
        "sales.orders": (DRY_RUN, "pending"),
        "shop.visits": (DRY_RUN, "pending"),
        "shop.sights": (DRY_RUN, "needs_attention"),
    }
    header = book.header("2026-11-22")
    assert header is not None
    assert (header.as_of, header.mode, header.concluded_at) == (NOW, ON, "")


def test_a_second_delivery_of_the_schedule_finds_nothing_to_do(here: World) -> None:
    with at(NOW):
        first, second = execution("one"), execution("two")
        assert plan_sweep(first)["ours"]
        assert plan_sweep(second) == {"sweep": "2026-11-22", "ours": False, "stores": []}
        assert plan_sweep(first)["ours"]  # the step tried again


def test_another_execution_goes_on_where_one_was_lost(here: World) -> None:
    with at(NOW):
        first, second = execution("one"), execution("two")
        plan_sweep(first)
        book = Sweepbook(CASES)
        sweep = book.get("2026-11-22", "sales.items")
        assert sweep is not None
        book.note(replace(sweep, outcome="done"))
        world.workflow().stop_execution(executionArn=first)
    with at(NOW + timedelta(hours=5), DRY_RUN, limit=7):
        answer = plan_sweep(second)
    assert works(answer) == [["sales.orders"], ["shop.visits"]]
    planned_then = book.get("2026-11-22", "sales.orders")
    assert planned_then is not None
    assert (planned_then.limit, planned_then.cutoff) == (100, datetime(2026, 8, 24, tzinfo=UTC))


def test_a_plan_that_was_cut_short_is_completed_as_of_the_same_time(here: World) -> None:
    with (
        at(NOW),
        mock.patch("dsr.sweepbook.Sweepbook.add", side_effect=[True, Killed]),
        pytest.raises(Killed),
    ):
        plan_sweep(first := execution("one"))
    with at(NOW + timedelta(hours=23)):  # past midnight: it is the day before's still
        answer = sweeping.plan_sweep({"execution": first, "input": {"sweep": "2026-11-22"}})
    assert len(works(answer)) == 2
    assert {s.cutoff for s in Sweepbook(CASES).collections("2026-11-22")} == {
        datetime(2026, 8, 24, tzinfo=UTC)
    }


def test_a_concluded_sweep_is_not_begun_again(here: World) -> None:
    with at(NOW):
        plan_sweep(first := execution("one"))
        book = Sweepbook(CASES)
        header = book.header("2026-11-22")
        assert header is not None
        book.take_over(replace(header, concluded_at="2026-11-22T03:00:00Z"), header)
        assert not plan_sweep(first)["ours"]
        assert not plan_sweep(execution("two"))["ours"]


def test_the_first_day_counts_the_second_erases(here: World) -> None:
    book = Sweepbook(CASES)
    shelf = Shelf({"old": NOW - timedelta(days=100), "new": NOW - timedelta(days=10)}, False)
    with mock.patch("dsr.sweeping.open_store", return_value=shelf):
        for day, held in ((0, {"old", "new"}), (1, {"new"})):
            with at(NOW + timedelta(days=day)):
                name = plan_sweep(execution(f"day-{day}"))["sweep"]
            event = {"sweep": name, "collection": "sales.items"}
            assert sweeping.sweep(event, CASES, 1e12) == {"outcome": "done"}
            assert sweeping.sweep(event, CASES, 1e12) == {"outcome": "done"}
            assert set(shelf.records) == held
            done = book.get(name, "sales.items")
            assert done is not None
            assert (done.records, done.mode, done.calls) == (1, DRY_RUN if day == 0 else ON, 1)


def test_a_dry_run_by_hand_stands_beside_the_days_own(here: World) -> None:
    with at(NOW):
        plan_sweep(execution("one"))
        answer = plan_sweep(execution("two"), sweep="2026-11-22-dry-run-101500", mode=DRY_RUN)
    assert answer["ours"]
    assert {s.mode for s in Sweepbook(CASES).collections(answer["sweep"])} == {DRY_RUN}
    assert [h.sweep for h in Sweepbook(CASES).latest(5)] == [answer["sweep"], "2026-11-22"]
    assert len(Sweepbook(CASES).collections("2026-11-22")) == 4


@pytest.mark.parametrize("asked", [{"sweep": "x#y"}, {"sweep": "a" * 61}, {"sweep": "2026/11"}])
def test_a_name_that_could_be_another_part_is_refused(here: World, asked: dict[str, str]) -> None:
    with at(NOW), pytest.raises(Refused):
        plan_sweep(execution("one"), **asked)


def test_who_waits_for_a_copy_holds_the_sweep_back(here: World) -> None:
    here.case(State.GATHERING, received_at=NOW - timedelta(days=2))
    with at(NOW):
        plan_sweep(execution("one"))
    header = Sweepbook(CASES).header("2026-11-22")
    assert header is not None
    assert header.as_of == NOW - timedelta(days=2)
    sweep = Sweepbook(CASES).get("2026-11-22", "sales.items")
    assert sweep is not None
    assert sweep.cutoff == datetime(2026, 8, 22, tzinfo=UTC)


def test_under_a_map_that_changed_meanwhile_nothing_is_erased(here: World) -> None:
    book = Sweepbook(CASES)
    with at(NOW):
        plan_sweep(execution("one"))
    book.note(replace(book.get("2026-11-22", "sales.items"), mode=ON))  # type: ignore[type-var]
    changed = replace(here.plan.collections["sales.items"], retention={"duration": "P10Y", "from": "at"})
    plan = replace(here.plan, collections=here.plan.collections | {"sales.items": changed})
    shelf = Shelf({"old": NOW - timedelta(days=100)}, False)
    event = {"sweep": "2026-11-22", "collection": "sales.items"}
    with (
        mock.patch("dsr.sweeping.load", return_value=plan),
        mock.patch("dsr.sweeping.open_store", return_value=shelf),
    ):
        assert sweeping.sweep(event, CASES, 1e12) == {"outcome": "done"}
    assert shelf.calls == 0
    done = book.get("2026-11-22", "sales.items")
    assert done is not None
    assert done.reason == "rule_changed"
    assert book.known("sales.items") == Known()


def test_only_what_was_planned_is_swept(here: World) -> None:
    with at(NOW):
        plan_sweep(execution("one"))
    for event in (
        {"sweep": "2026-11-22", "collection": "shop.users"},
        {"sweep": "2026-11-21", "collection": "sales.items"},
    ):
        with pytest.raises(NotFound):
            sweeping.sweep(event, CASES, 1e12)


def test_what_is_kept_of_a_sweep_holds_no_value_of_a_record(here: World) -> None:
    shelf = Shelf({"ada@example.com": NOW - timedelta(days=100), "bob": NOW - timedelta(days=101)}, False)
    with mock.patch("dsr.sweeping.open_store", return_value=shelf), at(NOW):
        plan_sweep(execution("one"))
        sweeping.sweep({"sweep": "2026-11-22", "collection": "sales.items"}, CASES, 1e12)
    book = Sweepbook(CASES)
    kept = repr([*book.collections("2026-11-22"), book.known("sales.items")])
    assert "ada@example.com" not in kept
    assert "bob" not in kept
