"""The data map's schema: strict, so that a misspelt word is an error with its line and not a silent gap."""

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic import Field as Described

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")]
Duration = Annotated[str, StringConstraints(pattern=r"^P((\d+[YMWD])+(T(\d+[HM])+)?|T(\d+[HM])+)$")]


def _yes(value: Any) -> Any:
    return "yes" if value is True else value  # what YAML makes of a bare yes


def _null(value: Any) -> Any:
    return "null" if value is None else value  # what YAML makes of a bare null


Masking = Annotated[Literal["null", "redacted"], BeforeValidator(_null)]


class Strict(BaseModel):
    """Base of all parts of the map: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IdentityField(Strict):
    """The field can hold a proven identity of a person, and so finds records."""

    is_: Literal["email", "phone"] = Described(
        alias="is", description="what kind of identity the field holds"
    )
    normalise: Literal["", "lower", "e164"] = Described(
        "",
        description="how the value is normalised for the look-up; the store's index must hold that form",
    )
    verified: bool = Described(
        description="whether the company proved the value to be the person's when collecting it"
    )
    since: FieldName | None = Described(
        None, description="field with the time since when the person has held it"
    )
    recorded: FieldName | None = Described(None, description="field with the time the value was written down")
    valid: Duration | None = Described(
        None, description="how long after `recorded` the value is still taken to be the same person's"
    )


class MapField(Strict):
    """One field of a collection."""

    category: str = Described(
        pattern=r"^(user|system)(\.[a-z_]+)*$",
        description="a Fideslang data category, such as user.contact.email",
    )
    purpose: Name = Described(description="one of `purposes`")
    identity: IdentityField | None = None
    references: str | None = Described(
        None, description="store.collection.field whose values this field repeats"
    )
    second_point: Literal["name", "phone", "reference"] | None = Described(
        None, description="a second matching point for records found only by an unproven or outlived identity"
    )
    proves: Literal["sign_in"] | None = Described(
        None, description="equals the `sub` of who signs in to this account"
    )
    disclose: Annotated[Literal["yes", "review", "never"], BeforeValidator(_yes)] = "yes"
    reason: str = Described(
        "", description="why the field is never disclosed; required with `disclose: never`"
    )
    provided: bool = Described(False, description="whether the person provided it (GDPR Art. 20)")


class Retention(Strict):
    """How long records are held: `duration` after the time in `from`, or until the account is deleted."""

    duration: Duration | None = None
    from_: FieldName | None = Described(None, alias="from")
    until: Literal["account_deleted"] | None = None


class Expiry(Strict):
    """DynamoDB: an index with a partition per day finds what has expired without reading the rest."""

    index: str = Described(description="the global index; it projects at least the key and `retention.from`")
    bucket: FieldName = Described(
        description="its partition key: the UTC day of `retention.from`, YYYY-MM-DD, written with the record"
    )
    since: date = Described(description="the first day that any record can carry")


class Until(Strict):
    """When something kept may go: `duration` after the time in the field `from`."""

    duration: Duration
    from_: FieldName = Described(alias="from")


class Keep(Strict):
    """The records stay on deletion, for a legal reason, until an end."""

    keep: str = Described(description="the reason, as the person will read it")
    law: str
    until: Until


class Mask(Strict):
    """The records stay, these fields are masked."""

    mask: dict[FieldName, Masking]


class Detach(Strict):
    """The record is shared: only this person's fields are masked."""

    detach: dict[FieldName, Masking]


class Copy(Strict):
    """A copy of the collection elsewhere, with its lag or expiry."""

    kind: Literal["stream", "export", "warehouse", "index", "cdn", "replica", "backup"]
    name: str
    lag: Duration | None = None
    expires: Duration | None = None


class MapCollection(Strict):
    """A table, a prefix of a bucket, a user pool."""

    title: str = Described(description="what the person reads above these records")
    key: list[FieldName] = Described(min_length=1, description="fields that together name one record")
    subjects: Literal["one", "many"] = Described(
        description="whether a record concerns one person or several"
    )
    basis: Literal[
        "consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interests"
    ] = Described(description="GDPR Art. 6(1)")
    retention: Retention
    on_deletion: Literal["delete"] | Keep | Mask | Detach
    copies: Literal["none"] | list[Copy]
    fields: dict[FieldName, MapField] = Described(min_length=1)
    table: str | None = Described(None, description="dynamodb, sql: the table's name")
    indexes: dict[FieldName, str] = Described(
        default_factory=dict, description="dynamodb: field → index that finds by it"
    )
    expiry: Expiry | None = Described(
        None, description="dynamodb: how the retention sweep finds what has expired"
    )
    key_template: str | None = Described(
        None, description="s3: object key with {field} for a referenced field"
    )
    match: Literal["exact", "prefix"] | None = Described(
        None, description="s3: whether the template is a whole key"
    )
    account: FieldName | None = Described(
        None, description="records are accounts; this field is the account's id"
    )
    freeze: bool = Described(False, description="cognito: deletion begins with disabling these sign-ins")
    born: FieldName | None = Described(
        None, description="field with the date of birth (children need a guardian)"
    )


class MapStore(Strict):
    """A store: one database, bucket or pool with one owner and one access role."""

    kind: Literal["dynamodb", "s3", "sql", "cognito"]
    role: str = Described(
        pattern=r"^arn:", description="the role that the store's owner deployed for this product"
    )
    connection: dict[str, Any]
    collections: dict[Name, MapCollection] = Described(min_length=1)


class Requires(Strict):
    """The proof of identity asked for: of everybody, and of who is found to have an account."""

    default: Literal["mailbox", "account"] = "mailbox"
    account_holder: Literal["mailbox", "account"] = "account"


class RequiresByRight(Strict):
    """`requires` per right."""

    access: Requires = Requires()
    deletion: Requires = Requires()


class Controller(Strict):
    """Who answers for the data."""

    name: str
    contact: str
    complaint: str


class DataMap(Strict):
    """A whole data map."""

    version: Literal[1]
    controller: Controller
    purposes: dict[Name, str]
    requires: RequiresByRight = RequiresByRight()
    stores: dict[Name, MapStore] = Described(min_length=1)


_PART = re.compile(r"(\d+)([YMWD])")
_DAYS = {"Y": 365, "M": 30, "W": 7, "D": 1}


def days(duration: str) -> int:
    """A duration in whole days, a year as 365, a month as 30 (for windows, not for deadlines of law)."""
    date_part = duration[1:].partition("T")[0]
    return sum(int(n) * _DAYS[unit] for n, unit in _PART.findall(date_part))
