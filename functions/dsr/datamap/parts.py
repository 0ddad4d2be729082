"""What every data map is made of, whatever its kinds of stores: strict, so that a misspelt word is an error.

`kinds` adds what each kind of store needs besides, `schema` puts the whole together.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    StringConstraints,
    Tag,
)
from pydantic import Field as Described

NAME = r"^[a-z][a-z0-9_]*$"
FIELD_NAME = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
DURATION = r"^P((\d+[YMWD])+(T(\d+[HM])+)?|T(\d+[HM])+)$"
CATEGORY = r"^(user|system)(\.[a-z_]+)*$"
ROLE = r"^arn:"

Name = Annotated[str, StringConstraints(pattern=NAME, max_length=60)]
FieldName = Annotated[str, StringConstraints(pattern=FIELD_NAME)]
Duration = Annotated[str, StringConstraints(pattern=DURATION)]
Day = date  # where a field is called `date`


def _yes(value: Any) -> Any:
    return "yes" if value is True else value  # what YAML makes of a bare yes


def _null(value: Any) -> Any:
    return "null" if value is None else value  # what YAML makes of a bare null


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
        description="how the value is normalised for the look-up; the store's index must hold that form "
        "(of a phone +, calling code and number)",
    )
    verified: bool | None = Described(
        None,
        description="email, phone: whether the company proved it to be the person's when collecting it",
    )
    unique: bool = Described(
        False, description="phone, needed there: no two people share the number; a household's is no identity"
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


_LOCAL = ("127.0.0.1", "localhost")


def safe_url(url: str) -> str:
    """The address, if it may be called. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise ValueError("must begin with https://")
    if parts.username or parts.password or parts.fragment or not parts.hostname:
        raise ValueError("needs a host, and neither a user, a password nor a fragment")
    return url


