"""The people of CraftZone: a seeded generator of a community and of the truth about it, without AWS.

Nothing is kept in memory but the seed: each person's records are made when asked for, from the seed and the
person's place alone, so the personas are the same people however large the community is, and 20,000 people
stream as well as 20.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from infra.craftzone import personas, truth, words
from infra.craftzone.holdings import (
    ARTWORKS,
    CONNECTIONS,
    ENTRIES,
    MEMBERS,
    MESSAGES,
    ORIGINALS,
    PICTURES,
    RECENT,
    REWARDS,
    SIGN_INS,
    TICKETS,
    Collection,
    Holdings,
    Person,
    Record,
    Records,
    token,
)
from infra.craftzone.pictures import BIG_ARTWORK_BYTES, big_artwork_sha256

__all__ = ["Community", "generate"]

LEAST_BYTES_OF_A_VALUE = 5  # in UTF-8; shorter ones are found in any log by chance


def generate(
    people: int = 2000, seed: int = 1, now: datetime | None = None, *, couriered: bool = True
) -> "Community":
    """A community of `people` in all, the personas included, so never fewer than there are personas.

    All dates count back from `now`, an aware moment; by default today's midnight in UTC, so that the sample
    does not age. Not
    `couriered`: only the persona `rewarded` had rewards by courier, so nobody else waits for what it answers.
    """
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Community(people, seed, now or midnight, couriered=couriered)


class Community:
    """Invented people, the records that stores hold because of them, and what each is to be answered.

    A person is named by their key (`Person.key`) or, for the personas, by the persona's name. `personas` maps
    names to keys.
    """

    def __init__(
        self, people: int, seed: int, now: datetime, *, big_artwork: bool = False, couriered: bool = True
    ) -> None:
        if now.tzinfo is None:
            raise ValueError("now must be an aware datetime, such as datetime.now(UTC)")
        self.people = max(people, len(personas.PERSONAS))
        self.seed = seed
        self.now = now.replace(microsecond=0)
        self.big_artwork = big_artwork
        self.couriered = couriered
        self._sign_ins: dict[str, Record] = {}
        self._cast = {name: self._person(index) for index, name in enumerate(personas.PERSONAS)}
        self.personas = {name: person.key for name, person in self._cast.items()}
        self._index_of_key: dict[str, int] = {}
        self._owners_of_address: dict[str, set[int]] = {}

    def with_big_artwork(self) -> "Community":
        """The same community, in which the persona `big_artwork` has posted the 300 MB original."""
        other = Community(self.people, self.seed, self.now, big_artwork=True, couriered=self.couriered)
        other._sign_ins = self._sign_ins
        return other

    def __len__(self) -> int:
        return self.people

    def everyone(self) -> Iterator[Person]:
        """All people, the personas first."""
        return (self._person(index) for index in range(self.people))

    def person(self, who: str) -> Person:
        """The person of that key or persona's name; KeyError for anyone else."""
        return self._person(self._index(who))

    def holdings(self, who: str) -> Holdings:
        """What exists because of this person, also what concerns another by the map's rules."""
        return self._holdings(self._index(who))

    def chunks(self, size: int = 500) -> Iterator[list[Holdings]]:
        """Everyone's holdings, in lists of `size` people; a record never refers to one of a later list."""
        size = max(size, len(self._cast))
        for start in range(0, self.people, size):
            yield [self._holdings(index) for index in range(start, min(start + size, self.people))]

    def records(self, collection: Collection) -> Iterator[Record]:
        """All records of a collection, as the store holds them."""
        for index in range(self.people):
            yield from self._holdings(index).records.get(collection, ())

    def learn_sign_ins(self, users: Mapping[str, Record]) -> None:
        """Take over what only Cognito knows (sub, status, times), by username; see `load.sign_ins`."""
        self._sign_ins = {username: dict(user) for username, user in users.items()}

    def records_of(
        self, who: str, *, also_proven: Iterable[str] = (), typed: Mapping[str, str] | None = None
    ) -> Records:
        """What this person's access request must hold once they proved their mailbox and signed in.

        Values are as the stores hold them (datetime, Decimal, UUID, lists), without what the map never
        discloses; objects in S3 have `object_key`, `size` and `sha256`. `also_proven` are further addresses
        they proved, `typed` the second points they typed, by kind (name, phone, reference). What Cognito adds
        to the sign-in is known after `learn_sign_ins`.
        """
        return self._findings(who, also_proven, typed).sound

    def doubtful_of(
        self, who: str, *, also_proven: Iterable[str] = (), typed: Mapping[str, str] | None = None
    ) -> Records:
        """Records that match only by an unverified or outlived address: someone must decide first."""
        return self._findings(who, also_proven, typed).doubtful

    def personal_values_of(self, who: str) -> set[str]:
        """Values that identify this person, long enough to look for in logs, where case may differ."""
        holdings = self.holdings(who)
        person, records = holdings.person, holdings.records
        values = {
            person.name,
            person.email,
            person.email.lower(),
            person.phone,
            person.phone.lstrip("+"),
            person.address[0],
        }
        if person.member:
            values.add(person.key)
        for member in records.get(MEMBERS, ()):
            values |= {member["nickname"], member["email"], member["birth_date"], member["sign_in_sub"]}
            values.add(member.get("mailing_id", ""))
            values |= {member.get("federated", {}).get(name, "") for name in ("subject_id", "refresh_token")}
        for entry in self._own(records.get(ENTRIES, ()), "email", person):
            values |= {
                entry["email"],
                entry["name"],
                entry["contact_number"] or "",
                entry["contract_number"] or "",
            }
            values.add(entry["mailing_address"][0])
        for ticket in records.get(TICKETS, ()):
            values |= {ticket["opened_by"], ticket["opened_phone"] or ""}
        for message in records.get(MESSAGES, ()):
            values |= {message["author_email"] or "", message["author_phone"] or ""}
        values |= {r["ip"] for kind in (CONNECTIONS, RECENT) for r in records.get(kind, ())}
        values |= {reward["tracking_number"] or "" for reward in records.get(REWARDS, ())}
        values |= {
            item["object_key"] or ""
            for kind in (PICTURES, ARTWORKS, ORIGINALS)
            for item in records.get(kind, ())
        }
        return {value for value in values if len(value.encode()) >= LEAST_BYTES_OF_A_VALUE}

    def _own(self, entries: Iterable[Record], name: str, person: Person) -> Iterator[Record]:
        # An address that the person mistyped identifies somebody else.
        others = {other.email for other in self._cast.values() if other.key != person.key}
        return (entry if entry[name] not in others else entry | {name: ""} for entry in entries)

    def _findings(
        self, who: str, also_proven: Iterable[str], typed: Mapping[str, str] | None
    ) -> truth.Findings:
        person = self.person(who)
        addresses = {person.email, *also_proven}
        held: dict[Collection, list[Record]] = {}
        for index in sorted({person.index, *self._owners(addresses)}):
            for collection, records in self._holdings(index).records.items():
                held.setdefault(collection, []).extend(records)
        return truth.findings(held, addresses, typed or {}, self.now)

    def _owners(self, addresses: Iterable[str]) -> set[int]:
        if not self._owners_of_address:
            for index in range(self.people):
                # Of those who are no personas, each writes only their own address: see _invented.
                every = {truth.folded(self._person(index).email)}
                if index < len(self._cast):
                    every = addresses_in(self._holdings(index).records)
                for address in every:
                    self._owners_of_address.setdefault(address, set()).add(index)
        return {
            index for address in addresses for index in self._owners_of_address.get(truth.folded(address), ())
        }

    def _index(self, who: str) -> int:
        if who in self._cast:
            return self._cast[who].index
        if not self._index_of_key:
            self._index_of_key = {person.key: person.index for person in self.everyone()}
        return self._index_of_key[who]

    def _person(self, index: int) -> Person:
        rng = Random(f"{self.seed}/person/{index}")
        given, family = rng.choice(words.GIVEN), rng.choice(words.FAMILY)
        country = rng.choice(words.COUNTRIES)
        local = f"{given}.{family}".lower().encode("ascii", "ignore").decode()
        persona = personas.PERSONAS[index] if index < len(personas.PERSONAS) else None
        member = rng.random() < 0.92
        person = Person(
            key=("m-" if member or persona else "g-") + token(self.seed, "key", index),
            index=index,
            persona=persona,
            name=f"{given} {family}",
            nickname=f"{rng.choice(words.MATERIALS)}_{rng.choice(words.SUBJECTS).split()[0]}_{index:05d}",
            email=f"{local}.{index:05d}@{rng.choice(words.DOMAINS)}",
            phone=words.phone(rng),
            address=tuple(words.mailing_address(rng, country)),
            country=country,
            born=(self.now - timedelta(days=rng.randrange(19 * 365, 70 * 365))).date().isoformat(),
            member=member or persona is not None,
            joined=self.now - timedelta(days=rng.randrange(20, 2000), seconds=rng.randrange(86_400)),
            sub=str(UUID(int=rng.getrandbits(128), version=4)),
        )
        return personas.disguised(person, self.now) if persona else person

    def _holdings(self, index: int) -> Holdings:
        person = self._person(index)
        rng = Random(f"{self.seed}/records/{index}")
        holdings = Holdings(person, rng, self.seed, self.now, self._cast, self.couriered)
        if person.persona:
            personas.play(holdings)
            if self.big_artwork and person.persona == "big_artwork":
                self._add_big_artwork(holdings)
        else:
            _invented(holdings)
        if holdings.records.get(SIGN_INS):
            known = self._sign_ins.get(person.key)
            if known:
                holdings.records[SIGN_INS] = [dict(known)]
            holdings.records[MEMBERS][0]["sign_in_sub"] = holdings.records[SIGN_INS][0]["sub"]
        return holdings

    def _add_big_artwork(self, holdings: Holdings) -> None:
        key = personas.big_artwork_key(holdings.person)
        entry_id = holdings.records[ENTRIES][0]["entry_id"]
        holdings.artwork(entry_id, key=key, title="panorama of the whole fair", stored=False)
        digest = big_artwork_sha256(self.seed)
        holdings.records[ORIGINALS].append({"object_key": key, "size": BIG_ARTWORK_BYTES, "sha256": digest})


