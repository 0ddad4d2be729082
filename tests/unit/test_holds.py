"""Holds: what they are on, who may place them, what they stop, and that nothing forgets them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from unittest import mock

import pytest

from dsr import taking_up
from dsr.case import Case, Right, State
from dsr.casebook import now
from dsr.errors import Conflict, NotFound
from dsr.holdbook import Holdbook
from dsr.holds import REASONS, Hold, Scope, fault, new_hold_id, scopes_of, targets_of, that_stop
from dsr.web.desk.pages import DeskPages
from dsr.web.desk.roles import May, Role
from tests.unit.bureau import ADA, Bureau, bureau_open
from tests.unit.world import CASES, RECEIVED

TODAY = date(2026, 3, 2)
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PAGES = DeskPages.gates(mock.MagicMock())
GATES = {g.pattern: g.may for g in PAGES if g.method == "POST" and "hold" in g.pattern}

DAY = (datetime.now(UTC) + timedelta(days=40)).date().isoformat()
ASKED = {"reason": "legal_claim", "ends": "until", "day": DAY, "file": "AZ 12/2026", "told": "yes"}


@pytest.fixture(scope="module")
def bureau(shared_cloud: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    with bureau_open(tmp_path_factory.mktemp("map")) as opened:
        yield opened


@pytest.fixture
def book(bureau: Bureau) -> Holdbook:
    return Holdbook(CASES)


def hold(scope: Scope = Scope.COLLECTION, target: str = "a.b", **more: object) -> Hold:
    made = Hold(new_hold_id(), scope, target, "legal_claim", True, "sub-1", AT, review=date(2026, 6, 1))
    return replace(made, **more)  # type: ignore[arg-type]


def a_case(**more: object) -> Case:
    made = Case(
        "K7Q2-9FXM-3TWD-5BHP", Right.DELETION, State.ERASING, 1, RECEIVED, RECEIVED, RECEIVED, (), "", "", b""
    )
    return replace(made, **more)  # type: ignore[arg-type]


# -- what a hold is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (("nonsense", "until", date(2026, 3, 3), ""), "reason"),
        (("legal_claim", "", date(2026, 3, 3), ""), "ends"),
        (("legal_claim", "until", None, ""), "day"),
        (("legal_claim", "review", TODAY, ""), "day"),
        (("legal_claim", "until", date(2026, 3, 3), "Ada <ada@example.com>"), "file"),
        (("legal_claim", "until", date(2026, 3, 3), "AZ 12/2026"), ""),
        (("legal_claim", "review", date(2026, 3, 3), ""), ""),
    ],
)
def test_a_form_with_a_fault_names_the_field(form: tuple[str, str, date | None, str], field: str) -> None:
    reason, ends, day, file = form
    assert fault(reason, ends, day, TODAY, file)[0] == field


def test_every_reason_names_the_law_that_allows_it() -> None:
    assert all("Art. 17" in reason.law for reason in REASONS.values())


def test_a_hold_ends_after_its_last_day_and_is_reviewed_from_its_day_on() -> None:
    until = hold(review=None, until=TODAY)
    assert [until.ends(TODAY + timedelta(days=n)) for n in (-1, 0, 1)] == [False, False, True]
    assert not replace(until, lifted_at=AT).ends(TODAY + timedelta(days=9))
    assert [hold(review=TODAY).to_review(TODAY + timedelta(days=n)) for n in (-1, 0, 1)] == [
        False,
        True,
        True,
    ]


def test_what_stops_a_case() -> None:
    case = a_case(subject="who")
    mine = [hold(Scope.CASE, case.case_id), hold(Scope.PERSON, "who"), hold(Scope.COLLECTION, "a.b")]
    others = [
        hold(Scope.CASE, "0000-0000-0000-0000"), hold(Scope.PERSON, ""), hold(Scope.PERSON, "other"),
        hold(Scope.COLLECTION, "a.c"), hold(Scope.CASE, case.case_id, lifted_at=AT),
        hold(Scope.PERSON, case.case_id), hold(Scope.COLLECTION, "who"),
    ]  # fmt: skip
    found = that_stop([*mine, *others], case, ["a.b"])
    assert {h.hold_id for h in found} == {h.hold_id for h in mine}
    # Nobody is told apart by an empty text: a hold on one unknown person would stop all of them.
    assert (Scope.PERSON, "") not in targets_of(replace(case, subject=""))


@pytest.mark.parametrize(
    ("right", "state", "subject", "scopes"),
    [
        (Right.DELETION, State.ERASING, "who", (Scope.CASE, Scope.PERSON)),
        (Right.DELETION, State.RECEIVED, "", (Scope.CASE,)),
        (Right.DELETION, State.ERASED, "who", (Scope.PERSON,)),
        (Right.ACCESS, State.GATHERING, "who", (Scope.PERSON,)),
        (Right.ACCESS, State.GATHERING, "", ()),
    ],
)
def test_what_can_be_held_from_a_page(
    right: Right, state: State, subject: str, scopes: tuple[Scope, ...]
) -> None:
    assert scopes_of(a_case(right=right, state=state, subject=subject)) == scopes


# -- where they are kept -----------------------------------------------------------------------------


def test_a_hold_stops_from_its_placing_to_its_lifting_and_is_kept(book: Holdbook) -> None:
    placed = hold(target="shop.orders", file="AZ 1", case_id="")
    target = [(Scope.COLLECTION, "shop.orders")]
    assert book.stops(target) == ""
    book.place(placed)
    assert book.get(placed.hold_id) == placed
    assert book.stops([(Scope.CASE, "x"), *target]) == placed.hold_id
    second = hold(target="shop.orders")
    book.place(second)
    book.lift(placed.hold_id, "sub-2", AT)
    assert book.stops(target) == second.hold_id, "another hold on the same target still stops"
    book.lift(second.hold_id, "clock", AT)
    assert book.stops(target) == ""
    kept = {h.hold_id: h for h in book.all()}
    assert kept[placed.hold_id] == replace(placed, lifted_by="sub-2", lifted_at=AT)
    assert book.stops([(Scope.PERSON, "shop.orders"), (Scope.CASE, "shop.orders")]) == ""


def test_what_is_lifted_twice_or_was_never_there(book: Holdbook) -> None:
    placed = hold(target="shop.lines")
    book.place(placed)
    book.lift(placed.hold_id, "sub-1", AT)
    with pytest.raises(Conflict):
        book.lift(placed.hold_id, "sub-1", AT)
    with pytest.raises(Conflict):
        book.place(placed)
    with pytest.raises(NotFound):
        book.lift("0123456789", "sub-1", AT)
    assert book.stops([(Scope.COLLECTION, "shop.lines")]) == ""


# -- the desk ----------------------------------------------------------------------------------------


def held_case(bureau: Bureau, **more: object) -> Case:
    fields = {
        "right": Right.DELETION,
        "requester": ADA,
        "subject": "who-1",
        "expires_at": now(),
        "notices": ("cooling_off",),
    } | more
    return bureau.world.case(State.COOLING_OFF, **fields)


def place(bureau: Bureau, case: Case, **form: str) -> object:
    sent = {**ASKED, "version": str(case.version), "scope": "case", **form}
    return bureau.browser(Role.APPROVER).post(f"/desk/cases/{case.case_id}/hold", sent)


def test_only_approvers_hold_and_lift(bureau: Bureau) -> None:
    assert set(GATES.values()) == {May.DECIDE}
    assert set(GATES) == {"/desk/holds", "/desk/holds/{hold_id}/lift", "/desk/cases/{case_id}/hold"}
    case = held_case(bureau)
    for role in (Role.AGENT, Role.AUDITOR):
        browser = bureau.browser(role)
        sent = {**ASKED, "version": str(case.version), "scope": "case", "path": "support.tickets"}
        for pattern in GATES:
            path = pattern.format(case_id=case.case_id, hold_id="0123456789")
            assert browser.post(path, sent).status == 403
        assert 'id="hold"' not in browser.get(f"/desk/cases/{case.case_id}").body
        assert "Hold a collection" not in browser.get("/desk/holds").text
    assert not Holdbook(CASES).stops(targets_of(case, ["support.tickets"]))


@pytest.mark.parametrize("scope", ["case", "person"])
def test_a_hold_on_a_case_or_its_person_stops_the_deletion_until_it_is_lifted(
    bureau: Bureau, scope: str
) -> None:
    case = held_case(bureau, subject=f"who-{scope}")
    page = place(bureau, case, scope=scope)
    assert page.location == f"/prod/desk/cases/{case.case_id}?done=hold"  # type: ignore[attr-defined]
    [event] = [e for e in bureau.world.book.events(case.case_id) if e.name == "held"]
    assert event.about["reason"] == "legal_claim"
    assert event.actor == "agent:sub-approvers"
    text = bureau.browser(Role.APPROVER).get(f"/desk/cases/{case.case_id}?done=hold").text
    assert "it is needed for a legal claim (GDPR Art. 17(3)(e)); until" in text
    assert "The hold is placed" in text
    event_of = {"case_id": case.case_id, "attempt": case.attempt}
    assert taking_up.take_up(event_of)["notice"] == "held", "it would begin at once without the hold"
    case = bureau.world.book.get(case.case_id)
    bureau.world.book.move(case, case.state, "notice_sent", "workflow", notices=("cooling_off", "held"))
    assert taking_up.take_up(event_of)["step"] == "cool_off"
    lifted = bureau.browser(Role.APPROVER).post(f"/desk/holds/{event.about['hold']}/lift")
    assert lifted.location == "/prod/desk/holds?done=lift"
    assert bureau.world.names(bureau.world.book.get(case.case_id))[-1] == "hold_lifted"
    assert taking_up.take_up(event_of)["step"] in ("freeze", "erase")


def test_a_person_who_is_held_is_held_in_every_case(bureau: Bureau) -> None:
    first, second = held_case(bureau, subject="who-two"), held_case(bureau, subject="who-two")
    place(bureau, first, scope="person", told="")
    # Not even that something is held may be told.
    assert taking_up.take_up({"case_id": second.case_id, "attempt": 1})["step"] == "cool_off"
    other = held_case(bureau, subject="who-else")
    assert taking_up.take_up({"case_id": other.case_id, "attempt": 1})["step"] != "cool_off"


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"scope": "collection"}, "scope", "Choose what is held"),
        ({"reason": ""}, "reason", "Choose why it is held."),
        ({"ends": ""}, "ends", "Choose how long it is held."),
        ({"day": "2020-01-01"}, "day", "Give a day that is still to come"),
        ({"day": "soon"}, "day", "Give a day that is still to come"),
        ({"file": "<b>"}, "file", "A file number has letters"),
    ],
)
def test_a_form_with_an_error_says_where_and_loses_nothing(
    bureau: Bureau, wrong: dict[str, str], field: str, said: str
) -> None:
    case = held_case(bureau, subject="who-form")
    page = place(bureau, case, **wrong)
    assert page.status == 422  # type: ignore[attr-defined]
    assert page.text.count(said) == 2  # type: ignore[attr-defined]
    body = page.body  # type: ignore[attr-defined]
    assert f'href="#{field}"' in body
    assert f'id="{field}"' in body
    assert ('value="legal_claim" checked' in body) is ("reason" not in wrong)
    assert (f'value="{DAY}"' in body) is ("day" not in wrong)
    assert not Holdbook(CASES).stops(targets_of(case))


def test_what_the_map_never_holds_is_not_offered_and_refused(bureau: Bureau, book: Holdbook) -> None:
    browser, collections = bureau.browser(Role.APPROVER), bureau.world.plan.collections
    path = "support.tickets"
    assert f'value="{path}"' in browser.get("/desk/holds").body
    with mock.patch.dict(collections, {path: replace(collections[path], may_be_held=False)}):
        assert f'value="{path}"' not in browser.get("/desk/holds").body
        page = browser.post("/desk/holds", ASKED | {"path": path, "ends": "review"})
    assert page.status == 422
    assert "The data map says that these records are never held" in page.text
    assert book.stops([(Scope.COLLECTION, path)]) == ""


def test_a_collection_is_held_for_everybody_and_listed(bureau: Bureau, book: Holdbook) -> None:
    browser = bureau.browser(Role.APPROVER)
    assert browser.post("/desk/holds", ASKED | {"path": "no.such"}).status == 422
    sent = ASKED | {"path": "support.tickets", "ends": "review", "told": ""}
    assert browser.post("/desk/holds", sent).location == "/prod/desk/holds?done=hold"
    text = browser.get("/desk/holds").text
    assert "Your tickets support.tickets" in text
    assert "File AZ 12/2026" in text
    assert "Not told to the requester" in text
    hold_id = book.stops([(Scope.COLLECTION, "support.tickets")])
    assert browser.post(f"/desk/holds/{hold_id}/lift").location == "/prod/desk/holds?done=lift"
    assert book.stops([(Scope.COLLECTION, "support.tickets")]) == ""
    again = browser.post(f"/desk/holds/{hold_id}/lift")
    assert again.status == 409
    assert "this hold is over already" in again.text


def test_an_old_page_holds_nothing(bureau: Bureau) -> None:
    case = held_case(bureau, subject="who-old")
    bureau.world.book.move(case, case.state, "notice_sent", "workflow", {"notice": "cooling_off"})
    assert place(bureau, case).status == 409  # type: ignore[attr-defined]
    assert not Holdbook(CASES).stops(targets_of(case))
