"""S3 beyond the contract: full calls, leftovers of many at once, what S3 keeps for the moment."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest import mock

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr import aws
from dsr.datamap.plan import Collection, Way
from dsr.errors import StoreFault
from dsr.matching import as_time
from dsr.records import NOTHING, at_path, to_line
from dsr.stores import s3
from dsr.stores.s3 import S3Store
from dsr.values import Values
from tests.stores.harness import REGION, collection, plan

pytestmark = pytest.mark.usefixtures("cloud")

WAY = Way("owner", parent="a.b.c")
FILES = collection("files", "object_key", WAY, key_template="u/{owner}/", match="prefix")
PHOTOS = collection("photos", "object_key", WAY, key_template="photos/{owner}.png", match="exact")


@pytest.fixture
def store(cloud: None) -> S3Store:
    """An empty bucket that keeps versions."""
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket="files")
    client.put_bucket_versioning(Bucket="files", VersioningConfiguration={"Status": "Enabled"})
    return S3Store(plan("s3", bucket="files"))


def put(*keys: str) -> None:
    for key in keys:
        boto3.client("s3", region_name=REGION).put_object(Bucket="files", Key=key, Body=b"x")


def begun(*keys: str) -> None:
    for key in keys:
        boto3.client("s3", region_name=REGION).create_multipart_upload(Bucket="files", Key=key)


def located(store: S3Store, where: Collection, *values: Any, after: Any = None) -> list[dict[str, Any]]:
    pages = store.find(where, WAY, values, after, whole=False)
    return [json.loads(to_line(record.values)) for page in pages for record in page.records]


def left() -> tuple[list[str], list[str]]:
    """The keys of all versions and markers, and of all uploads left half-done."""
    client = boto3.client("s3", region_name=REGION)
    listed = client.list_object_versions(Bucket="files")
    kept = [v["Key"] for v in [*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())]]
    return sorted(kept), sorted(
        u["Key"] for u in client.list_multipart_uploads(Bucket="files").get("Uploads", ())
    )


@contextmanager
def counted(store: S3Store) -> Iterator[Counter[str]]:
    """The calls that the store makes meanwhile, by operation."""
    calls: Counter[str] = Counter()

    def note(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    events = aws.client_as(store._store.access, "s3").meta.events
    events.register("before-call.s3", note)
    yield calls
    events.unregister("before-call.s3", note)


def test_versions_are_listed_and_deleted_in_full_calls(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PAGE", 100)
    monkeypatch.setattr(store, "erase_at_once", 100)
    for _ in range(3):
        put(*(f"u/m-1/{n:03}" for n in range(70)))
    put("u/m-11/theirs")
    with counted(store) as calls:
        found = located(store, FILES, "m-1")
        for start in range(0, len(found), store.erase_at_once):
            store.erase(FILES, found[start : start + store.erase_at_once], {})
        assert located(store, FILES, "m-1") == []
    assert len(found) == 210
    assert calls == {"ListObjectVersions": 3 + 1, "ListMultipartUploads": 2, "DeleteObjects": 3}
    assert left() == (["u/m-11/theirs"], [])


OWNERS = st.lists(st.sampled_from(["1", "11", "2", "1/a", "a", "z"]), min_size=1, unique=True)
KEYS = st.lists(
    st.sampled_from(
        ["u/1/x", "u/1/a/x", "u/1/b", "u/11/x", "u/2/x", "u/3/x", "u/a/1/x", "u/z/", "u/1", "t/1/x", "v"]
    ),
    unique=True,
)


@settings(max_examples=30)
@given(OWNERS, KEYS)
def test_leftovers_of_many_are_found_by_one_listing_and_nobody_elses(
    owners: list[str], keys: list[str]
) -> None:
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket="files")
    store = S3Store(plan("s3", bucket="files"))
    for upload in client.list_multipart_uploads(Bucket="files").get("Uploads", ()):
        client.abort_multipart_upload(Bucket="files", Key=upload["Key"], UploadId=upload["UploadId"])
    begun(*keys)
    with counted(store) as calls:
        found = located(store, FILES, *owners)
    theirs = {key for key in keys if any(key.startswith(f"u/{owner}/") for owner in owners)}
    assert sorted(record["object_key"] for record in found) == sorted(theirs)
    assert all(record["object_key"].startswith(f"u/{record['owner']}/") for record in found)
    assert calls["ListMultipartUploads"] == 1
    store.erase(FILES, found, {})
    assert left()[1] == sorted(set(keys) - theirs)


def test_leftovers_of_exact_keys_are_of_these_keys_alone(store: S3Store) -> None:
    begun("photos/1.png", "photos/1.png.bak", "photos/2.png", "photos/3.png")
    put("photos/1.png", "photos/1.png.bak")
    found = located(store, PHOTOS, "1", "2")
    assert sorted((r["object_key"], "upload_id" in r) for r in found) == [
        ("photos/1.png", False),
        ("photos/1.png", True),
        ("photos/2.png", True),
    ]
    store.erase(PHOTOS, found, {})
    assert left() == (["photos/1.png.bak"], ["photos/1.png.bak", "photos/3.png"])


def test_who_goes_on_in_the_middle_misses_no_leftover(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PAGE", 2)
    put(*(f"u/{owner}/{n}" for owner in "abc" for n in range(3)))
    begun("u/a/half", "u/c/half")
    pages = list(store.find(FILES, WAY, ["a", "b", "c"], None, whole=False))
    whole = [r.values for page in pages for r in page.records]
    assert len(whole) == 9 + 2
    for number, page in enumerate(pages[:-1]):
        before = [r.values for p in pages[: number + 1] for r in p.records]
        after = json.loads(json.dumps(page.after))
        assert before + located(store, FILES, "a", "b", "c", after=after) == whole


# moto refuses nothing: here the answers are changed on their way.


def answering(store: S3Store, *refusals: list[str]) -> Any:
    """DeleteObjects refuses, in its first calls, as many objects as there are codes."""
    client = aws.client_as(store._store.access, "s3")
    delete, left_over = client.delete_objects, [*refusals]

    def some(Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        codes = left_over.pop(0) if left_over else []
        kept = [o | {"Code": c} for o, c in zip(Delete["Objects"], codes, strict=False)]
        going = Delete["Objects"][len(kept) :]
        if going:
            delete(Bucket=Bucket, Delete={"Objects": going, "Quiet": True})
        return {"Errors": kept} if kept else {}

    return mock.patch.object(client, "delete_objects", some)


def test_what_s3_keeps_for_the_moment_is_asked_again(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_WAITS", (0.0,) * 3)
    put(*(f"u/m-1/{n}" for n in range(6)))
    with answering(store, ["SlowDown", "InternalError", "SlowDown"], ["SlowDown"]):
        store.erase(FILES, located(store, FILES, "m-1"), {})
    assert left() == ([], [])


@pytest.mark.parametrize(
    ("refusals", "error", "says"),
    [
        ([["AccessDenied"]], StoreFault, "missing_permission: shop.files: DeleteObjects"),
        ([["SlowDown", "MethodNotAllowed"]], RuntimeError, "kept 2 versions: MethodNotAllowed, SlowDown"),
        ([["SlowDown"]] * 9, RuntimeError, "kept 1 versions: SlowDown"),
    ],
)
def test_what_s3_keeps_after_all_is_told(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, refusals: list[list[str]], error: type, says: str
) -> None:
    monkeypatch.setattr(s3, "_WAITS", (0.0,) * 3)
    put(*(f"u/m-1/{n}" for n in range(3)))
    with answering(store, *refusals), pytest.raises(error, match=says):
        store.erase(FILES, located(store, FILES, "m-1"), {})
    assert left()[0]


def test_a_copy_holds_the_metadata_and_tags_of_each_file(store: S3Store) -> None:
    boto3.client("s3", region_name=REGION).put_object(
        Bucket="files", Key="u/m-1/a", Body=b"abc", Metadata={"taken": "Zürich".encode().hex()},
        Tagging="album=Summer%202026&public=no", ContentType="image/png",
    )  # fmt: skip
    [page] = store.find(FILES, WAY, ["m-1"], None)
    [record] = page.records
    assert record.values["metadata"] == {"taken": "Zürich".encode().hex()}
    assert record.values["tags"] == {"album": "Summer 2026", "public": "no"}
    assert (record.values["size"], record.values["content_type"]) == (3, "image/png")
    assert record.original is not None


# -- by their own keys, and from end to end ------------------------------------------------------------

OWN = Way("object_key", parent="shop.files.object_key", own=True)


def kept_until(dated: str) -> Collection:
    return replace(
        FILES, ways=(OWN,), on_deletion={"delete": True, "until": {"duration": "P7Y", "from": dated}}
    )


def by_own_keys(store: S3Store, where: Collection, *keys: str) -> list[dict[str, Any]]:
    pages = store.find(where, OWN, Values(keys), None, whole=False)
    return [json.loads(to_line(record.values)) for page in pages for record in page.records]


@pytest.mark.parametrize("dated", ["last_modified", "metadata.signed", "tags.signed"])
def test_a_kept_file_is_found_by_its_key_with_its_time_and_goes_with_all_versions(
    store: S3Store, dated: str
) -> None:
    client = boto3.client("s3", region_name=REGION)
    for _ in range(2):
        client.put_object(
            Bucket="files", Key="u/1/a", Body=b"x",
            Metadata={"signed": "2020-01-02"}, Tagging="signed=2020-01-02",
        )  # fmt: skip
    client.delete_object(Bucket="files", Key="u/1/a")
    begun("u/1/a", "u/1/ab")
    put("u/1/ab", "u/1/a/b", "u/2/a")
    where = kept_until(dated)
    found = by_own_keys(store, where, "u/1/a")
    assert {r["object_key"] for r in found} == {"u/1/a"}
    held = [r for r in found if not r.get(NOTHING)]
    assert (len(held), len(found)) == (2, 4), "two versions; a marker and an upload besides"
    told = [as_time(at_path(r, dated)) for r in held]
    assert all(told)
    assert dated == "last_modified" or told == [datetime(2020, 1, 2, tzinfo=UTC)] * 2
    store.erase(where, found, {})
    assert left() == (["u/1/a/b", "u/1/ab", "u/2/a"], ["u/1/ab"])
    assert by_own_keys(store, where, "u/1/a") == []


def test_a_version_that_is_gone_since_it_was_listed_tells_no_time(store: S3Store) -> None:
    put("u/1/a")
    assert store._described(FILES, "metadata.at", "u/1/a", "0" * 32) == {}


@given(
    keys=st.sets(st.sampled_from(["u/1/a", "u/1/b", "u/2/a", "u/22/a", "u//a", "u/3", "u/a/b/c", "v/1/a"])),
    page=st.integers(1, 3),
)
@settings(max_examples=15)
def test_a_listing_says_whose_each_file_may_be_in_pages_of_any_size(keys: set[str], page: int) -> None:
    client = mock.Mock()
    client.list_objects_v2.side_effect = partial(listed, sorted(keys))
    with mock.patch.object(s3, "client_as", return_value=client), mock.patch.object(s3, "_PAGE", page):
        pages = list(S3Store(plan("s3", bucket="files")).listing(FILES, ("owner",), None))
    found = {r.values["object_key"]: r.values["owner"] for p in pages for r in p.records}
    owners = {
        "u/1/a": ["1"], "u/1/b": ["1"], "u/2/a": ["2"], "u/22/a": ["22"], "u/a/b/c": ["a", "a/b"],
    }  # fmt: skip
    assert found == {key: owners[key] for key in keys & owners.keys()}
    assert pages[-1].after is None


def listed(keys: list[str], **asked: Any) -> dict[str, Any]:
    """As ListObjectsV2 answers: in order, behind a key, so many at most. A fake, so that it takes no time."""
    behind, most = asked.get("StartAfter", ""), asked["MaxKeys"]
    rest = [key for key in keys if key.startswith(asked["Prefix"]) and key > behind]
    return {"Contents": [{"Key": key} for key in rest[:most]], "IsTruncated": len(rest) > most}