def addresses_in(records: Mapping[Collection, Iterable[Record]]) -> set[str]:
    """All mail addresses, folded, in the fields by which the map matches people."""
    return {
        truth.folded(record[identity.address])
        for collection, identity in truth.IDENTITIES.items()
        for record in records.get(collection, ())
        if record[identity.address] is not None
    }


def _invented(holdings: Holdings) -> None:
    """Records of someone who is no persona: they write only their own address, as Community._owners knows."""
    person, rng = holdings.person, holdings.rng
    chance = rng.random
    if person.member:
        holdings.member(federated=chance() < 0.05)
        for number in rng.sample(range(len(words.CONSENTS)), k=rng.choice((0, 1, 1, 2, 3))):
            holdings.consent(number, withdrawn=chance() < 0.2)
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            holdings.permission()
        for _ in range(rng.choice((0, 0, 0, 0, 1, 2))):
            holdings.screening()
        if chance() < 0.06:
            holdings.picture()
        holdings.connections(min(int(rng.expovariate(1 / 10)), 80))
        holdings.visits(1 + len(holdings.records[CONNECTIONS]) // 2)
    entries = rng.choice((0, 0, 0, 1, 1, 2)) if person.member else rng.choice((0, 1))
    for _ in range(entries):
        entry_id = holdings.entry()
        for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 1, 2))):
            unfinished = chance() < 0.1
            holdings.artwork(entry_id, key=None if unfinished else "")
        if chance() < 0.25:
            holdings.reward(entry_id)
            if person.member:
                holdings.disclosure()
    tickets = rng.choice((0, 0, 0, 0, 1, 2)) if person.member else 1 - min(entries, 1)
    for _ in range(tickets):
        holdings.conversation(messages=rng.randrange(1, 5))
