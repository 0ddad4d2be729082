"""Two deletions and a copy of one person at the same time: whichever step comes first, one outcome.

The steps of three workflows in every order that hypothesis thinks of, each order in a copy of this process.
One deletion erases, the other joins it or comes after it; the copy is whole, or there is none.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle
from typing import Any

import boto3
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsr.case import ENDED, Proof, Requester, Right, State
from dsr.casebook import now
from tests.conftest import REGION, aws_in_process
from tests.matrix import inside
from tests.matrix.forks import in_a_fork
from tests.matrix.scene import Scene, hang_up, scene
from tests.unit import world
from tests.unit.world import BUNDLES

DELETIONS, COPY = (0, 1), 2
QUIET = 12  # turns in which nothing moved: all wait for somebody
ENOUGH = 600


@pytest.fixture(scope="module")
def company(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with aws_in_process(), scene(tmp_path_factory.mktemp("map"), postgres) as made, world.signing():
        yield made


@cache
def sub_of(pool: str) -> str:
    """The id of ada's sign-in, by which she can prove her account while it is there."""
    users = boto3.client("cognito-idp", REGION).list_users(UserPoolId=pool)["Users"]
    [ada] = [user for user in users if user["Username"] == "ada@example.com"]
    return str(next(a["Value"] for a in ada["Attributes"] if a["Name"] == "sub"))


class Request:
    """One request of ada's, a step at a time, whoever makes it: the workflow, or she herself."""

    def __init__(self, company: Scene, right: Right, waive: bool) -> None:
        self._company, self._right, self._waive = company, right, waive
        self.case_id, self.copy = "", dict[str, int]()
        self._steps: Iterator[Callable[[], Any]] = iter(())
        self._made = 0  # of these

    @property
    def case(self) -> Any:
        return self._company.world.book.get(self.case_id)

    def go(self) -> bool:
        """One step; whether anything moved."""
        if not self.case_id:
            self._ask()
            return True
        before = self.case.version
        if step := next(self._steps, None):
            step()
            self._made += 1
            # A case that waits is taken up, and rests again.
            return self._made > 1 or bool(self.case.version != before)
        self._act()
        self._made = 0
        self._steps = self._company.steps(self.case_id) if self.case.state not in ENDED else iter(())
        return bool(self.case.version != before)

    def _ask(self) -> None:
        asked = self._company.world.case(
            State.RESOLVING, right=self._right,
            requester=Requester(("ada@example.com",), account=sub_of(self._company.pool)),
            contacts=(Proof.CONFIRMED,), signed_in_at=now(), received_at=now(),
        )  # fmt: skip
        self.case_id = asked.case_id

    def _act(self) -> None:
        """What she does where it waits for her."""
        case, book = self.case, self._company.world.book
        if case.state is State.AWAITING_CONFIRMATION:
            self._company.confirm(self.case_id, self._waive)
        elif case.state is State.READY:
            with zipfile.ZipFile(io.BytesIO(inside.objects(BUNDLES)[case.bundle["key"]])) as bundle:
                manifest = json.loads(bundle.read("manifest.json"))
            self.copy = {f"{c['store']}.{c['collection']}": c["records"] for c in manifest["collections"]}
            book.move(case, State.DELIVERED, "downloaded", "requester", {"proof": "account"})


def played(company: Scene, order: list[int], waive: bool, only: tuple[int, ...] = (0, 1, 2)) -> Any:
    """All three in this order, and in turn from then on, until nothing moves any more."""
    rights = {0: Right.DELETION, 1: Right.DELETION, COPY: Right.ACCESS}
    requests = {number: Request(company, rights[number], waive) for number in only}
    for turn in order:
        if turn in requests:
            requests[turn].go()
    quiet = 0
    for turns, turn in enumerate(cycle(only)):
        quiet = 0 if requests[turn].go() else quiet + 1
        if quiet > QUIET:
            break
        assert turns < ENOUGH, "it never ends"
    cases = [
        {"id": r.case_id, "state": r.case.state.value, "joined": r.case.joined, "why": str(r.case.attention),
         "certified": bool(r.case.certificate), "copy": r.copy}
        for r in requests.values()
    ]  # fmt: skip
    return {
        "cases": cases,
        "stores": json.loads(json.dumps(company.stores(), default=str)),
        "bundles": [name.split("/")[1] for name in inside.objects(BUNDLES, "bundles/")],
    }


@pytest.fixture(scope="module")
def ends(company: Scene) -> dict[str, Any]:
    """How it ends for one alone; `rows` to begin with again."""
    hang_up()
    sub_of(company.pool)  # before she is gone
    rows = company.rows()

    def copy_after_deletion() -> Any:
        played(company, [], False, (0,))
        return played(company, [], False, (COPY,))

    made: dict[str, Any] = {"rows": rows}
    for name, work in (
        ("deletion", lambda: played(company, [], False, (0,))),
        ("copy", lambda: played(company, [], False, (COPY,))),
        ("after", copy_after_deletion),
    ):
        made[name] = in_a_fork(work)
        company.put_rows(rows)
    assert made["copy"]["cases"][0]["copy"] != made["after"]["cases"][0]["copy"]
    return made


# The copy has looked at its first stores, then a whole deletion comes between.
@example([2] * 9 + [0] * 60, True)
@given(st.lists(st.sampled_from([0, 1, 2]), max_size=50), st.booleans())
@settings(max_examples=2)
def test_two_deletions_and_a_copy_at_once_have_one_outcome(
    company: Scene, ends: dict[str, Any], order: list[int], waive: bool
) -> None:
    company.put_rows(ends["rows"])
    hang_up()
    end = in_a_fork(lambda: played(company, order, waive))
    first, second, copy = end["cases"]
    erased = [case for case in (first, second) if case["certified"]]
    assert erased, end["cases"]
    for case in (first, second):
        # Whoever did not erase joined the one that did, or came when nothing was left to be found.
        others = {e["id"] for e in erased}
        assert case["certified"] or case["joined"] in others or case["state"] == "nothing_found", case
    assert end["stores"] == ends["deletion"]["stores"], "all of ada's is gone, all of bob's is there"
    whole, after = (ends[name]["cases"][0]["copy"] for name in ("copy", "after"))
    assert copy["copy"] in ({}, whole, after), "never a part of it"
    assert copy["state"] in ("closed", "delivered", "nothing_found"), copy
    assert copy["copy"] or copy["joined"] in {e["id"] for e in erased} or copy["state"] == "nothing_found"
    if copy["copy"] != after:
        assert end["bundles"] == [], "no copy outlives the deletion"
