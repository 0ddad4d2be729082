"""What each form of a bundle's records costs: `python -m benchmarks bundle_forms`.

A million records, as they were staged, into JSON Lines, CSV and the pages of the viewer in one pass, beside a
bare zip writer that is handed the same lines; and JSON Lines and CSV alone: the pages share their blocks with
the JSON Lines. All in memory, without database, sealing or upload, each in a process of its own, in turns.
Ratios are of processor time. That memory stays flat is seen beside a tenth of the records.
"""

import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from statistics import median
from typing import Any, BinaryIO, cast

from benchmarks import machine
from benchmarks.figures import Figure, figure
from dsr.bundle import cells
from dsr.bundle.archive import Archive
from dsr.bundle.datafiles import SliceWriter, Table
from dsr.bundle.packing import Packed
from dsr.bundle.upload import Upload
from dsr.datamap.plan import Collection, Field
from dsr.records import from_lines, to_line, with_text

_PART = 20_000  # records that are staged together, again and again
_PAGE = 1000
_BUDGET = 256  # MB
_NAMES = ("connection_id", "member_id", "at", "ip", "mobile_network", "device")
_CONNECTIONS = Collection(
    "log", "connections", "When you used the site", ("connection_id",), (),
    {name: Field("user.behavior", "service") for name in _NAMES},
    basis="legitimate_interests", retention={"duration": "P180D", "from": "at"},
)  # fmt: skip


class _Nowhere:
    """An upload that keeps nothing."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, content: bytes) -> int:
        self.size += len(content)
        return len(content)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Nothing to do."""

    def finish(self) -> None:
        """Nothing to do."""


def _record(n: int) -> dict[str, Any]:
    return {
        "connection_id": n, "member_id": "m-1",
        "at": f"2025-{1 + n % 12:02d}-{1 + n % 28:02d}T{n % 24:02d}:{n % 60:02d}:13+00:00",
        "ip": f"10.{n % 250}.{n // 250 % 250}.{n % 241}",
        "mobile_network": None if n % 3 else f'Süd Mobil "{n % 7}"',
        "device": {"model": f"Graver {n % 90}", "os": f"Android {n % 5}", "app": f"4.{n % 30}"},
    }  # fmt: skip


def _part() -> bytes:
    return b"".join(to_line(_record(n)) for n in range(_PART))


def _pages(part: bytes) -> Iterator[list[dict[str, Any]]]:
    records = list(from_lines(part))
    for begin in range(0, len(records), _PAGE):
        yield records[begin : begin + _PAGE]


def _bare(parts: Iterator[bytes]) -> int:
    """The zip writer of the standard library, and nothing else."""
    upload = _Nowhere()
    with (
        zipfile.ZipFile(cast(BinaryIO, upload), "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("connections.jsonl", "w", force_zip64=True) as member,
    ):
        for part in parts:
            member.write(part)
    return upload.size


def _whole(parts: Iterator[bytes]) -> int:
    """The whole pass, as the bundle makes it where nothing is taken out of a record."""
    return _pass(parts, lambda record, text: (record, text.encode() + b"\n"))


def _changed(parts: Iterator[bytes]) -> int:
    """The whole pass where something is taken out of each record, so that its line is written anew."""
    return _pass(parts, lambda record, _: (record, None))


def _pass(parts: Iterator[bytes], written: Callable[[dict[str, Any], str], Any]) -> int:
    upload, table = _Nowhere(), Table()
    archive = Archive(cast(Upload, upload))
    writer = SliceWriter(archive, _CONNECTIONS, table)
    for part in parts:
        writer.add_written(written(record, text) for record, text in with_text(part))
        if writer.is_full:
            writer.finish()
            writer = SliceWriter(archive, _CONNECTIONS, table)
    writer.finish()
    return upload.size


def _read(parts: Iterator[bytes]) -> int:
    """Reading the records."""
    return sum(1 for part in parts for _ in from_lines(part))


def _lines(parts: Iterator[bytes]) -> int:
    """Reading, and writing them as JSON Lines, compressed and with sums."""
    packed = Packed()
    for part in parts:
        for page in _pages(part):
            packed.add(b"".join(map(to_line, page)))
        packed.blocks.clear()
    return packed.size


def _csv(parts: Iterator[bytes]) -> int:
    """Reading, and writing them as CSV, compressed and with sums."""
    packed = Packed()
    for part in parts:
        for page in _pages(part):
            packed.add(cells.lines_of(cells.columns_of(page, _NAMES)[0]))
        packed.blocks.clear()
    return packed.size


_FORMS: dict[str, Callable[[Iterator[bytes]], int]] = {
    "zip": _bare, "read": _read, "jsonl": _lines, "csv": _csv, "whole": _whole, "changed": _changed,
}  # fmt: skip


def measure(rows: int, rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures for `rows` records."""
    turns, peaks, sizes = machine.Turns(), dict[str, list[int]](), dict[str, int]()
    for number in range(rounds):
        for form in _FORMS:
            result = _fresh(form, rows)
            turns.note(form, result["wall"], result["cpu"])
            peaks.setdefault(form, []).append(result["peak"])
            sizes[form] = result["came"]
            say(f"round {number + 1}: {form} {result['wall']:.1f} s, cpu {result['cpu']:.1f} s")
    small = _fresh("whole", rows // 10)["peak"] / machine.MIB
    cpu = {form: median(spent) for form, spent in turns.cpu.items()}
    of = f"{rows:,} records"
    return [
        figure(f"{of} in all forms: processor time", cpu["whole"], "s", baseline=cpu["zip"],
            ratio=turns.ratio("whole", "zip")),
        figure(f"{of} in all forms, each changed: processor time", cpu["changed"], "s", baseline=cpu["zip"],
            ratio=turns.ratio("changed", "zip")),
        figure("of that, reading them", cpu["read"], "s"),
        figure("of that, writing and compressing JSON Lines", cpu["jsonl"] - cpu["read"], "s"),
        figure("of that, writing and compressing CSV", cpu["csv"] - cpu["read"], "s"),
        figure(f"{of} in all forms: size", sizes["whole"] / 1e6, "MB", baseline=sizes["zip"] / 1e6),
        figure(f"{of} in all forms: peak memory", max(peaks["whole"]) / machine.MIB, "MB", budget=_BUDGET),
        figure("a tenth of them: peak memory", small, "MB"),
    ]  # fmt: skip


def _fresh(form: str, rows: int) -> machine.Result:
    return machine.fresh(["-m", "benchmarks.bundle_forms", form, str(rows)], machine.compiled_apart())


def main(form: str, rows: int) -> None:
    """Do one of them and say what it took."""
    part = _part()
    with machine.spent() as taken:
        came = _FORMS[form](part for _ in range(rows // _PART))
    machine.say(asdict(taken) | {"peak": machine.peak_memory(), "came": came})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
