"""What the stores hold because of one person: records as they stand there, collected while invented."""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from infra.craftzone import words
from infra.craftzone.pictures import Upload

Record = dict[str, Any]
Collection = tuple[str, str]  # store and collection, by their names in the data map
Records = dict[Collection, list[Record]]

MEMBERS: Collection = ("members", "members")
CONSENTS: Collection = ("trust", "consents")
PERMISSIONS: Collection = ("trust", "permissions")
SCREENING: Collection = ("trust", "screening")
DISCLOSURES: Collection = ("trust", "disclosures")
SIGN_INS: Collection = ("signin", "users")
PICTURES: Collection = ("pictures", "pictures")
ENTRIES: Collection = ("events", "entries")
ARTWORKS: Collection = ("events", "artworks")
REWARDS: Collection = ("events", "rewards")
ORIGINALS: Collection = ("artwork", "originals")
TICKETS: Collection = ("support", "tickets")
MESSAGES: Collection = ("support", "messages")
VISITS: Collection = ("site", "visits")
CONNECTIONS: Collection = ("lake", "connections")
RECENT: Collection = ("lake", "recent")
SUBSCRIPTIONS: Collection = ("mailing", "subscriptions")
PARCELS: Collection = ("courier", "parcels")
COLLECTIONS = (
    MEMBERS, CONSENTS, PERMISSIONS, SCREENING, DISCLOSURES, SIGN_INS, PICTURES,
    ENTRIES, ARTWORKS, REWARDS, ORIGINALS, TICKETS, MESSAGES, VISITS, CONNECTIONS, RECENT,
    SUBSCRIPTIONS, PARCELS,
)  # fmt: skip

# What others hold, each in a file: lists of records by collection, as docs/examples/receiver.py has it.
OTHERS: Mapping[Collection, str] = {SUBSCRIPTIONS: "mailing.json", PARCELS: "courier.json"}
# Older connections lie in the lake's table, by month; the rest in files of the day, as they were logged.
RECENT_DAYS = 3
# Numbers of SQL rows start at a person's own block: their records do not depend on how many others there are.
ROWS_PER_PERSON = 100_000


def stamp(moment: datetime) -> str:
    """The form in which CraftZone's DynamoDB tables hold a moment (UTC)."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def token(*parts: object, length: int = 12) -> str:
    """Letters and digits that depend on the parts only."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=20).digest()
    return base64.b32encode(digest).decode().lower()[:length]


@dataclass(frozen=True, slots=True)
class Person:
    """Someone invented. `key` is the member's id or, for a guest, an id that is in no store."""

    key: str
    index: int
    persona: str | None
    name: str
    nickname: str
    email: str
    phone: str
    address: tuple[str, ...]
    country: str
    born: str
    member: bool
    joined: datetime  # also when the email was verified
    sub: str  # stands in for the id that Cognito gives when the person is loaded

    @property
    def member_id(self) -> str | None:
        """The key in `members`, or None for a guest."""
        return self.key if self.member else None


