"""S3 in the data map: objects whose key is made of one field."""

import re
from typing import Literal

from pydantic import Field as Described

from dsr.datamap.kinds.base import Kind, Statement, allow
from dsr.datamap.parts import Keep, MapCollection, Name, OwnedStore, RegionConnection
from dsr.datamap.plan import Collection, Store
from dsr.datamap.source import Problems, suggest

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class S3Connection(RegionConnection):
    """Which bucket."""

    bucket: str


class S3Collection(MapCollection):
    """Objects of a bucket."""

    key_template: str = Described(description="s3: object key with {field} for a referenced field")
    match: Literal["exact", "prefix"] = Described(description="s3: whether the template is a whole key")


class S3Store(OwnedStore):
    """A bucket."""

    kind: Literal["s3"]
    connection: S3Connection
    collections: dict[Name, S3Collection] = Described(min_length=1)


def _check(collection: S3Collection, problems: Problems) -> None:
    _check_kept(collection, problems)
    at = ("key_template",)
    found = _PLACEHOLDER.findall(collection.key_template)
    if len(found) != 1 or re.search(r"[{}]", _PLACEHOLDER.sub("", collection.key_template)):
        problems.add(at, "needs exactly one {field}, and no other braces")
        return
    name = found[0]
    leading = [n for n, f in collection.fields.items() if f.references]
    if name not in leading:
        problems.add(at, f"`{{{name}}}` must be a field here with `references`{suggest(name, leading)}")
        return
    for other, field in collection.fields.items():
        if other != name and (field.references or field.identity):
            word = "references" if field.references else "identity"
            problems.add(("fields", other, word), f"finds no object: the key is made of `{name}`")
    after = collection.key_template.partition("{" + name + "}")[2]
    if collection.match == "prefix" and not re.match(r"[^A-Za-z0-9]", after):
        problems.add(
            at, "goes on with a sign that no id holds, such as `/`: else 12 finds what belongs to 123"
        )


def _check_kept(collection: S3Collection, problems: Problems) -> None:
    """What is kept is found again by its key, on the day that the object itself tells."""
    if not isinstance(collection.on_deletion, Keep):
        return
    if collection.key != ["object_key"]:
        problems.add(("key",), "is [object_key] where objects are kept: by it they are found on their day")
    dated = collection.on_deletion.until.from_
    if dated and dated != "last_modified" and not dated.startswith(("metadata.", "tags.")):
        said = "is no time that an object tells: last_modified, metadata.NAME or tags.NAME"
        problems.add(("on_deletion", "until", "from"), said)


def _statements(store: Store, _: list[Collection]) -> list[Statement]:
    bucket = f"arn:${{AWS::Partition}}:s3:::{store.connection['bucket']}"
    objects = [{"Fn::Sub": bucket + "/*"}]
    return [
        allow(
            ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"], [{"Fn::Sub": bucket}]
        ),
        allow(["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"], objects),
        allow(
            ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:GetObjectVersionTagging"],
            objects,
        ),
    ]


# Besides the worker, what makes the bundle copies the files under the same role.
KIND = Kind(S3Store, check=_check, workers=("store-s3", "build-bundle"), statements=_statements)
