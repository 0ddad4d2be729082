"""What every kind of store must keep, asked of each in the same words.

Not webhook and manual: they are asked one question of a case, answered by others, and never by a cursor. What
they keep is in tests/unit/test_asking.py and test_tasks.py.
"""

import json
from unittest import mock

import pytest

from dsr.errors import StoreFault
from dsr.records import to_line
from dsr.stores import cognito
from dsr.stores.base import ListingStore, Page
from dsr.stores.sql import store as sql_store
from tests.stores.harness import ME, NEIGHBOUR, Harness


def pages(store: Harness, *owners: str, after: object = None) -> list[Page]:
    return list(store.store.find(store.collection, store.way, store.values(*owners), after))


def names(store: Harness, found: list[Page]) -> list[str]:
    return [store.name(record) for page in found for record in page.records]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages small enough that few records fill several; DynamoDB and Cognito set theirs themselves."""
    monkeypatch.setattr("dsr.stores.s3._PAGE", 25)
    monkeypatch.setattr("dsr.stores.lake.store._PAGE", 3)
    monkeypatch.setattr("dsr.stores.sql.postgres._FIRST_ROWS", 30)
    monkeypatch.setattr("dsr.stores.sql.postgres._MOST_ROWS", 50)
    monkeypatch.setattr("dsr.stores.sql.connecting.DATA_API_PAGE", 50)
    monkeypatch.setattr("dsr.stores.sql.mysql._PAGE", 50)
    monkeypatch.setattr("dsr.stores.sql.store._VALUES", 2)


def many(store: Harness) -> int:
    """More than one page of the kind: DynamoDB's end at 1 MB, of records of 2 KB."""
    return {"DynamoDBHarness": 700, "DynamoDBIndexHarness": 700, "LakeHarness": 25}.get(
        type(store).__name__, 70
    )


def test_finds_all_of_one_person_and_nothing_of_another(store: Harness) -> None:
    mine = store.add(ME, many(store))
    store.add(NEIGHBOUR, 3)
    found = names(store, pages(store, ME))
    assert sorted(found) == sorted(mine)


def test_a_sample_is_of_some_records_with_all_their_fields(store: Harness) -> None:
    store.add(ME, 3)
    sample = store.store.sample(store.collection, 2)
    assert len(sample) == 2
    assert all(set(store.collection.fields) <= set(record.values) for record in sample)


def test_a_listing_is_of_every_record_once_and_goes_on_from_any_page(store: Harness) -> None:
    if not isinstance(store.store, ListingStore):
        pytest.skip("a store of this kind is not gone through")
    held = sorted([*store.add(ME, 3), *store.add(NEIGHBOUR, 4)])
    held = sorted([*held, *store.beside()])
    fields = store.collection.key
    with mock.patch.object(sql_store, "_LISTED", 2), mock.patch.object(cognito, "_MOST", 2):
        listed = list(store.store.listing(store.collection, fields, None))
        assert sorted(names(store, listed)) == held
        for number, page in enumerate(listed[:-1]):
            rest = store.store.listing(store.collection, fields, page.after)
            assert [list(p.records) for p in rest] == [list(p.records) for p in listed[number + 1 :]]
    assert listed[-1].after is None


def test_a_sample_of_what_is_not_there_is_an_error(store: Harness) -> None:
    store.break_collection()
    with pytest.raises(StoreFault):
        store.store.sample(store.collection, 2)


def test_finds_nothing_for_who_has_nothing(store: Harness) -> None:
    store.add(NEIGHBOUR, 3)
    assert names(store, pages(store, ME)) == []


def test_finds_for_several_values(store: Harness) -> None:
    both = store.add(ME, 4) + store.add(NEIGHBOUR, 3)
    assert sorted(names(store, pages(store, ME, "nobody", NEIGHBOUR))) == sorted(both)


def test_the_last_page_says_that_it_is_the_last(store: Harness) -> None:
    store.add(ME, many(store))
    found = pages(store, ME)
    assert found[-1].after is None
    assert all(page.after is not None for page in found[:-1])


def test_goes_on_after_any_page_without_loss_or_repetition(store: Harness) -> None:
    mine = store.add(ME, many(store)) + store.add(NEIGHBOUR, 3)
    whole = pages(store, ME, NEIGHBOUR)
    for number, page in enumerate(whole[:-1]):
        # A cursor is put aside as JSON and taken up by another process.
        after = json.loads(json.dumps(page.after))
        rest = pages(store, ME, NEIGHBOUR, after=after)
        assert sorted(names(store, whole[: number + 1]) + names(store, rest)) == sorted(mine)


def test_a_collection_that_is_not_there_is_a_fault_and_not_an_empty_answer(store: Harness) -> None:
    store.add(ME, 1)
    store.break_collection()
    with pytest.raises(StoreFault) as fault:
        pages(store, ME)
    assert fault.value.code == "missing_collection"
    assert ME not in fault.value.about


# -- erasing -------------------------------------------------------------------------------------


def located(store: Harness, *owners: str) -> list[dict[str, object]]:
    """What erasing is given: records found not whole, through JSON as they are staged."""
    found = store.store.find(store.collection, store.way, store.values(*owners), None, whole=False)
    return [json.loads(to_line(record.values)) for page in found for record in page.records]


def erase(store: Harness, records: list[dict[str, object]]) -> None:
    at_once = store.store.erase_at_once
    for start in range(0, len(records), at_once):
        store.store.erase(store.collection, records[start : start + at_once], {})


def test_erases_all_of_one_person_and_nothing_of_another(store: Harness) -> None:
    store.add(ME, many(store))
    theirs = store.add(NEIGHBOUR, 3)
    erase(store, located(store, ME))
    assert located(store, ME) == []
    assert sorted(names(store, pages(store, NEIGHBOUR))) == sorted(theirs)


def test_erasing_again_what_is_gone_changes_nothing(store: Harness) -> None:
    store.add(ME, 3)
    theirs = store.add(NEIGHBOUR, 3)
    found = located(store, ME)
    erase(store, found)
    erase(store, found)
    assert sorted(names(store, pages(store, NEIGHBOUR))) == sorted(theirs)


def test_what_is_located_can_be_resumed_like_what_is_found(store: Harness) -> None:
    store.add(ME, many(store))
    whole = located(store, ME)
    first = next(iter(store.store.find(store.collection, store.way, store.values(ME), None, whole=False)))
    if first.after is not None:
        after = json.loads(json.dumps(first.after))
        rest = store.store.find(store.collection, store.way, store.values(ME), after, whole=False)
        assert len(first.records) + sum(len(page.records) for page in rest) == len(whole)
