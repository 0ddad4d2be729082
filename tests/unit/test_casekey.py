"""The key of a case and what is sealed under it: opens for that case alone, never again once destroyed."""

from collections.abc import Iterator
from functools import partial
from unittest import mock

import boto3
import pyrage
import pytest
from botocore.exceptions import ClientError

from dsr import casekey
from dsr.case import Requester
from dsr.errors import Conflict, NotFound
from dsr.staging import Staging, remove_versions
from tests.conftest import REGION
from tests.unit import world
from tests.unit.test_case import PLAN
from tests.unit.world import KEYS, STAGING, World


@pytest.fixture(scope="module")
def here(shared_cloud: None) -> Iterator[World]:
    with world.opened(PLAN) as opened:
        yield opened


def test_what_is_sealed_opens_for_its_case_alone(here: World) -> None:
    mine, theirs = (casekey.create(name, KEYS, here.kms_key) for name in ("mine", "theirs"))
    sealed = casekey.seal(mine, b"personal")
    assert b"personal" not in sealed
    assert casekey.unseal("mine", KEYS, sealed) == b"personal"
    assert casekey.seal(mine, b"personal") != sealed, "equal contents must not be told by equal bytes"
    assert mine != theirs
    with pytest.raises(pyrage.DecryptError):
        casekey.unseal("theirs", KEYS, sealed)
    for place in (len(sealed) - 1, len(sealed) // 2, 60):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(pyrage.DecryptError):
            casekey.unseal("mine", KEYS, changed)
    with pytest.raises(pyrage.DecryptError):
        casekey.unseal("mine", KEYS, sealed[:-1])


def test_making_it_twice_is_making_it_once(here: World) -> None:
    """Two submissions at once: what either seals, the case can open."""
    first, second = (casekey.create("case", KEYS, here.kms_key) for _ in range(2))
    assert first == second
    assert casekey.unseal("case", KEYS, casekey.seal(second, b"x")) == b"x"


def test_after_its_destruction_nothing_opens(here: World) -> None:
    case = here.case()
    staging = here.staging(case)
    staging.put("a", b"personal")
    kept = boto3.client("s3").get_object(Bucket=STAGING, Key=f"cases/{case.case_id}/a")["Body"].read()
    assert here.book.requester(case) == world.ADA  # and so the key is in this worker's memory
    casekey.destroy(case.case_id, KEYS)
    for read in (
        lambda: staging.get("a"),
        lambda: here.book.requester(case),
        lambda: casekey.unseal(case.case_id, KEYS, kept),
    ):
        with pytest.raises(NotFound):
            read()
    casekey.destroy(case.case_id, KEYS)  # again: no error
    # A key made anew for the same case (the same form sent again) does not bring it back.
    casekey.create(case.case_id, KEYS, here.kms_key)
    with pytest.raises(pyrage.DecryptError):
        casekey.unseal(case.case_id, KEYS, kept)


def test_a_wrapped_key_moved_to_another_case_opens_nothing(here: World) -> None:
    """KMS gives it out only under the case id that it was wrapped under."""
    mine = casekey.create("owner", KEYS, here.kms_key)
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    stolen = dynamodb.get_item(TableName=KEYS, Key={"case_id": {"S": "owner"}})["Item"]
    dynamodb.put_item(TableName=KEYS, Item=stolen | {"case_id": {"S": "thief"}})
    with pytest.raises(ClientError):
        casekey.unseal("thief", KEYS, casekey.seal(mine, b"personal"))


def test_the_key_itself_lies_nowhere_unwrapped(here: World) -> None:
    casekey.create("another", KEYS, here.kms_key)
    items = boto3.client("dynamodb", region_name=REGION).scan(TableName=KEYS)["Items"]
    assert items
    for item in items:
        assert set(item) == {"case_id", "wrapped", "recipient"}
        assert b"AGE-SECRET-KEY" not in item["wrapped"]["B"]


# -- the staging area --------------------------------------------------------------------------------


def test_staging_holds_and_lists_the_objects_of_its_own_case(here: World) -> None:
    mine, theirs = (here.staging(here.case()) for _ in range(2))
    assert mine.get("a/1") is None
    assert mine.get_json("a/1") is None
    theirs.put("a/1", b"not mine")
    for n in range(5):
        mine.put(f"a/{n}", str(n).encode())
    mine.put("b/0", b"")
    assert list(mine.names("a/")) == [f"a/{n}" for n in range(5)]
    assert mine.get("a/3") == b"3"
    assert mine.get("b/0") == b""
    mine.put("a/3", b"new")
    assert mine.get("a/3") == b"new"
    mine.put_json("c", {"text": "ü\u2028", "list": [1, None]})
    assert mine.get_json("c") == {"text": "ü\u2028", "list": [1, None]}
    mine.remove("a/")
    assert list(mine.names("")) == ["b/0", "c"]
    assert theirs.get("a/1") == b"not mine"


def test_one_writer_of_two_gets_through(here: World) -> None:
    staging = here.staging(here.case())
    assert staging.read_json("place") == (None, "")
    first = staging.replace_json("place", 1, "")
    with pytest.raises(Conflict):
        staging.replace_json("place", 2, "")
    assert staging.read_json("place") == (1, first)
    second = staging.replace_json("place", 3, first)
    with pytest.raises(Conflict):
        staging.replace_json("place", 4, first)
    assert staging.read_json("place") == (3, second)
    staging.remove("place")
    with pytest.raises(Conflict):
        staging.replace_json("place", 5, second)
    assert staging.get("place") is None


def test_what_is_removed_is_gone_in_all_its_versions(here: World) -> None:
    case = here.case()
    staging = here.staging(case)
    s3 = boto3.client("s3", region_name=REGION)
    listed = s3.list_object_versions
    for n in range(26):
        s3.put_object(Bucket=STAGING, Key=f"cases/{case.case_id}/x/{n % 13}", Body=b"x")
    s3.delete_object(Bucket=STAGING, Key=f"cases/{case.case_id}/x/0")
    staging.put("y", b"stays")
    with (  # pages of ten
        mock.patch("dsr.staging.client", return_value=s3),
        mock.patch.object(s3, "list_object_versions", partial(listed, MaxKeys=10)),
    ):
        assert remove_versions(STAGING, f"cases/{case.case_id}/x/") == 27
    assert here.objects(STAGING, f"cases/{case.case_id}/") == [f"cases/{case.case_id}/y"]
    assert remove_versions(STAGING, f"cases/{case.case_id}/x/") == 0


def test_what_s3_refuses_to_remove_is_an_error(here: World) -> None:
    case = here.case()
    here.staging(case).put("x", b"x")
    answer = {"Errors": [{"Key": "x", "Code": "AccessDenied"}]}
    client = boto3.client("s3", region_name=REGION)
    with (
        mock.patch("dsr.staging.client", return_value=client),
        mock.patch.object(client, "delete_objects", return_value=answer),
        pytest.raises(RuntimeError, match="1 of 1"),
    ):
        remove_versions(STAGING, f"cases/{case.case_id}/")


def test_a_requester_survives_sealing(here: World) -> None:
    said = Requester(("ada@example.com", "a@b.example"), {"name": "王小明 O'Neil"}, "sub-1", "DE", "child")
    case = here.case(requester=said)
    assert here.book.requester(here.book.get(case.case_id)) == said
    assert b"example.com" not in case.sealed


def test_another_cases_staging_cannot_be_read_with_this_cases_key(here: World) -> None:
    mine, theirs = here.case(), here.case()
    here.staging(theirs).put("a", b"x")
    s3 = boto3.client("s3", region_name=REGION)
    s3.copy_object(
        Bucket=STAGING,
        Key=f"cases/{mine.case_id}/a",
        CopySource={"Bucket": STAGING, "Key": f"cases/{theirs.case_id}/a"},
    )
    with pytest.raises(pyrage.DecryptError):
        Staging(STAGING, KEYS, mine).get("a")
