"""One person taken out of a Parquet file of 1.27 GB, against reading and writing the same file by pyarrow.

Measured: what the worker of a lake run does with the file (`LakeStore.rewrite`), in a process of its own; S3
is answered from files, its copies of parts are copies of files and count. Against the least that does so
plainly: read each row group, filter it, write it. Three times: sorted by person (who is in one row group), in
the order of time with a person who was there once, and one who was there all the time, so that no row group
can be left as it is: there the plain read and write is itself the least.
`python -m benchmarks.lake VERB ID FOLDER` is the measured process.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import machine
from benchmarks.figures import Figure, figure
from dsr.datamap.plan import Collection, Field, Store, Way
from dsr.stores.lake.objects import Bucket
from dsr.stores.lake.store import OBJECT, LakeStore

ROOT = machine.BUILD / "lake"
SIZE = 1_270_000_000
ROWS = 1_000_000  # in a row group, as pyarrow and Spark make them
PEOPLE = 500_000
KEY, BUCKET = "visits/part-0.parquet", "lake"
RATIO_BUDGET, MEMORY_BUDGET = 0.25, 400
ALL_ANEW_BUDGET = 1.0  # every row group has to be read and written
EVERYWHERE = "m-everywhere"
CASES = {  # name: (the file, whom to take out)
    "sorted by person": ("sorted", f"m-{PEOPLE // 2:07d}"),
    "by time, a person in one row group": ("by-time", "m-once"),
    "by time, a person in every row group": ("by-time", EVERYWHERE),
}


def measure(size: int, rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, each the median of `rounds` in turns."""
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    environment = machine.compiled_apart(PYTHONPATH=f"functions{os.pathsep}.")
    figures = []
    try:
        for order in ("sorted", "by-time"):
            say(f"{order}: {_fill(ROOT / order, order, size):,} bytes")
        for name, (file, who) in CASES.items():
            _look_for(who, ROOT / file)
            taken: dict[str, list[machine.Result]] = {"plain": [], "rewrite": []}
            for number in range(rounds):
                for verb, results in taken.items():
                    arguments = ["-m", "benchmarks.lake", verb, who, str(ROOT / file)]
                    result = machine.fresh(arguments, environment)
                    results.append(result)
                    took = f"{result['wall']:.1f} s, processor {result['cpu']:.1f} s"
                    memory = f"{result['peak'] / machine.MIB:.0f} MB"
                    say(f"{name}, {number + 1}: {verb} {took}, {memory}, {result['gone']} records")
            if {r["gone"] for r in taken["plain"]} != {r["gone"] for r in taken["rewrite"]}:
                raise machine.BenchmarkError(f"{name}: the two took out different numbers of records")
            figures += _figures(name, taken)
    finally:
        shutil.rmtree(ROOT, ignore_errors=True)
    return figures


def _look_for(who: str, folder: Path) -> None:
    """Note the records of the person, as a deletion has staged them when the lake run comes to them."""
    found = pq.read_table(folder / "object", columns=["member_id", "at"], filters=[("member_id", "==", who)])
    records = [{**row, "at": row["at"].isoformat(), OBJECT: KEY} for row in found.to_pylist()]
    (folder / "records.json").write_text(json.dumps(records))


def _figures(name: str, taken: dict[str, list[machine.Result]]) -> list[Figure]:
    walls = {verb: median(r["wall"] for r in results) for verb, results in taken.items()}
    peak = max(r["peak"] for r in taken["rewrite"]) / machine.MIB
    budget = ALL_ANEW_BUDGET if "every" in name else RATIO_BUDGET
    return [
        figure(
            f"one person out of Parquet, {name}: time, against plain read and write",
            walls["rewrite"], "s", baseline=walls["plain"], budget=budget,
        ),
        figure(f"one person out of Parquet, {name}: peak memory", peak, "MB", budget=MEMORY_BUDGET),
    ]  # fmt: skip


# -- the file --------------------------------------------------------------------------------------


def _fill(folder: Path, order: str, size: int) -> int:
    """Write the file: a web log of so many people. Returns its size."""
    folder.mkdir()
    path = folder / "object"
    groups = max(1, round(size / (ROWS * 61.5)))
    numbers = pa.array(range(ROWS), pa.int64())
    writer: Any = None
    for group in range(groups):
        if order == "sorted":
            share = PEOPLE // groups
            person = pc.add(pc.divide(pc.multiply(numbers, share), ROWS), group * share)
        else:
            person = pc.cast(pc.floor(pc.multiply(pc.random(ROWS), float(PEOPLE))), pa.int64())
        batch = _log(person, group)
        if order == "by-time":
            there = [EVERYWHERE] + (["m-once"] if group == groups // 2 else [])
            batch = pa.concat_tables([batch.slice(0, ROWS - 1), *(_of(batch, who) for who in there)])
        writer = writer or pq.ParquetWriter(path, batch.schema)
        writer.write_table(batch, row_group_size=2 * ROWS)
    writer.close()
    return path.stat().st_size


def _log(person: Any, group: int) -> Any:
    count = len(person)
    at = pc.add(pa.array(range(count), pa.int64()), 1_770_000_000_000_000 + group * count)
    address = [pc.cast(pc.cast(pc.floor(pc.multiply(pc.random(count), 256.0)), pa.int64()), pa.string())] * 2
    choice = pc.cast(pc.floor(pc.multiply(pc.random(count), 200.0)), pa.int32())
    text = pc.utf8_lpad(pc.cast(person, pa.string()), 7, "0")
    return pa.table(
        {
            "member_id": pc.binary_join_element_wise("m", text, "-"),
            "at": at.cast(pa.timestamp("us", "UTC")),
            "ip": pc.binary_join_element_wise("198.51", *address, "."),
            "session": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(48), count, [None, pa.py_buffer(machine.noise(48 * count))]
            ),
            "page": pa.array([f"/gallery/{n}/details" for n in range(200)]).take(choice),
            "status": pc.cast(pc.add(choice, 200), pa.int16()),
            "sent": pc.cast(pc.floor(pc.multiply(pc.random(count), 1e6)), pa.int32()),
        }
    )