class MapField(Strict):
    """One field of a collection."""

    category: str = Described(
        pattern=CATEGORY,
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
    source: Name | None = Described(
        None, description="where it comes from, if not from where the collection's records do"
    )
    revoke: Annotated[str, AfterValidator(safe_url)] | None = Described(
        None,
        description="of a token of a sign-in with somebody else: where it is revoked when deletion begins, "
        "by RFC 7009",
    )


class Retention(Strict):
    """How long records are held: `duration` after the time in `from`, or until the account is deleted."""

    duration: Duration | None = None
    from_: FieldName | None = Described(None, alias="from")
    until: Literal["account_deleted"] | None = None


class Until(Strict):
    """When something kept may go: `duration` after the time in the field `from`, or after a `date`."""

    duration: Duration | None = None
    from_: FieldName | None = Described(None, alias="from")
    date: Day | None = Described(None, description="the last day on which it is kept")


class Keep(Strict):
    """The records stay on deletion, for a legal reason, until an end."""

    keep: str = Described(description="the reason, as the person will read it")
    law: str
    until: Until


class Constant(Strict):
    """Every value becomes this one."""

    constant: str = Described(min_length=1)


class Truncate(Strict):
    """Of a time or an address only the coarse part is left."""

    truncate: Literal["year", "month", "day", "hour", "ip"] = Described(
        description="of a date what is left; of an IP address its network: /24, IPv6 /48"
    )


class Bands(Strict):
    """A number becomes the band it lies in, such as 30-39."""

    band: int = Described(gt=0, description="how wide a band is")


class Groups(Strict):
    """A value becomes the group it belongs to."""

    to: dict[str, str] = Described(min_length=1, description="value → group")
    otherwise: str = Described(description="of all other values")


def _generalising(value: Any) -> str:
    said = value if isinstance(value, Mapping) else vars(value) if isinstance(value, Strict) else {}
    return "(band)" if "band" in said else "(to)"


class Generalise(Strict):
    """Every value becomes one that many people share."""

    generalise: Annotated[
        Annotated[Bands, Tag("(band)")] | Annotated[Groups, Tag("(to)")], Discriminator(_generalising)
    ]


_FORMS: dict[str, type[Strict]] = {"constant": Constant, "truncate": Truncate, "generalise": Generalise}


def _masking(value: Any) -> str:
    """Which form of a field's treatment is meant."""
    said = value if isinstance(value, Mapping) else vars(value) if isinstance(value, Strict) else {}
    return next((f"({word})" for word in _FORMS if word in said), "(word)")


Masking = Annotated[
    Annotated[Literal["null", "redacted", "keyed_hash"], BeforeValidator(_null), Tag("(word)")]
    | Annotated[Constant, Tag("(constant)")]
    | Annotated[Truncate, Tag("(truncate)")]
    | Annotated[Generalise, Tag("(generalise)")],
    Discriminator(_masking),
]


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
    lag: Duration | None = Described(None, description="how long until a deletion has reached the copy")
    expires: Duration | None = Described(
        None, description="how long the copy may hold what is deleted, until it is gone by itself"
    )


# Where data comes from if it does not come from somebody else: as the person reads it.
SOURCES = {
    "person": "You gave it to us.",
    "use": "It came about while you used what we offer.",
    "us": "We made it ourselves: numbers, times, decisions.",
}


class SharedWith(Strict):
    """Somebody who receives data, as the person reads it."""

    name: str
    role: Literal["processor", "controller", "authority", "public"] = Described(
        description="processor: works with it for you; controller: answers for it themselves; public: "
        "whoever looks at it"
    )
    country: str | None = Described(None, description="where they are, if outside the EEA")
    safeguard: str | None = Described(
        None, description="what protects the data there, such as standard contractual clauses (GDPR Art. 46)"
    )
    consent: bool = Described(False, description="whether they receive it only of people who agreed to that")


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


class Restrict(Strict):
    """Fields that say, while a deletion waits to begin, that the record is only to be stored."""

    set_: dict[FieldName, str] = Described(
        alias="set", min_length=1, description="field → what it says from the confirmation on"
    )
    lift: dict[FieldName, str] = Described(
        default_factory=dict,
        description="field → what it says again once the deletion is cancelled; not named, it is emptied",
    )


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
    restrict: Restrict | None = Described(
        None, description="how processing is restricted while a deletion cools off, such as mails and writes"
    )
    born: FieldName | None = Described(
        None, description="field with the date of birth (children need a guardian)"
    )
    recipients: list[Name] = Described(
        default_factory=list,
        description="who receives these records: words of `recipients`, besides the `recipient` of the store",
    )
    source: Name = Described(
        "use",
        description="where what is not `provided` comes from: use, us, person, or one of `sources`",
    )
    automated: str = Described(
        "",
        description="what a computer decides by them alone, how, and what follows, as the person reads it "
        "(Art. 15(1)(h))",
    )
    may_be_held: bool = Described(
        True, description="whether a legal hold can be placed on these records, which then must not go"
    )
    expires_by: Literal["ttl", "lifecycle"] | None = Described(
        None,
        description="what of the store's own deletes records when their time is over",
    )

    @property
    def begins(self) -> str:
        """The field of another collection that says since when a person has records here; "": none does."""
        return ""


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
        pattern=ROLE, description="the role that the store's owner deployed for this product"
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


class NoticeTexts(Strict):
    """What the privacy notice says besides what the map holds."""

    published: str | None = Described(
        None,
        description="a file beside the map: the purposes and recipients that the published notice names, "
        "written by `dsr notice --publish`; the check fails on others",
    )
    officer: str | None = Described(None, description="how to reach the data protection officer, if any")
    address: str | None = Described(None, description="the controller's postal address")
    promises: list[str] = Described(
        default_factory=list, description="sentences of your own, such as that nothing is sold"
    )
    children: str | None = Described(None, description="what holds for people under age")


class Controller(Strict):
    """Who answers for the data."""

    name: str
    contact: str
    complaint: str
