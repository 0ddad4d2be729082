"""The distinct values that records are looked for by: in a fixed order, and packed, for there may be many.

As Python objects a million short texts take some 100 MB, packed some 20. They are sorted in runs and the
runs merged, so that at no time all of them are objects.
"""

import heapq
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from dsr.records import as_text

_RUN = 50_000  # values that are sorted at once
# What a value is comes back from its first letter: JSON has no others.
_KINDS: dict[bytes, Any] = {b"s": str, b"i": int, b"f": float, b"b": lambda text: text == "True"}
_END = b"\0"  # before every other sign, so that the order is that of the texts


class Values(Sequence[Any]):
    """The distinct values of `values` by their texts, then by their types; `in` asks by the text alone."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self._packed, self._ends = _pack(_sorted(values))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        text, _, kind = self._at(number).rpartition(_END)
        return _KINDS[kind](text.decode("utf-8", "surrogatepass"))

    def __contains__(self, value: object) -> bool:
        wanted = _encoded(as_text(value)) + _END
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._at(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        # Texts that go on with the very sign of the end come between.
        while low < len(self) and (form := self._at(low)).startswith(wanted):
            if form[:-1] == wanted:
                return True
            low += 1
        return False

    def _at(self, number: int) -> bytes:
        return self._packed[self._ends[number] : self._ends[number + 1]]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _form(value: Any) -> bytes:
    """Raises TypeError for a mapping: it is not one value but several."""
    if isinstance(value, (str, int, float)):
        return b"%b%b%b" % (_encoded(as_text(value)), _END, type(value).__name__[0].encode())
    raise TypeError(f"a {type(value).__name__} is no value to look for")


def _sorted(values: Iterable[Any]) -> Iterator[bytes]:
    """The forms of the values in order; one may come more than once."""
    runs, held = [], set[bytes]()
    for value in values:
        held.add(_form(value))
        if len(held) == _RUN:
            runs.append(_pack(sorted(held)))
            held.clear()
    last = sorted(held)
    return heapq.merge(*(_unpack(*run) for run in runs), last) if runs else iter(last)


def _pack(forms: Iterable[bytes]) -> tuple[bytes, "array[int]"]:
    packed, ends, before = bytearray(), array("Q", [0]), b""
    for form in forms:
        if form != before:
            packed += form
            ends.append(len(packed))
            before = form
    return bytes(packed), ends


def _unpack(packed: bytes, ends: "array[int]") -> Iterator[bytes]:
    for number in range(len(ends) - 1):
        yield packed[ends[number] : ends[number + 1]]
