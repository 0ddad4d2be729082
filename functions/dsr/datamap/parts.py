"""What every data map is made of, whatever its kinds of stores: strict, so that a misspelt word is an error.

`kinds` adds what each kind of store needs besides, `schema` puts the whole together.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, StringConstraints, Tag
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

    is_: Literal["email", "phone", "account_id", "sign_in"] = Described(
        alias="is",
        description="what kind of identity the field holds; `sign_in` is the `sub` of who signs in",
    )
    normalise: Literal["", "lower", "e164"] = Described(
        "",
        description="how the value is normalised for the look-up; the store's index must hold that form",
    )
    verified: bool | None = Described(
        None,
        description="email, phone: whether the company proved it to be the person's when collecting it",
    )
    unique: bool = Described(
        False, description="phone: that no two people share the number; a household's is no identity"
    )
    since: FieldName | None = Described(
        None, description="field with the time since when the person has held it"
    )
    recorded: FieldName | None = Described(None, description="field with the time the value was written down")
    valid: Duration | None = Described(
        None, description="how long after `recorded` the value is still taken to be the same person's"
    )


def _reference(value: Any) -> Any:
    return {"to": value} if isinstance(value, str) else value


class Reference(Strict):
    """A way from one collection to another: the field repeats values of another collection's field."""

    to: str = Described(description="store.collection.field, or collection.field of the same store")
    late: bool = Described(
        False,
        description="followed again once all else is read: for the one reference that closes a circle",
    )


# A bare text is the plain form of a reference, and one alone that of a list.
References = Annotated[
    tuple[Annotated[Reference, BeforeValidator(_reference, json_schema_input_type=str | Reference)], ...],
    BeforeValidator(
        lambda value: value if isinstance(value, (list, tuple)) else [value],
        json_schema_input_type=str | Reference | list[str | Reference],
    ),
]


class MapField(Strict):
    """One field of a collection."""

    category: str = Described(
        pattern=r"^(user|system)(\.[a-z_]+)*$",
        description="a Fideslang data category, such as user.contact.email",
    )
    purpose: Name = Described(description="one of `purposes`")
    identity: IdentityField | None = None
    references: References = Described(
        (), description="store.collection.field whose values this field repeats; one or several"
    )
    second_point: Literal["name", "phone", "reference"] | None = Described(
        None, description="a second matching point for records found only by an unproven or outlived identity"
    )
    proves: Literal["sign_in"] | None = Described(
        None, description="equals the `sub` of who signs in to this account"
    )
    disclose: Annotated[Literal["yes", "review", "never"], BeforeValidator(_yes)] | None = Described(
        None,
        description="whether it goes into a copy; review: a person looks at each value first. Not said, it "
        "goes, but for records that several people share (`subjects: many`): there a person looks",
    )
    free_text: bool | None = Described(
        None,
        description="people write in it what they like: others' addresses and phone numbers are taken out of "
        "a copy, and a person looks where it seems to name somebody; so by itself for user.content",
    )
    reason: str = Described(
        "", description="why the field is never disclosed; required with `disclose: never`"
    )
    provided: bool = Described(False, description="whether the person provided it (GDPR Art. 20)")


class Retention(Strict):
    """How long records are held: `duration` after the time in `from`, or until the account is deleted."""

    duration: Duration | None = None
    from_: FieldName | None = Described(None, alias="from")
    until: Literal["account_deleted"] | None = None


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


def _treatment(value: Any) -> str:
    """Which of the treatments is meant: it is told by its word, whatever else is wrong.

    Tags stand in brackets, as no word of a map does: errors name them on the way to the place.
    """
    said = value if isinstance(value, Mapping) else {}
    return next((f"({word})" for word in ("keep", "mask", "detach") if word in said), "(delete)")


Treatment = Annotated[
    Annotated[Literal["delete"], Tag("(delete)")]
    | Annotated[Keep, Tag("(keep)")]
    | Annotated[Mask, Tag("(mask)")]
    | Annotated[Detach, Tag("(detach)")],
    Discriminator(_treatment),
]


def _listed(value: Any) -> str:
    return "(list)" if isinstance(value, (list, tuple)) else "(none)"


Copies = Annotated[
    Annotated[Literal["none"], Tag("(none)")] | Annotated[list[Copy], Tag("(list)")], Discriminator(_listed)
]


class MapCollection(Strict):
    """What every collection says: a table, a prefix of a bucket, a user pool. Each kind adds its words."""

    title: str = Described(description="what the person reads above these records")
    key: list[FieldName] = Described(min_length=1, description="fields that together name one record")
    subjects: Literal["one", "many"] = Described(
        description="whether a record concerns one person or several"
    )
    basis: Literal[
        "consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interests"
    ] = Described(description="GDPR Art. 6(1)")
    retention: Retention
    on_deletion: Treatment
    copies: Copies
    fields: dict[FieldName, MapField] = Described(min_length=1)
    account: FieldName | None = Described(
        None, description="records are accounts; this field is the account's id"
    )
    freeze: bool = Described(
        False, description="deletion begins with stopping the use of these records, such as sign-ins"
    )
    born: FieldName | None = Described(
        None, description="field with the date of birth (children need a guardian)"
    )
    recipients: list[str] = Described(
        default_factory=list,
        description="who receives these records, as the person reads it (GDPR Art. 15(1)(c)); besides the "
        "`recipient` of the store",
    )
    source: str = Described(
        "", description="where they come from if not from the person, as the person reads it (Art. 15(1)(g))"
    )
    automated: str = Described(
        "",
        description="what a computer decides by them alone, how, and what follows, as the person reads it "
        "(Art. 15(1)(h))",
    )


class MapStore(Strict):
    """What every store says: one database, bucket or pool with one owner. Each kind narrows all three."""

    kind: str
    connection: Strict
    collections: Mapping[Name, MapCollection]

    @property
    def access_role(self) -> str:
        """The role that the workers assume; "" for a kind that needs none."""
        return ""

    @property
    def told(self) -> dict[str, Any]:
        """Who else keeps the store and is told or asked, for kinds where somebody is."""
        return {}


class OwnedStore(MapStore):
    """A store in AWS, reached under the access role of its owner."""

    role: str = Described(
        pattern=r"^arn:", description="the role that the store's owner deployed for this product"
    )

    @property
    def access_role(self) -> str:
        """The role that the workers assume."""
        return self.role


class RegionConnection(Strict):
    """Where the store is: enough for kinds whose collections name the rest."""

    region: str


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


_PART = re.compile(r"(\d+)([YMWD])")
_DAYS = {"Y": 365, "M": 30, "W": 7, "D": 1}


def days(duration: str) -> int:
    """A duration in whole days, a year as 365, a month as 30 (for windows, not for deadlines of law)."""
    date_part = duration[1:].partition("T")[0]
    return sum(int(n) * _DAYS[unit] for n, unit in _PART.findall(date_part))
