"""Large originals: copied by S3 into the zip, or passing through in pieces; bundles of several zips.

One answer here is a fake, and says so: neither moto nor the local cloud tells the CRC-32 or SHA-256 of a part
that it copies, as S3 does for an upload made with that checksum (AWS, S3 API Reference, CopyPartResult).
`FakeChecksums` adds it, from the bytes of the original. Everything else is real: the parts, their sizes, the
object that is made of them.
"""

import base64
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock
from urllib.parse import unquote

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import example, given, settings
from hypothesis import strategies as st
from moto.s3 import models as moto_s3

from dsr.bundle import build as build_module
from dsr.bundle import copying as copying_module
from dsr.bundle import upload as upload_module
from dsr.bundle import verifying as verifying_module
from dsr.bundle import volumes as volumes_module
from dsr.bundle.archive import Archive
from dsr.bundle.build import BundleBuilder
from dsr.bundle.checksums import crc32_combine, from_s3
from dsr.bundle.copying import HEAD, LEAST_PART, MOST_PART, MOST_PARTS, WORTH_COPYING, plan_copies
from dsr.bundle.upload import Upload, UploadState
from dsr.bundle.verifying import verify_bundle
from dsr.case import Case, State
from dsr.datamap.plan import Plan
from dsr.finds import folder_of, place
from dsr.records import to_line
from tests.conftest import REGION
from tests.unit import world
from tests.unit.test_bundle import MADE_AT, Bytes, check_zip
from tests.unit.test_gathering import Killed, _deadly
from tests.unit.test_verifying import KEY, PEM
from tests.unit.world import ADA, BUNDLES, World, collection, compiled, store

MIB = 2**20
TB = 10**12
UNIT = MIB // 16  # what a test works with that needs no megabytes: see `filmed`


# -- sums and plans -----------------------------------------------------------------------------------


@given(st.binary(max_size=3000), st.binary(max_size=3000))
@example(b"", b"x")
@example(b"x", b"")
@example(b"\0" * 100, b"\0" * 100)
def test_the_sum_of_the_whole_follows_from_those_of_its_pieces(first: bytes, rest: bytes) -> None:
    assert crc32_combine(zlib.crc32(first), zlib.crc32(rest), len(rest)) == zlib.crc32(first + rest)


def test_and_of_pieces_of_gigabytes() -> None:
    """Against zlib over the same number of zero bytes, in steps: no test writes 5 GiB."""
    block, zeros = b"\0" * MIB, zlib.crc32(b"")
    for _ in range(256):
        zeros = zlib.crc32(block, zeros)
    doubled, length = zeros, 256 * MIB
    while length < 5 * 2**30:
        doubled, length = crc32_combine(doubled, doubled, length), length * 2
    stepwise, reached = zlib.crc32(b"x"), 0
    while reached < length:
        stepwise, reached = crc32_combine(stepwise, zeros, 256 * MIB), reached + 256 * MIB
    assert crc32_combine(zlib.crc32(b"x"), doubled, length) == stepwise


@given(st.integers(0, 5 * TB), st.integers(0, 5000))
@example(5 * TB, 1000)
@example(2 * HEAD, 1)
@example(2 * HEAD - 1, 1)
@example(HEAD + MOST_PART, 1)
@example(HEAD + MOST_PART + 1, 1)
def test_a_plan_keeps_to_what_s3_takes(size: int, most: int) -> None:
    ranges = plan_copies(size, most)
    if not ranges:
        # Too small, or too large for so many parts.
        assert size - HEAD < LEAST_PART or size - HEAD > most * MOST_PART or most == 0
        return
    assert len(ranges) <= most
    assert ranges[0][0] == HEAD
    assert ranges[-1][1] == size - 1
    for (_, end), (start, _) in pairwise(ranges):
        assert start == end + 1
    assert all(LEAST_PART <= end - start + 1 <= MOST_PART for start, end in ranges)


