"""The packed values: the same as a sorted set of them, at a fraction of the memory."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr import values as module
from dsr.records import as_text
from dsr.values import Values

ANY = st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False) | st.sampled_from(["1", "True"])


@given(st.lists(ANY | st.sampled_from(["a", "a\0b", "a\0", "", 1, 1.0, True, "\ud800"])), st.integers(1, 4))
def test_they_are_what_a_sorted_set_is(values: list[Any], run: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_RUN", run)  # several runs, that hold some values twice
        packed = Values(iter(values))
    # Told apart by type too: 1, 1.0, True and "1" are looked for each in its own form.
    distinct = {(as_text(v), type(v).__name__): v for v in values}
    assert sorted(map(repr, packed)) == sorted(map(repr, distinct.values()))
    assert len(packed) == len(distinct)
    assert packed[1:3] == list(packed)[1:3]
    if packed:
        assert repr(packed[-1]) == repr(list(packed)[-1])
    assert all(as_text(v) in packed for v in values)
    for asked in ("1", "True", "b", "a\0", "nobody"):
        assert (asked in packed) == (asked in {as_text(v) for v in values})


@given(st.permutations(["m-1", "m-10", "m-2", 7, "é", "z"]), st.integers(1, 4))
def test_their_order_is_that_of_their_texts_however_they_come(values: list[Any], run: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_RUN", run)
        assert list(Values(values)) == [7, "m-1", "m-10", "m-2", "z", "é"]


@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}], b"x"])
def test_what_is_no_value_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        Values([value])


def test_many_take_little_memory_even_while_they_are_sorted() -> None:
    count, each = 200_000, 60  # bytes; a set and a sorted list of the same take some 150
    tracemalloc.start()
    try:
        packed = Values(f"member-{n * 7919 % count:09}" for n in range(count))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(packed) == count
    runs = module._RUN * 150  # what is sorted at once
    assert peak < count * each + runs
    assert "member-000000042" in packed
    assert "member-00000004" not in packed