def _of(batch: Any, who: str) -> Any:
    return batch.slice(0, 1).set_column(0, "member_id", pa.array([who]))


# -- the measured process --------------------------------------------------------------------------


class Files:
    """S3 with one object in one file; parts are files of their own, put together when nobody measures."""

    def __init__(self, folder: Path) -> None:
        self._object, self._parts = folder / "object", folder / "parts"
        shutil.rmtree(self._parts, ignore_errors=True)
        self._parts.mkdir()
        self._size = self._object.stat().st_size

    def head_object(self, **_: Any) -> dict[str, Any]:
        return {"ETag": '"1"', "ContentLength": self._size}

    def get_object_tagging(self, **_: Any) -> dict[str, Any]:
        return {"TagSet": []}

    def get_object(self, *, Range: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        start, end = map(int, Range.removeprefix("bytes=").split("-"))
        with self._object.open("rb") as file:
            file.seek(start)
            content = file.read(end - start + 1)
        return {"Body": _Body(content)}

    def create_multipart_upload(self, **_: Any) -> dict[str, Any]:
        return {"UploadId": "1"}

    def upload_part(self, *, PartNumber: int, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        (self._parts / f"{PartNumber:05d}").write_bytes(Body)
        return {"ETag": str(PartNumber)}

    def upload_part_copy(self, *, PartNumber: int, CopySourceRange: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        start, end = map(int, CopySourceRange.removeprefix("bytes=").split("-"))
        with self._object.open("rb") as source, (self._parts / f"{PartNumber:05d}").open("wb") as part:
            while start <= end:
                start += os.sendfile(part.fileno(), source.fileno(), start, end + 1 - start)
        return {"CopyPartResult": {"ETag": str(PartNumber)}}

    def complete_multipart_upload(self, **_: Any) -> dict[str, Any]:
        return {}

    def list_object_versions(self, **_: Any) -> dict[str, Any]:
        return {"IsTruncated": False}

    def put_together(self) -> Path:
        """The object as it now is."""
        whole = self._parts.parent / "whole"
        with whole.open("wb") as file:
            for part in sorted(self._parts.iterdir()):
                with part.open("rb") as content:
                    shutil.copyfileobj(content, file, machine.MIB)
        return whole


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content


def rewrite(who: str, folder: Path) -> machine.Result:
    """As a lake run does it. Raises BenchmarkError unless what is left is whole."""
    way = Way("member_id", parent="a.b.c")
    fields = {name: Field("user.unique_id", "p") for name in ("member_id", "at")}
    options = {"prefix": "visits/", "format": "parquet"}
    collection = Collection(BUCKET, "visits", "Visits", ("member_id", "at"), (way,), fields, options=options)
    store = LakeStore(Store(BUCKET, "lake", "arn:aws:iam::1:role/x", {"region": "x", "bucket": BUCKET}))
    files = Files(folder)
    store._bucket = Bucket(BUCKET, lambda: files)  # noqa: SLF001  what is measured is not the network
    records = json.loads((folder / "records.json").read_text())
    with machine.spent() as taken:
        gone = store.rewrite(collection, KEY, records, {})
    peak = machine.peak_memory()
    whole = pq.ParquetFile(files.put_together())
    was = pq.ParquetFile(folder / "object").metadata.num_rows
    if gone != len(records) or whole.metadata.num_rows != was - gone:
        raise machine.BenchmarkError(f"{gone} of {len(records)} went, {whole.metadata.num_rows} are left")
    for group in range(whole.num_row_groups):
        if who in whole.read_row_group(group, ["member_id"])["member_id"].unique().to_pylist():
            raise machine.BenchmarkError("the person is still there")
    return {"wall": taken.wall, "cpu": taken.cpu, "peak": peak, "gone": gone}


def plain(who: str, folder: Path) -> machine.Result:
    """The same without any care: read, filter, write."""
    gone = 0
    with machine.spent() as taken:
        file = pq.ParquetFile(folder / "object")
        with pq.ParquetWriter(folder / "plain", file.schema_arrow) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                kept = table.filter(pc.not_equal(table["member_id"], who))
                gone += table.num_rows - kept.num_rows
                writer.write_table(kept)
    return {"wall": taken.wall, "cpu": taken.cpu, "peak": machine.peak_memory(), "gone": gone}


if __name__ == "__main__":
    verb, who, folder = sys.argv[1:]
    print(json.dumps({"rewrite": rewrite, "plain": plain}[verb](who, Path(folder))))