@given(st.integers(0, 2**32), st.sampled_from([10**9, 10**10, 10**11, 10**12, 5 * TB]), st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
@example(0, 5 * TB, 2000)
@example(0, 5 * TB, 1)
@example(0, 5 * TB, 900)
def test_the_parts_suffice_for_any_files_of_a_zip(seed: int, limit: int, number: int) -> None:
    """Files until the zip is full, each as the builder plans it: never more parts than S3 takes."""
    state, chance = UploadState("x"), Random(seed)
    upload = Upload("b", "k", state)
    least = max(WORTH_COPYING, limit // 2000)
    while state.written + least <= limit:
        size = min(limit - state.written, max(least, limit // number * chance.randint(60, 140) // 100))
        ranges = plan_copies(size, upload.share(size, limit))
        assert ranges, f"no room for {size:,} after {state.written:,} in {len(state.parts)} parts"
        state.parts += [["", ""]] * (1 + len(ranges))
        state.written += size
    assert len(state.parts) <= MOST_PARTS // 2, "the other half is for what is streamed"


def test_the_largest_file_that_s3_holds_can_be_copied() -> None:
    upload = Upload("b", "k", UploadState("x"))
    assert len(plan_copies(5 * TB, upload.share(5 * TB, 10**10))) <= MOST_PARTS // 2


# -- the real thing -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    members = collection(
        "members",
        {
            "id": "",
            "email": "identity: {is: email, normalise: lower, verified: true}",
            "sub": "proves: sign_in",
        },
        "account: id",
    )
    films = collection(
        "films", {"object_key": "", "member": "references: a.members.id"},
        "key_template: 'f/{member}/'", "match: prefix", table=False,
    )  # fmt: skip
    return compiled(
        tmp_path_factory.mktemp("map"),
        store("a", members),
        store("files", films, kind="s3", connection="bucket: films"),
    )


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with world.opened(plan) as opened:
        boto3.client("s3", region_name=REGION).create_bucket(Bucket="films")
        yield opened


@pytest.fixture(autouse=True)
def own_role() -> Iterator[None]:
    """The stores' bucket is read under the test's own credentials; moto's KMS signs otherwise than AWS."""
    here = mock.patch("dsr.bundle.build.client_as", lambda _, name: boto3.client(name, region_name=REGION))
    with here, mock.patch("dsr.bundle.build.sign_manifest", lambda said, _: KEY.sign(said, ECDSA(SHA256()))):
        yield


def film(size: int, seed: int = 1) -> bytes:
    """Bytes that do not repeat from part to part."""
    block = hashlib.sha256(bytes([seed])).digest()
    made = bytearray()
    while len(made) < size:
        made += (block := hashlib.sha256(block).digest()) * 4096
    return bytes(made[:size])


def gathered(here: World, plan: Plan, films: dict[str, bytes]) -> Case:
    """A case with these films staged, ready to be bundled."""
    s3 = boto3.client("s3", region_name=REGION)
    case = here.case(State.BUNDLING, outcome="delivered")
    staging = here.staging(case)
    lines = []
    for key, content in films.items():
        s3.put_object(Bucket="films", Key=key, Body=content)
        original = {"bucket": "films", "object_key": key, "version": "", "size": len(content)}
        lines.append(to_line({"values": {"object_key": key, "member": "m1"}, "original": original}))
    folder = folder_of("staged", "files.films")
    staging.put(f"{folder}0", b"".join(lines))
    staging.put_json(place(plan.visit_of("files.films").visit), {"parts": {folder: [f"{folder}0"]}})
    return case


class FakeChecksums:
    """THE FAKE: adds to the answer of UploadPartCopy the checksum that S3 tells, from the original's bytes.

    CRC-32 or SHA-256, as the upload was begun. `refuse`: from this call on the copy is refused. `silent`: of
    an upload with that checksum none is told. Counts the bytes that went through us, and by S3 alone.
    """

    def __init__(self, refuse: int = 10**9, silent: str = "") -> None:
        self.copies, self.refuse, self.silent = 0, refuse, silent
        self.through = self.copied = self.summed = 0
        self.lie = 0
        self._kinds: dict[str, str] = {}
        self._call = BaseClient._make_api_call

    def __call__(self, client: Any, operation: str, asked: dict[str, Any]) -> Any:
        if operation == "UploadPart":
            self.through += asked["Body"].seek(0, io.SEEK_END)
            asked["Body"].seek(0)
        if operation == "CreateMultipartUpload":
            answer = self._call(client, operation, asked)
            self._kinds[answer["UploadId"]] = asked["ChecksumAlgorithm"]
            return answer
        if operation != "UploadPartCopy":
            return self._call(client, operation, asked)
        self.copies += 1
        if self.copies > self.refuse:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, operation)
        answer = self._call(client, operation, asked)
        start, end = map(int, asked["CopySourceRange"].removeprefix("bytes=").split("-"))
        s3 = boto3.client("s3", region_name=REGION)
        bucket, _, key = unquote(asked["CopySource"]).partition("/")
        wanted = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{end}"}
        part = self._call(s3, "GetObject", wanted)["Body"].read()
        if (kind := self._kinds[asked["UploadId"]]) == "CRC32":
            assert end - start + 1 >= copying_module.LEAST_PART
            self.copied += end - start + 1
            said = (zlib.crc32(part) ^ self.lie).to_bytes(4, "big")
        else:
            self.summed += end - start + 1
            said = hashlib.sha256(part).digest()
        if kind != self.silent:
            answer["CopyPartResult"][f"Checksum{kind}"] = base64.b64encode(said).decode()
        return answer

    @contextmanager
    def installed(self) -> Iterator["FakeChecksums"]:
        """In place of every call's way out."""
        with mock.patch("botocore.client.BaseClient._make_api_call", lambda *call: self(*call)):  # noqa: PLW0108  bound
            yield self


def built(
    here: World, plan: Plan, case: Case, ticks: float = float("inf"), limit: int = 10_000 * UNIT
) -> list[dict[str, Any]]:
    """The bundle, made in as many calls as it takes; each has `ticks` looks at the clock."""
    for _ in range(300):
        looks = iter(range(10**6))
        builder = BundleBuilder(
            plan, case, ADA, here.staging(case), BUNDLES, f"bundles/{case.case_id}/x.zip", ticks,
            os.environ["SIGNING_KEYS"], lambda looks=looks: next(looks), limit,
        )  # fmt: skip
        if (made := builder.run(MADE_AT)) is not None:
            return made
    return pytest.fail("it never came to an end")


def opened(part: dict[str, Any]) -> zipfile.ZipFile:
    s3 = boto3.client("s3", region_name=REGION)
    content = s3.get_object(Bucket=BUNDLES, Key=part["key"])["Body"].read()
    assert len(content) == part["size"]
    return zipfile.ZipFile(io.BytesIO(content))


def here_uploads() -> list[str]:
    """The uploads that are under way."""
    found = boto3.client("s3", region_name=REGION).list_multipart_uploads(Bucket=BUNDLES)
    return [upload["Key"] for upload in found.get("Uploads", ())]


def listed(zipped: zipfile.ZipFile) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in json.loads(zipped.read("manifest.json"))["files"]}


def films_of(unit: int) -> dict[str, bytes]:
    return {
        "f/m1/a.mov": film(36 * unit + 7),
        "f/m1/é.mov": film(16 * unit, 2),
        "f/m1/short.mov": film(70_000, 3),
    }


FILMS = films_of(UNIT)


@contextmanager
def in_units(unit: int) -> Iterator[None]:
    """All sizes a sixteenth of what they are, S3's least part in moto included: the rules are the same."""
    with ExitStack() as stack:
        for module, name, size in (
            (moto_s3, "S3_UPLOAD_PART_MIN_SIZE", 5), (copying_module, "LEAST_PART", 5),
            (upload_module, "LEAST_PART", 5), (copying_module, "HEAD", 5),
            (build_module, "HEAD", 5), (build_module, "WORTH_COPYING", 16),
            (copying_module, "_PART", 10), (copying_module, "PIECE", 24), (build_module, "PIECE", 24),
            (verifying_module, "PIECE", 24), (volumes_module, "_SLACK", 1),
        ):  # fmt: skip
            stack.enter_context(mock.patch.object(module, name, size * unit))
        yield


@pytest.fixture
def filmed() -> Iterator[None]:
    with in_units(UNIT):
        yield


@pytest.mark.parametrize("unit", [MIB, UNIT])
def test_of_each_large_file_only_the_beginning_passes_through(
    here: World, plan: Plan, tmp_path: Path, unit: int
) -> None:
    """Once with the sizes that S3 has."""
    films = films_of(unit)
    case = gathered(here, plan, films)
    with in_units(unit), FakeChecksums().installed() as fake:
        [part] = built(here, plan, case)
        path = tmp_path / "x.zip"
        path.write_bytes(opened(part).fp.getvalue())  # type: ignore[union-attr]
        assert verify_bundle([path], PEM).faults == []
    check_zip(path)
    zipped = opened(part)
    for key, content in films.items():
        assert zipped.read(f"files/files/{key.rpartition('/')[2]}") == content
    large = [content for content in films.values() if len(content) >= 16 * unit]
    assert fake.copied == sum(map(len, large)) - 5 * unit * len(large)
    assert fake.through == part["size"] - fake.copied
    # Whoever reads it from front to end finds the sums before the bytes.
    assert all(not zipped.getinfo(f"files/files/{n}").flag_bits & 8 for n in ("a.mov", "é.mov"))
    files = listed(zipped)
    long, middle = films["f/m1/a.mov"], films["f/m1/é.mov"]
    assert files["files/files/é.mov"] == {
        "path": "files/files/é.mov", "size": len(middle), "sha256": hashlib.sha256(middle).hexdigest(),
    }  # fmt: skip
    assert files["files/files/a.mov"] == {
        "path": "files/files/a.mov", "size": len(long), "sha256": "",
        "pieces": [hashlib.sha256(piece).hexdigest() for piece in (long[: 24 * unit], long[24 * unit :])],
        "crc32": f"{zlib.crc32(long):08x}",
    }  # fmt: skip
    assert all(file["sha256"] or file.get("pieces") for file in files.values())
    assert fake.summed == sum(map(len, large))
    assert here_uploads() == [], "what was copied for its sum alone is gone"


@pytest.mark.usefixtures("filmed")
@pytest.mark.parametrize("ticks", [0, 1, 2, 3])
def test_put_aside_anywhere_a_copy_goes_on_and_the_bytes_are_the_same(
    here: World, plan: Plan, ticks: int
) -> None:
    case = gathered(here, plan, FILMS)
    with mock.patch.object(copying_module, "_AT_ONCE", 1), FakeChecksums().installed() as fake:
        [part] = built(here, plan, case)
        whole, calls = opened(part).fp.getvalue(), fake.copies  # type: ignore[union-attr]
        here.staging(case).remove("bundle/")
        [part] = built(here, plan, case, ticks)
        assert fake.copies == 2 * calls, "nothing is copied twice"
    again = opened(part).fp.getvalue()  # type: ignore[union-attr]
    signed = whole.index(b"manifest.sig")  # ECDSA draws a number for each signature
    assert again[:signed] == whole[:signed]


@pytest.mark.usefixtures("filmed")
def test_killed_at_any_call_while_it_copies_the_zip_is_whole(here: World, plan: Plan) -> None:
    films = {"f/m1/a.mov": FILMS["f/m1/é.mov"]}
    for number in range(1, 60, 4):
        case = gathered(here, plan, films)
        fake, countdown = FakeChecksums(), [number]
        deadly = _deadly(countdown, after=number % 2 == 1)

        def call(client: Any, operation: str, asked: Any, fake: Any = fake, deadly: Any = deadly) -> Any:
            fake._call = deadly
            return fake(client, operation, asked)

        with (
            mock.patch.object(copying_module, "_AT_ONCE", 1),
            mock.patch("botocore.client.BaseClient._make_api_call", call),
        ):
            while True:
                try:
                    [part] = built(here, plan, case, 1)
                except Killed:
                    continue
                break
        assert opened(part).read("files/files/a.mov") == films["f/m1/a.mov"]
        if countdown[0] > 0:
            return
    pytest.fail("the last kill was not the last call")


@pytest.mark.usefixtures("filmed")
@pytest.mark.parametrize(
    "why", ["refused", "refused later", "no checksum", "no sum", "another checksum", "changed"]
)
def test_what_s3_may_not_copy_passes_through(here: World, plan: Plan, why: str) -> None:
    case = gathered(here, plan, FILMS)
    fake = FakeChecksums(
        {"refused": 0, "refused later": 2}.get(why, 10**9), "SHA256" if why == "no sum" else ""
    )
    fake.lie = why == "another checksum"
    if why == "no checksum":  # as moto and the local cloud answer
        [part] = built(here, plan, case)
    elif why == "changed":
        calls = []

        def overwrite(client: Any, operation: str, asked: dict[str, Any]) -> Any:
            answer = fake._call(client, operation, asked)
            if operation == "HeadObject" and not calls:
                calls.append(1)
                raise ClientError({"Error": {"Code": "412", "Message": ""}}, operation)
            return answer

        with (
            mock.patch("botocore.client.BaseClient._make_api_call", overwrite),
            pytest.raises(Exception, match="changed meanwhile"),
        ):
            built(here, plan, case)
        return
    else:
        with fake.installed():
            [part] = built(here, plan, case)
    zipped = opened(part)
    assert {n: zipped.read(f"files/files/{n.rpartition('/')[2]}") for n in FILMS} == FILMS
    assert zipped.testzip() is None
    assert all(file["sha256"] or file["pieces"] for file in listed(zipped).values()), "and is hashed then"
    assert here_uploads() == []
    if why == "refused":
        assert fake.copies <= 8, "one denial is enough for the store"


@pytest.mark.parametrize("ticks", [0, 1, float("inf")])
def test_what_takes_longer_than_a_call_goes_on_within_the_file(
    here: World, plan: Plan, tmp_path: Path, ticks: float
) -> None:
    case = gathered(here, plan, FILMS)
    with (
        in_units(UNIT),
        mock.patch.object(build_module, "PIECE", 6 * UNIT),
        mock.patch.object(build_module, "WORTH_COPYING", 2**50),
        mock.patch.object(verifying_module, "PIECE", 6 * UNIT),
    ):
        [part] = built(here, plan, case, ticks)
        zipped = opened(part)
        path = tmp_path / "x.zip"
        path.write_bytes(zipped.fp.getvalue())  # type: ignore[union-attr]
        check_zip(path)
        assert verify_bundle([path], PEM).faults == []
        for key, content in FILMS.items():
            assert zipped.read(f"files/files/{key.rpartition('/')[2]}") == content
        pieces = listed(zipped)["files/files/a.mov"]["pieces"]
        content = FILMS["f/m1/a.mov"]
        assert pieces == [
            hashlib.sha256(content[at : at + 6 * UNIT]).hexdigest() for at in range(0, len(content), 6 * UNIT)
        ]
        # A byte changed in the middle: zip readers see it by the CRC-32, and so do we.
        damaged = bytearray(path.read_bytes())
        at = damaged.index(content[:UNIT]) + 9 * UNIT
        damaged[at] ^= 1
        path.write_bytes(damaged)
        faults = verify_bundle([path], PEM).faults
        assert len(faults) == 1
        assert "files/files/a.mov" in faults[0]


# -- several zips -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("filmed")
@pytest.mark.parametrize("ticks", [0, 2, float("inf")])
def test_a_large_bundle_comes_in_several_zips_each_whole_by_itself(
    here: World, plan: Plan, tmp_path: Path, ticks: float
) -> None:
    films = {f"f/m1/{n}.mov": film(7 * UNIT, n) for n in range(5)} | {"f/m1/long.mov": film(25 * UNIT, 9)}
    case = gathered(here, plan, films)
    with FakeChecksums().installed():
        made = built(here, plan, case, ticks, limit=20 * UNIT)
    assert [part["key"].rpartition("/")[2] for part in made] == ["x.zip", "x-2.zip", "x-3.zip", "x-4.zip"]
    assert [part["size"] > 20 * UNIT for part in made] == [False, False, False, True], "one file is not cut"
    paths = []
    found: dict[str, bytes] = {}
    for number, part in enumerate(made, 1):
        zipped = opened(part)
        paths.append(tmp_path / f"{number}.zip")
        paths[-1].write_bytes(zipped.fp.getvalue())  # type: ignore[union-attr]
        check_zip(paths[-1])
        manifest = json.loads(zipped.read("manifest.json"))
        assert (manifest["volume"], manifest["volumes"], manifest["case"]) == (number, 4, case.case_id)
        assert {*listed(zipped)} == {*zipped.namelist()} - {"manifest.json", "manifest.sig"}
        assert ("index.html" in zipped.namelist()) == (number == 1), "the overview is in the first"
        assert not found.keys() & {*listed(zipped)}
        found |= {name: zipped.read(name) for name in zipped.namelist() if name.startswith("files/")}
    assert sorted(found.values()) == sorted(films.values())
    assert verify_bundle(paths, PEM).faults == []
    assert verify_bundle(paths[1:2], PEM).faults == [], "each by itself"
    [fault] = verify_bundle([*paths[:2], paths[3]], PEM).faults
    assert "3" in fault
    staged = here.objects(world.STAGING, f"cases/{case.case_id}/bundle/")
    assert bool(staged) == (ticks != float("inf")) or staged


def test_a_bundle_that_fits_is_one_zip_and_needs_nothing_set_aside(here: World, plan: Plan) -> None:
    case = gathered(here, plan, {"f/m1/a.mov": b"x" * 1000})
    before = here.objects(world.STAGING, f"cases/{case.case_id}/")
    [part] = built(here, plan, case)
    assert json.loads(opened(part).read("manifest.json"))["volumes"] == 1
    assert here.objects(world.STAGING, f"cases/{case.case_id}/") == before


def test_checksums_are_read_as_s3_writes_them() -> None:
    assert from_s3(base64.b64encode(zlib.crc32(b"abc").to_bytes(4, "big")).decode()) == zlib.crc32(b"abc")


def test_a_file_that_ends_early_makes_no_zip() -> None:
    archive = Archive(Bytes())  # type: ignore[arg-type]
    entry = archive.begin("x", 10)
    archive.append(entry, [b"123"])
    with pytest.raises(RuntimeError, match="came with 3"):
        archive.end(entry)
