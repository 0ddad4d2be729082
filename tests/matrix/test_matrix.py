"""The kill matrix: whichever call of a deletion fails, in whichever way, the end is the same.

Every step is tried in copies of this process (`fork`), one for each call and way, and tried again as the
workflow does. Where everything then stands as after an undisturbed step, so does the end; where not (a
mark of the retry may stay), the copy goes on to the end. Of a call that changes nothing, a failure before
and one after are the same.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import aws_in_process
from tests.matrix.forks import in_a_fork
from tests.matrix.gremlin import AFTER, Gremlin, Way, loose
from tests.matrix.scene import Scene, hang_up, scene

_READS = ("Get", "List", "Query", "Describe", "Head", "TransactGet", "SELECT", "SHOW", "select", ";")


@pytest.fixture
def company(postgres: str, tmp_path: Path) -> Iterator[Scene]:
    with aws_in_process(), scene(tmp_path, postgres) as made:
        yield made


def ways(call: str) -> list[Way]:
    """The ways in which the call can fail that differ."""
    reads = call.partition(":")[2].startswith(_READS)
    return [way for way in Way if not (reads and way in AFTER)]


class TestEvenSteps:
    """Every other step, so that two workers can have a half each."""

    def test_whichever_call_fails_in_whichever_way_the_end_is_the_same(
        self, company: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fail_every_call(company, capsys, 0)


class TestOddSteps:
    """The other half."""

    def test_whichever_call_fails_in_whichever_way_the_end_is_the_same(
        self, company: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fail_every_call(company, capsys, 1)


def fail_every_call(company: Scene, capsys: pytest.CaptureFixture[str], share: int) -> None:
    """Fail each call of every second step (from `share` on) in each way, and compare the ends."""
    before = company.stores()
    case_id = company.ask()
    hang_up()
    rows = company.rows()
    gremlin, tried, wrong, further = Gremlin(), Counter[str](), list[str](), 0

    def at_the_end() -> Any:
        company.work(case_id)
        return company.standing(case_id)

    def undisturbed(step: Callable[[], Any]) -> tuple[list[str], Any]:
        gremlin.aim(-1, Way.BROKEN)
        step()
        return list(gremlin.calls), company.standing(case_id)

    def disturbed(step: Callable[[], Any], at: int, way: Way, wanted: Any) -> tuple[Any, Any]:
        gremlin.aim(at, way)
        step()
        assert gremlin.struck, f"{way} at {at}: the call was not made"
        stands = company.standing(case_id)
        return stands, None if stands == wanted else at_the_end()

    end = in_a_fork(at_the_end)
    company.put_rows(rows)
    assert "erased_in_part" in end["case"]["state"]
    assert _of_bob(end) == _of_bob(before)
    with loose(gremlin):
        for number, step in enumerate(company.steps(case_id)):
            if number % 2 != share:
                step()
                hang_up()
                continue
            rows = company.rows()
            calls, wanted = in_a_fork(lambda step=step: undisturbed(step))
            for at, call in enumerate(calls):
                for way in ways(call):
                    company.put_rows(rows)
                    arguments = (step, at, way, wanted)
                    _, ended = in_a_fork(lambda arguments=arguments: disturbed(*arguments))
                    tried[way] += 1
                    further += ended is not None
                    if ended not in (None, end):
                        wrong.append(f"step {number}, {call} ({at}), {way}: {_difference(end, ended)}")
            company.put_rows(rows)
            gremlin.aim(-1, Way.BROKEN)
            step()
            hang_up()
    with capsys.disabled():
        print(f"\nkill matrix: {tried.total()} failures tried, {further} of them to the end: {dict(tried)}")  # noqa: T201
    assert wrong == []
    assert tried.total() > 250


def _of_bob(state: dict[str, Any]) -> list[str]:
    listed = [json.dumps(r, default=str) for rs in state.values() if isinstance(rs, list) for r in rs]
    return sorted(r for r in listed if "bob" in r)


def _difference(wanted: dict[str, Any], end: dict[str, Any]) -> str:
    return "; ".join(f"{k}: {wanted.get(k)} became {end.get(k)}" for k in wanted if wanted[k] != end.get(k))