@dataclass(slots=True)
class Holdings:
    """Collects the records that exist because of `person`, whomever they concern by the map's rules."""

    person: Person
    rng: Random
    seed: int
    now: datetime
    cast: Mapping[str, Person]  # the personas by name, for those whose records mention another
    couriered: bool = True  # rewards go by courier
    records: Records = field(default_factory=lambda: defaultdict(list))
    uploads: list[Upload] = field(default_factory=list)
    ips: list[str] = field(default_factory=list)

    def _number(self, collection: Collection) -> int:
        return (self.person.index + 1) * ROWS_PER_PERSON + len(self.records[collection]) + 1

    def _uuid(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128), version=4)

    def ago(self, least: float, most: float) -> datetime:
        """A whole second between `most` and `least` days before now."""
        return self.now - timedelta(seconds=self.rng.randrange(int(least * 86_400), int(most * 86_400) + 1))

    def since_joined(self, within: float, least: float = 1.0) -> datetime:
        """A whole second within the last `within` days, a day after the person joined at the earliest."""
        age = (self.now - self.person.joined).total_seconds() / 86_400 - 1
        latest = min(least, age)
        return self.ago(latest, max(latest, min(within, age)))

    def _unused(self, collection: Collection, attribute: str, moment: datetime) -> str:
        """A sort key for a new item: a second later where it is taken, as equal keys overwrite each other."""
        while any(item[attribute] == stamp(moment) for item in self.records[collection]):
            moment += timedelta(seconds=1)
        return stamp(moment)

    def member(self, federated: bool = False, nickname: str | None = None) -> None:
        """The account: the member's record and the sign-in."""
        person = self.person
        record: Record = {
            "member_id": person.key,
            "nickname": nickname or person.nickname,
            "email": person.email,
            "email_lower": person.email.lower(),
            "email_verified_at": stamp(person.joined),
            "country": person.country,
            "birth_date": person.born,
            "sign_in_sub": person.sub,
            "created_at": stamp(person.joined - timedelta(minutes=7)),
        }
        sign_in: Record = {
            "sub": person.sub,
            "username": person.key,
            "email": person.email,
            "email_verified": "true",
        }
        if federated:
            subject_id = "".join(self.rng.choices("0123456789", k=21))
            secret = "1//0" + token(self.seed, person.index, "refresh", length=30)
            record["federated"] = {"provider": "Google", "subject_id": subject_id, "refresh_token": secret}
            sign_in["identities"] = [{"userId": subject_id, "providerName": "Google", "primary": False}]
        self.records[MEMBERS].append(record)
        self.records[SIGN_INS].append(sign_in)

    def consent(self, number: int, withdrawn: bool = False) -> None:
        """One consent, by its place in the list of the site's wordings; its withdrawal is added to it."""
        purpose, wording = words.CONSENTS[number]
        given = self.since_joined(900, least=20)
        said = [("given", given)]
        if withdrawn:
            said.append(("withdrawn", given + timedelta(days=9, hours=5)))
        elif purpose == "newsletter":
            self._subscribe(given)
        for word, moment in said:
            at = self._unused(CONSENTS, "at", moment)
            self.records[CONSENTS].append(
                {
                    "member_id": self.person.key,
                    "at": at,
                    "day": at[:10],
                    "said": word,
                    "purpose": purpose,
                    "wording": wording,
                }
            )

    def _subscribe(self, since: datetime) -> None:
        """What the mailing provider holds: it knows the member by a number of its own."""
        subscriber = f"lb-{token(self.seed, self.person.index, 'mailing', length=10)}"
        self.records[MEMBERS][0]["mailing_id"] = subscriber
        for number, topic in enumerate(words.NEWSLETTERS[: 1 + self.person.index % 2]):
            self.records[SUBSCRIPTIONS].append(
                {
                    "subscription_id": f"{subscriber}-{number}",
                    "subscriber": subscriber,
                    "topic": topic,
                    "address": self.person.email,
                    "since": stamp(since),
                }
            )

    def permission(self) -> None:
        """Storage access that a device granted or refused."""
        device = self.rng.choice(words.DEVICES)["model"]
        changed = stamp(self.since_joined(700))
        record = {
            "member_id": self.person.key,
            "device_at": f"{device}#{changed}",
            "device": device,
            "storage_access": self.rng.choice(("granted", "refused")),
            "changed_at": changed,
        }
        if all(item["device_at"] != record["device_at"] for item in self.records[PERMISSIONS]):
            self.records[PERMISSIONS].append(record)

    def screening(self) -> None:
        """A signal of the security screening."""
        at = self._unused(SCREENING, "at", self.since_joined(85))
        self.records[SCREENING].append(
            {
                "member_id": self.person.key,
                "at": at,
                "day": at[:10],
                "signal": self.rng.choice(words.SIGNALS),
                "score": Decimal(self.rng.randrange(1, 1000)) / 1000,
                "action": self.rng.choice(words.ACTIONS),
            }
        )

    def disclosure(self) -> None:
        """A courier was given the address."""
        self.records[DISCLOSURES].append(
            {
                "member_id": self.person.key,
                "at": self._unused(DISCLOSURES, "at", self.since_joined(700)),
                "recipient": words.COURIER,
                "what": "name, mailing address",
                "why": "to deliver a reward",
            }
        )

    def picture(self, side: int = 24) -> None:
        """The profile picture and its two thumbnails."""
        for file, size in (("profile", side), ("thumb-256", max(16, side // 2)), ("thumb-64", 16)):
            self._store_object(PICTURES, f"pictures/{self.person.key}/{file}.png", size)
        self.records[MEMBERS][0]["picture_key"] = f"pictures/{self.person.key}/profile.png"

    def _store_object(self, collection: Collection, key: str, side: int) -> None:
        upload = Upload(collection[0], key, self.seed, side)
        content = upload.content()
        record: Record = {
            "object_key": key,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        if collection == PICTURES:
            record["member_id"] = self.person.key
        self.uploads.append(upload)
        self.records[collection].append(record)

    def entry(self, at: datetime | None = None, **differs: Any) -> UUID:
        """An entry in an event as this person fills it in; `differs` replaces fields. Returns its id."""
        person = self.person
        entry_id = self._uuid()
        entered = at or self.since_joined(1500)
        number = len(self.records[ENTRIES])
        self.records[ENTRIES].append({
            "entry_id": entry_id,
            "event": f"{self.rng.choice(words.EVENTS)} {entered.year}",
            "member_id": person.member_id,
            "name": person.name,
            "contact_number": person.phone,
            "contract_number": f"CZ-{entered.year}-{person.index:06d}-{number:02d}",
            "email": person.email,
            "mailing_address": list(person.address),
            "entered_at": entered,
        } | differs)  # fmt: skip
        return entry_id

    def artwork(
        self,
        entry_id: UUID,
        *,
        key: str | None = "",
        title: str | None = None,
        side: int = 40,
        stored: bool = True,
    ) -> None:
        """Artwork of an entry, and its original: none if `key` is None, gone if `stored` is False."""
        number = len(self.records[ARTWORKS])
        name = title or f"{self.rng.choice(words.SUBJECTS)} in {self.rng.choice(words.MATERIALS)}"
        if key == "":
            key = f"artwork/{self.person.key}/{number:03d}-{name.replace(' ', '-')}.png"
        self.records[ARTWORKS].append(
            {
                "artwork_id": self._number(ARTWORKS),
                "entry_id": entry_id,
                "title": name,
                "object_key": key,
                "posted_at": self._entry(entry_id)["entered_at"] + timedelta(hours=2, minutes=number),
            }
        )
        if key is not None and stored and all(item["object_key"] != key for item in self.records[ORIGINALS]):
            self._store_object(ORIGINALS, key, side)

    def _entry(self, entry_id: UUID) -> Record:
        return next(entry for entry in self.records[ENTRIES] if entry["entry_id"] == entry_id)

    def reward(self, entry_id: UUID, always: bool = False) -> None:
        """A reward for an entry: sent by courier, `always` or mostly, or handed over at the event."""
        number = self._number(REWARDS)
        by_courier = always or (self.rng.random() < 0.8 and self.couriered)
        sent_at = self._entry(entry_id)["entered_at"] + timedelta(hours=20)
        tracking_number = f"TRK{token(self.seed, number).upper()}" if by_courier else None
        self.records[REWARDS].append(
            {
                "reward_id": f"R-{number:012d}",
                "entry_id": entry_id,
                "reward": self.rng.choice(words.REWARDS),
                "value": Decimal(self.rng.randrange(500, 25_000)).scaleb(-2),
                "courier": words.COURIER if by_courier else None,
                "tracking_number": tracking_number,
                "sent_at": sent_at,
            }
        )
        if tracking_number:
            self.records[PARCELS].append(
                {
                    "tracking_number": tracking_number,
                    "sent_to": ", ".join(self.person.address),
                    "delivered_at": stamp(sent_at + timedelta(days=3)),
                    "signed_by": self.person.name,
                }
            )

    def ticket(self, at: datetime | None = None, **differs: Any) -> int:
        """A conversation that this person opened with support. Returns its id."""
        ticket_id = self._number(TICKETS)
        self.records[TICKETS].append({
            "ticket_id": ticket_id,
            "opened_by": self.person.email,
            "opened_phone": self.person.phone,
            "topic": self.rng.choice(words.TOPICS),
            "opened_at": at or self._clear_of_a_year(self.since_joined(690)),
        } | differs)  # fmt: skip
        return ticket_id

    def _clear_of_a_year(self, moment: datetime) -> datetime:
        # Addresses in support messages count for a year. No record lies so close to that line that the hour
        # at which someone asks decides.
        days = (self.now - moment).days
        return moment + timedelta(days=40) if 355 <= days <= 385 else moment

    def message(self, ticket_id: int, at: datetime, body: str | None = None, **differs: Any) -> None:
        """A message by this person in a conversation, their own or another's."""
        self.records[MESSAGES].append({
            "message_id": self._uuid(),
            "ticket_id": ticket_id,
            "author_email": self.person.email,
            "author_phone": self.person.phone if self.rng.random() < 0.5 else None,
            "body": body or self.rng.choice(words.QUESTIONS),
            "written_at": at,
        } | differs)  # fmt: skip

    def conversation(self, messages: int, at: datetime | None = None, **differs: Any) -> int:
        """A ticket with messages by this person, an hour apart, and the staff's answer. Returns its id."""
        ticket_id = self.ticket(at, **differs)
        opened = self.records[TICKETS][-1]["opened_at"]
        author = {"author_email": differs["opened_by"]} if "opened_by" in differs else {}
        phone = {"author_phone": differs["opened_phone"]} if "opened_phone" in differs else {}
        for number in range(messages):
            self.message(ticket_id, opened + timedelta(hours=number), **author, **phone)
        answer = "Thank you for writing, we are looking into it."
        self.message(
            ticket_id, opened + timedelta(minutes=30), body=answer, author_email=None, author_phone=None
        )
        return ticket_id

    def connections(self, rows: int) -> None:
        """Connections within the last 180 days, the oldest first, from a few addresses and devices.

        At least one of the last days.
        """
        if not self.ips:
            self.ips = [words.ip_address(self.rng) for _ in range(1 + min(rows // 8, 40))]
        age = (self.now - self.person.joined).total_seconds() - 86_400
        span = int(min(178 * 86_400.0, max(age, 3600.0)))
        devices = self.rng.sample(words.DEVICES, k=2)
        logged = self.records[CONNECTIONS], self.records[RECENT]
        first = (self.person.index + 1) * ROWS_PER_PERSON + sum(map(len, logged)) + 1
        moments = sorted(self.rng.randrange(span) for _ in range(max(0, rows - 1)))
        moments += [span - self.rng.randrange(1, 3600)] if rows else []
        for number, second in enumerate(moments):
            at = self.now - timedelta(seconds=span - second)
            record: Record = {
                "connection_id": first + number,
                "member_id": self.person.key,
                "at": at,
                "ip": self.rng.choice(self.ips),
                "mobile_network": self.rng.choice(words.CARRIERS) if self.rng.random() < 0.4 else None,
                "device": self.rng.choice(devices),
            }
            if at >= self.now - timedelta(days=RECENT_DAYS):
                self.records[RECENT].append(record | {"at": stamp(at)})
            else:
                self.records[CONNECTIONS].append(record)

    def visits(self, rows: int) -> None:
        """Page views within the last 90 days."""
        rng = Random(f"{self.seed}/visits/{self.person.index}")  # of their own: all else stays as it was
        age = (self.now - self.person.joined).total_seconds() - 86_400
        span = int(min(90 * 86_400.0, max(age, 3600.0)))
        first = (self.person.index + 1) * ROWS_PER_PERSON + 1
        for number, second in enumerate(sorted((rng.randrange(span) for _ in range(rows)), reverse=True)):
            self.records[VISITS].append(
                {
                    "visit_id": first + number,
                    "member_id": self.person.key,
                    "at": self.now - timedelta(seconds=second),
                    "page": rng.choice(words.PAGES),
                    "device": rng.choice(words.DEVICES),
                }
            )


def merged(records: Mapping[Collection, list[Record]]) -> Records:
    """The same records without the collections that hold none."""
    return {collection: list(held) for collection, held in records.items() if held}
