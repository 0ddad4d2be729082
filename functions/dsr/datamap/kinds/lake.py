"""A data lake on S3 in the data map: files of records under a prefix, by date or not."""

import re
from typing import Any, Literal

from pydantic import Field as Described

from dsr.datamap.kinds.base import ALL_MASKS, Kind, Statement, allow, needs_field
from dsr.datamap.parts import FieldName, MapCollection, Name, OwnedStore, RegionConnection, Strict
from dsr.datamap.plan import Collection, Store
from dsr.datamap.source import At, Problems


class Partition(Strict):
    """The date that stands in the keys of a collection's objects."""

    layout: str = Described(
        description="the folders after `prefix`, such as dt=%Y-%m-%d or year=%Y/month=%m/day=%d"
    )
    field: FieldName = Described(
        description="the field with the time that put the record into its partition (UTC)"
    )
    since: str | None = Described(
        None,
        description="store.collection.field with the time before which a person has no records here, of a "
        "collection that fields here reference: a search passes over the partitions before",
    )


class LakeConnection(RegionConnection):
    """Which bucket, and under which key of the owner's its objects lie."""

    bucket: str
    kms_key: str | None = Described(
        None, pattern=r"^arn:", description="the ARN of the KMS key that the bucket encrypts with, if any"
    )


class LakeCollection(MapCollection):
    """The objects under a prefix, all of one format: a table of Glue or Athena."""

    prefix: str = Described(description="lake: what the keys of its objects begin with, up to a `/`")
    format: Literal["parquet", "jsonl", "csv"] = Described(
        description="lake: what its objects hold; whether they are gzipped shows in each"
    )
    partition: Partition | None = Described(
        None, description="lake: the date in the keys, by which the retention sweep takes whole days out"
    )
    columns: list[FieldName] = Described(
        default_factory=list,
        description="lake, csv: the columns, where the files have no line with their names",
    )
    delimiter: str = Described(
        "",
        max_length=1,
        description="lake, csv: what stands between columns; a comma if not said",
    )
    sparse: bool = Described(
        False,
        description="lake, jsonl: a file may lack the field that records are found by; else that is an error",
    )

    @property
    def begins(self) -> str:
        """What the partitions are said to be passed over by."""
        return (self.partition and self.partition.since) or ""


class LakeStore(OwnedStore):
    """A bucket with tables of files."""

    kind: Literal["lake"]
    connection: LakeConnection
    collections: dict[Name, LakeCollection] = Described(min_length=1)


def _check(collection: LakeCollection, problems: Problems) -> None:
    prefix = collection.prefix
    if not prefix.endswith("/") or prefix.startswith("/"):
        problems.add(("prefix",), "ends with `/` and begins without, such as `logs/visits/`")
    for word, only in (("columns", "csv"), ("delimiter", "csv"), ("sparse", "jsonl")):
        if getattr(collection, word) and collection.format != only:
            problems.add((word,), f"is for `format: {only}`")
    for word in ("mask", "detach"):
        for name in getattr(collection.on_deletion, word, {}):
            if "." in name:
                problems.add(("on_deletion", word, name), "is nested: a lake masks whole fields")
    if collection.columns:
        named = {*collection.key, *(n for n, f in collection.fields.items() if f.references or f.identity)}
        for name in sorted(named - set(collection.columns)):
            problems.add(("columns",), f"lacks `{name}`, by which records are found")
    if collection.partition:
        needs_field(collection, problems, ("partition", "field"), collection.partition.field)
        _check_layout(problems, ("partition", "layout"), collection.partition.layout)


def _check_layout(problems: Problems, at: At, layout: str) -> None:
    """`%Y`, with `%m` and `%d` where there are months and days: what names a day, a month or a year."""
    signs = sorted(re.findall(r"%(.)", layout))
    if signs not in (["Y"], ["Y", "m"], ["Y", "d", "m"]) or layout.startswith("/") or layout.endswith("/"):
        problems.add(
            at,
            "needs %Y, with %m where there are months and %d where there are days, no other sign, and no `/`"
            " around it",
        )


def _statements(store: Store, collections: list[Collection]) -> list[Statement]:
    """Only under the prefixes of the map: a lake's bucket is shared by many."""
    bucket = f"arn:${{AWS::Partition}}:s3:::{store.connection['bucket']}"
    prefixes = list(dict.fromkeys(c.options["prefix"] for c in collections))
    objects: list[Any] = [{"Fn::Sub": f"{bucket}/{prefix}*"} for prefix in prefixes]
    listing = allow(["s3:ListBucket", "s3:ListBucketVersions"], [{"Fn::Sub": bucket}])
    listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}}
    granted = [
        listing,
        allow(["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging"], objects),
        allow(["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"], objects),
        allow(["s3:DeleteObject", "s3:DeleteObjectVersion"], objects),
    ]
    if key := store.connection.get("kms_key"):
        via = {"StringEquals": {"kms:ViaService": f"s3.{store.connection['region']}.amazonaws.com"}}
        granted.append(allow(["kms:Decrypt", "kms:GenerateDataKey"], [key]) | {"Condition": via})
    return granted


KIND = Kind(
    LakeStore,
    masks=ALL_MASKS,
    check=_check,
    workers=("store-lake",),
    statements=_statements,
)
