"""The sample: the same people every time, each persona with the trap it stands for, a truth by the map."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.craftzone import load, personas, truth
from infra.craftzone.holdings import (
    ARTWORKS,
    COLLECTIONS,
    CONNECTIONS,
    CONSENTS,
    DISCLOSURES,
    ENTRIES,
    MEMBERS,
    MESSAGES,
    ORIGINALS,
    PARCELS,
    PERMISSIONS,
    PICTURES,
    RECENT,
    REWARDS,
    SCREENING,
    SIGN_INS,
    SUBSCRIPTIONS,
    TICKETS,
    VISITS,
    Collection,
    Record,
    Records,
)
from infra.craftzone.people import Community, addresses_in, generate
from infra.craftzone.pictures import BIG_ARTWORK_BYTES, Upload, big_artwork_parts

CRAFTZONE = Path(load.__file__).parent
NOW = datetime(2027, 3, 9, tzinfo=UTC)
PEOPLE = 160
KEYS: dict[Collection, tuple[str, ...]] = {
    MEMBERS: ("member_id",),
    CONSENTS: ("member_id", "at"),
    PERMISSIONS: ("member_id", "device_at"),
    SCREENING: ("member_id", "at"),
    DISCLOSURES: ("member_id", "at"),
    SIGN_INS: ("sub",),
    PICTURES: ("object_key",),
    ORIGINALS: ("object_key",),
    ENTRIES: ("entry_id",),
    ARTWORKS: ("artwork_id",),
    REWARDS: ("reward_id",),
    TICKETS: ("ticket_id",),
    MESSAGES: ("message_id",),
    CONNECTIONS: ("connection_id",),
    VISITS: ("visit_id",),
    RECENT: ("connection_id",),
    SUBSCRIPTIONS: ("subscription_id",),
    PARCELS: ("tracking_number",),
}
# What CraftZone's own metadata in Cognito adds once a user exists, and what stands for an object's bytes.
LEARNED = {"status", "enabled", "created_at", "updated_at", "identities"}


@pytest.fixture(scope="module")
def community() -> Community:
    return generate(PEOPLE, seed=7, now=NOW)


@pytest.fixture(scope="module")
def everything_held(community: Community) -> dict[Collection, list[Record]]:
    held: dict[Collection, list[Record]] = {collection: [] for collection in COLLECTIONS}
    for people in community.chunks():
        for person in people:
            for collection, records in person.records.items():
                held[collection] += records
    return held


@pytest.fixture(scope="module")
def datamap() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CRAFTZONE / "datamap.yaml").read_text(encoding="utf-8"))
    return loaded


def collections_of(datamap: dict[str, Any]) -> dict[Collection, dict[str, Any]]:
    return {
        (store, name): collection
        for store, described in datamap["stores"].items()
        for name, collection in described["collections"].items()
    }


def counts(records: Records) -> dict[str, int]:
    return {collection: len(held) for (_, collection), held in records.items()}


def keys(records: Records) -> set[tuple[Any, ...]]:
    return {
        (collection, *(record[name] for name in KEYS[collection]))
        for collection, held in records.items()
        for record in held
    }


# --- the same people every time


def test_same_seed_same_community(community: Community) -> None:
    again = generate(PEOPLE, seed=7, now=NOW)
    for first, second in zip(community.everyone(), again.everyone(), strict=True):
        assert first == second
        if first.persona != "many_logs":
            assert community.holdings(first.key).records == again.holdings(first.key).records


def test_other_seed_other_people(community: Community) -> None:
    other = generate(PEOPLE, seed=8, now=NOW)
    assert not {person.key for person in community.everyone()} & {person.key for person in other.everyone()}
    assert community.personas.keys() == other.personas.keys()


def test_personas_are_the_same_in_a_larger_community(community: Community) -> None:
    larger = generate(10 * PEOPLE, seed=7, now=NOW)
    assert larger.personas == community.personas
    for name in ("everything", "recycled_mailbox", "mistyped_victim", "no_account"):
        assert larger.records_of(name) == community.records_of(name)
        assert larger.doubtful_of(name) == community.doubtful_of(name)


def test_dates_count_back_from_now(community: Community) -> None:
    later = generate(PEOPLE, seed=7, now=NOW + timedelta(days=30))
    (before,), (after,) = (each.records_of("child")[ENTRIES] for each in (community, later))
    assert after["entered_at"] - before["entered_at"] == timedelta(days=30)


def test_now_must_be_aware() -> None:
    with pytest.raises(ValueError, match="aware"):
        generate(1, now=datetime(2027, 3, 9))  # noqa: DTZ001


def test_there_are_never_fewer_people_than_personas() -> None:
    assert len(generate(1, now=NOW)) == len(personas.PERSONAS)
    assert len(generate(200, now=NOW)) == 200


def test_chunks_hold_everyone_once(community: Community) -> None:
    held = [person.person.key for people in community.chunks(50) for person in people]
    assert held == [person.key for person in community.everyone()]
    assert len(set(held)) == PEOPLE


# --- invented, and known to be


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def test_all_addresses_are_under_reserved_domains(everything_held: dict[Collection, list[Record]]) -> None:
    for records in everything_held.values():
        for record in records:
            for text in strings(record):
                for domain in re.findall(r"@([\w.-]+)", text):
                    assert domain.lower().rstrip(".") in {"example.com", "example.org", "example.net"}, text


def test_all_phone_numbers_are_from_ranges_for_fiction(community: Community) -> None:
    fictional = re.compile(r"\+1\d{3}55501\d{2}|\+447700900\d{3}|\+3363998\d{4}")
    for collection, name in (
        (ENTRIES, "contact_number"),
        (TICKETS, "opened_phone"),
        (MESSAGES, "author_phone"),
    ):
        for record in community.records(collection):
            assert record[name] is None or fictional.fullmatch(record[name])


def test_all_ips_are_for_documentation(community: Community) -> None:
    blocks = [
        ip_network(block) for block in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    ]
    for text in {record["ip"] for record in community.records(CONNECTIONS)}:
        address = ip_address(text)
        assert str(address) == text
        assert any(address in block for block in blocks)


# --- records fit the stores and the map


def test_every_row_of_the_promise_has_records(everything_held: dict[Collection, list[Record]]) -> None:
    assert all(everything_held[collection] for collection in COLLECTIONS)


def test_collections_and_fields_are_those_of_the_map(
    datamap: dict[str, Any], everything_held: dict[Collection, list[Record]]
) -> None:
    described = collections_of(datamap)
    assert set(described) == set(COLLECTIONS)
    for collection, held in everything_held.items():
        declared = set(described[collection]["fields"]) - {"content"}
        found = {name for record in held for name in record}
        found |= {
            f"{name}.{inner}"
            for record in held
            for name, v in record.items()
            if isinstance(v, dict)
            for inner in v
        }
        if collection in {PICTURES, ORIGINALS}:
            found -= {"size", "sha256"}
        if collection == SIGN_INS:
            found |= LEARNED
        if collection in {CONNECTIONS, RECENT, VISITS}:
            found -= {"device.model", "device.os"}  # a document, declared as a whole
        assert found == declared, collection


def test_keys_are_those_of_the_map_and_unique(
    datamap: dict[str, Any], everything_held: dict[Collection, list[Record]]
) -> None:
    for collection, held in everything_held.items():
        assert list(KEYS[collection]) == collections_of(datamap)[collection]["key"]
        taken = Counter(tuple(record[name] for name in KEYS[collection]) for record in held)
        assert not [key for key, times in taken.items() if times > 1], collection


def test_nothing_is_in_the_lake_from_before_the_account_as_the_map_says(
    datamap: dict[str, Any], everything_held: dict[Collection, list[Record]]
) -> None:
    created = {m["member_id"]: datetime.fromisoformat(m["created_at"]) for m in everything_held[MEMBERS]}
    for table in (CONNECTIONS, RECENT):
        assert collections_of(datamap)[table]["partition"]["since"] == "members.members.created_at"
        for record in everything_held[table]:
            at = record["at"]
            at = datetime.fromisoformat(at) if isinstance(at, str) else at
            assert at >= created[record["member_id"]]


def test_foreign_keys_lead_somewhere(everything_held: dict[Collection, list[Record]]) -> None:
    entries = {entry["entry_id"] for entry in everything_held[ENTRIES]}
    tickets = {ticket["ticket_id"] for ticket in everything_held[TICKETS]}
    assert {record["entry_id"] for kind in (ARTWORKS, REWARDS) for record in everything_held[kind]} <= entries
    assert {message["ticket_id"] for message in everything_held[MESSAGES]} <= tickets


def test_values_are_of_many_types(everything_held: dict[Collection, list[Record]]) -> None:
    entry, reward = everything_held[ENTRIES][0], everything_held[REWARDS][0]
    assert isinstance(entry["entry_id"], UUID)
    assert isinstance(entry["mailing_address"], list)
    assert isinstance(reward["value"], Decimal)
    assert reward["value"].as_tuple().exponent == -2
    assert isinstance(everything_held[CONNECTIONS][0]["device"], dict)
    assert None in {record["mobile_network"] for record in everything_held[CONNECTIONS]}
    assert None in {record["member_id"] for record in everything_held[ENTRIES]}


def moments(record: Record) -> Iterator[datetime]:
    for name, value in record.items():
        if isinstance(value, datetime):
            yield value
        elif isinstance(value, str) and name.endswith("at") and value.endswith("Z") and "#" not in value:
            yield datetime.fromisoformat(value)


def test_nothing_is_from_the_future(everything_held: dict[Collection, list[Record]]) -> None:
    for records in everything_held.values():
        for record in records:
            assert all(moment <= NOW for moment in moments(record)), record


def test_no_support_record_lies_close_to_the_end_of_its_year(
    everything_held: dict[Collection, list[Record]],
) -> None:
    for collection, name in ((TICKETS, "opened_at"), (MESSAGES, "written_at")):
        for record in everything_held[collection]:
            assert abs(truth.years_later(record[name], 1) - NOW) > timedelta(days=3)


def test_uploads_are_pictures_that_never_change() -> None:
    upload = Upload("artwork", "artwork/m-x/fox.png", 1, 40)
    content = upload.content()
    assert content == upload.content()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content != Upload("artwork", "artwork/m-x/owl.png", 1, 40).content()


def test_records_of_objects_tell_their_content(community: Community) -> None:
    held = community.holdings("name_chinese")
    contents = {upload.object_key: upload.content() for upload in held.uploads}
    for record in (*held.records[PICTURES], *held.records[ORIGINALS]):
        content = contents.pop(record["object_key"])
        assert record["size"] == len(content)
        assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert not contents


# --- the personas


def test_everything_has_some_fifty_records_in_all_stores(community: Community) -> None:
    records = community.records_of("everything")
    assert set(records) == set(COLLECTIONS)
    assert 45 <= sum(len(held) for held in records.values()) <= 55
    assert len(records[ORIGINALS]) == len(records[ARTWORKS]) == 5
    assert all(90_000 < original["size"] < 110_000 for original in records[ORIGINALS])
    assert sorted(picture["object_key"].rsplit("/")[-1] for picture in records[PICTURES]) == [
        "profile.png",
        "thumb-256.png",
        "thumb-64.png",
    ]
    assert records[MEMBERS][0]["federated"]["provider"] == "Google"
    assert not community.doubtful_of("everything")


def test_a_token_that_the_map_withholds_is_not_in_the_truth_but_is_searched_for(community: Community) -> None:
    token = community.holdings("everything").records[MEMBERS][0]["federated"]["refresh_token"]
    assert "refresh_token" not in community.records_of("everything")[MEMBERS][0]["federated"]
    assert token in community.personal_values_of("everything")


def test_a_household_shares_address_and_phone_but_no_record(community: Community) -> None:
    first, second = (community.person(name) for name in ("household_a", "household_b"))
    assert (first.address, first.phone) == (second.address, second.phone)
    assert first.email != second.email
    assert not keys(community.records_of("household_a")) & keys(community.records_of("household_b"))


def test_mixed_case_is_found_in_each_case(community: Community) -> None:
    records = community.records_of("mixed_case")
    typed = {entry["email"] for entry in records[ENTRIES]}
    typed |= {ticket["opened_by"] for ticket in records[TICKETS]}
    typed |= {message["author_email"] for message in records[MESSAGES]}
    assert len(typed) >= 4
    assert len({address.lower() for address in typed}) == 1
    assert None in {entry["member_id"] for entry in records[ENTRIES]}
    assert not community.doubtful_of("mixed_case")


def test_names_and_keys_beyond_ascii(community: Community) -> None:
    assert re.search(r"[\u4e00-\u9fff]", community.person("name_chinese").name)
    assert re.search(r"[\u0600-\u06ff]", community.person("name_arabic").name)
    assert community.person("name_apostrophe").name.count("'") >= 2
    assert any(
        not record["object_key"].isascii() for record in community.records_of("name_chinese")[ORIGINALS]
    )
    assert any("'" in record["object_key"] for record in community.records_of("name_apostrophe")[ORIGINALS])
    assert any("<script>" in record["title"] for record in community.records_of("name_apostrophe")[ARTWORKS])


def test_account_only(community: Community) -> None:
    assert counts(community.records_of("account_only")) == {"members": 1, "users": 1}


def test_many_logs(community: Community) -> None:
    held = counts(community.records_of("many_logs"))
    assert held["connections"] + held["recent"] == held["visits"] == 20_000


def test_the_big_artwork_is_there_only_on_demand(community: Community) -> None:
    before, after = (each.records_of("big_artwork") for each in (community, community.with_big_artwork()))
    assert len(after[ARTWORKS]) == len(before[ARTWORKS]) + 1
    (big,) = [record for record in after[ORIGINALS] if record not in before[ORIGINALS]]
    assert big["size"] == BIG_ARTWORK_BYTES == sum(map(len, big_artwork_parts(community.seed)))
    assert big["object_key"] == after[ARTWORKS][-1]["object_key"]
    uploads = community.with_big_artwork().holdings("big_artwork").uploads
    assert big["object_key"] not in {upload.object_key for upload in uploads}


def test_being_quoted_is_not_being_the_author(community: Community) -> None:
    quoted = community.person("quoted")
    quoting = [message for message in community.records(MESSAGES) if quoted.email in message["body"]]
    assert len(quoting) == 2
    assert not [message for message in community.records_of("quoted")[MESSAGES] if message in quoting]


def test_an_older_address_counts_once_it_is_proven_and_a_second_point_matches(community: Community) -> None:
    older = personas.older_address_of(community.person("older_address"))
    assert [entry["email"] for entry in community.records_of("older_address")[ENTRIES]] == [
        community.person("older_address").email
    ]
    assert not community.doubtful_of("older_address")

    sound = community.records_of("older_address", also_proven=[older])
    doubtful = community.doubtful_of("older_address", also_proven=[older])
    assert [entry["email"] for entry in sound[ENTRIES]].count(older) == 1
    assert counts(doubtful) == {"entries": 1, "artworks": 1, "originals": 1}

    typed = {"reference": doubtful[ENTRIES][0]["contract_number"].lower()}
    assert not community.doubtful_of("older_address", also_proven=[older], typed=typed)


def test_a_mistyped_address_makes_doubt_and_nothing_else(community: Community) -> None:
    victim = community.person("mistyped_victim")
    doubtful = community.doubtful_of("mistyped_victim")
    assert counts(doubtful) == {"entries": 1, "artworks": 1, "originals": 1, "rewards": 1, "parcels": 1}
    entry = doubtful[ENTRIES][0]
    assert entry["email"] == victim.email
    assert entry["member_id"] is None
    assert entry["name"] == community.person("mistyped_author").name
    assert not keys(doubtful) & keys(community.records_of("mistyped_victim"))
    assert not keys(doubtful) & keys(community.records_of("mistyped_author"))
    assert victim.email not in community.personal_values_of("mistyped_author")


def test_a_recycled_mailbox_does_not_open_what_the_former_wrote(community: Community) -> None:
    now_theirs = community.person("recycled_mailbox")
    doubtful = community.doubtful_of("recycled_mailbox")
    assert set(doubtful) == {TICKETS, MESSAGES}
    assert all(ticket["opened_by"] == now_theirs.email for ticket in doubtful[TICKETS])
    assert all(ticket["opened_at"] < now_theirs.joined for ticket in doubtful[TICKETS])
    assert all(
        ticket["opened_at"] >= now_theirs.joined
        for ticket in community.records_of("recycled_mailbox")[TICKETS]
    )
    assert not keys(doubtful) & keys(community.records_of("recycled_former"))


def test_of_a_shared_thread_each_gets_what_they_wrote(community: Community) -> None:
    opener = community.records_of("shared_thread_a")
    (ticket,) = opener[TICKETS]
    seen: set[UUID] = set()
    for name in ("shared_thread_a", "shared_thread_b", "shared_thread_c"):
        written = [m for m in community.records_of(name)[MESSAGES] if m["ticket_id"] == ticket["ticket_id"]]
        assert written
        assert not seen & {message["message_id"] for message in written}
        seen |= {message["message_id"] for message in written}
    assert TICKETS not in community.records_of("shared_thread_b")
    assert len(seen) == len([m for m in community.records(MESSAGES) if m["ticket_id"] == ticket["ticket_id"]])


def test_the_child_is_under_thirteen_and_lives_somewhere(community: Community) -> None:
    member = community.records_of("child")[MEMBERS][0]
    born = datetime.fromisoformat(member["birth_date"]).replace(tzinfo=UTC)
    assert truth.years_later(born, 13) > NOW
    assert member["country"]


def test_an_orphan_has_an_object_and_no_row(community: Community) -> None:
    held = community.holdings("orphan_upload")
    (orphan,) = held.records[ORIGINALS]
    assert orphan["object_key"] not in {artwork["object_key"] for artwork in community.records(ARTWORKS)}
    assert [upload.object_key for upload in held.uploads] == [orphan["object_key"]]
    assert set(held.records) == {ORIGINALS}
    assert not community.records_of("orphan_upload")
    assert not community.doubtful_of("orphan_upload")


def test_no_account_still_gets_what_support_holds(community: Community) -> None:
    assert counts(community.records_of("no_account")) == {"tickets": 2, "messages": 3}
    assert counts(community.doubtful_of("no_account")) == {"tickets": 1, "messages": 1}
    assert community.person("no_account").member_id is None


def test_look_alike_characters_are_other_characters(community: Community) -> None:
    everything, other = community.person("everything"), community.person("look_alike")
    assert other.email != everything.email
    assert other.email.replace("\u043e", "o") == everything.email
    assert not keys(community.records_of("everything")) & keys(community.records_of("look_alike"))


def test_letters_beyond_ascii_are_not_folded(community: Community) -> None:
    trick = community.person("case_trick").email
    assert trick.replace("\u0130", "i") == community.person("everything").email
    assert not keys(community.records_of("everything")) & keys(community.records_of("case_trick"))
    assert (
        truth.folded("\u212aim@EXAMPLE.com") == "\u212aim@example.com"
    )  # lower() makes a plain k of the Kelvin sign


def test_one_original_of_two_rows_is_delivered_once(community: Community) -> None:
    assert counts(community.records_of("same_original")) | {"artworks": 2, "originals": 1} == counts(
        community.records_of("same_original")
    )


def test_a_row_may_outlive_its_original(community: Community) -> None:
    records = community.records_of("missing_original")
    assert records[ARTWORKS][0]["object_key"]
    assert ORIGINALS not in records


# --- the truth


def test_tables_of_the_truth_are_those_of_the_map(datamap: dict[str, Any]) -> None:
    identities, points, references, withheld = {}, {}, set(), {}
    for collection, described in collections_of(datamap).items():
        for name, field in described["fields"].items():
            if identity := field.get("identity"):
                assert (identity["is"], identity["normalise"]) == ("email", "lower")
                years = {None: None, "P1Y": 1}[identity.get("valid")]
                identities[collection] = truth.Identity(
                    name, identity["verified"], identity.get("recorded"), years
                )
            if kind := field.get("second_point"):
                points.setdefault(collection, {})[name] = kind
            if reference := field.get("references"):
                store, parent, theirs = reference.split(".")
                references.add((collection, name, (store, parent), theirs))
            if field.get("disclose") == "never":
                withheld.setdefault(collection, ())
                withheld[collection] += (tuple(name.split(".")),)
    assert identities == truth.IDENTITIES
    assert points == truth.SECOND_POINTS
    assert references == set(truth.REFERENCES)
    assert withheld == truth.WITHHELD
    assert (
        collections_of(datamap)[MEMBERS]["fields"]["email_lower"]["identity"]["since"] == "email_verified_at"
    )


def test_no_record_is_soundly_two_peoples(community: Community) -> None:
    owner: dict[tuple[Any, ...], str] = {}
    for person in community.everyone():
        for key in keys(community.records_of(person.key)):
            assert owner.setdefault(key, person.key) == person.key


@settings(deadline=None, max_examples=25)
@given(index=st.integers(len(personas.PERSONAS), 1500), seed=st.integers(0, 10**6))
def test_of_ordinary_people_everything_is_found(index: int, seed: int) -> None:
    community = generate(index + 1, seed, NOW)
    person = community._person(index)
    held = {
        collection: records
        for collection, records in community.holdings(person.key).records.items()
        if records
    }
    if MESSAGES in held:
        held[MESSAGES] = [message for message in held[MESSAGES] if message["author_email"] is not None]
    sound, doubtful = community.records_of(person.key), community.doubtful_of(person.key)
    assert keys(sound) | keys(doubtful) == keys(held)
    assert not keys(sound) & keys(doubtful)
    assert not (person.member and doubtful)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_who_holds_an_address_is_known_without_reading_everything(seed: int) -> None:
    community = generate(60, seed, NOW)
    for person in community.everyone():
        community._owners([person.email])
        for address in addresses_in(community.holdings(person.key).records):
            assert person.index in community._owners_of_address[address]


def ticket(number: int, days: float, address: str = "me@example.com", phone: str | None = None) -> Record:
    opened = NOW - timedelta(days=days)
    return {
        "ticket_id": number,
        "opened_by": address,
        "opened_phone": phone,
        "topic": "?",
        "opened_at": opened,
    }


def entry(number: int, **fields: Any) -> Record:
    empty = dict.fromkeys(("member_id", "contact_number", "contract_number"))
    return (
        {"entry_id": number, "name": f"name {number}", "email": "me@example.com", "entered_at": NOW}
        | empty
        | fields
    )


def sound_numbers(
    records: Records,
    collection: Collection,
    typed: dict[str, str] | None = None,
    proven: tuple[str, ...] = ("me@example.com",),
) -> set[Any]:
    found = truth.findings(records, proven, typed or {}, NOW)
    name = KEYS[collection][0]
    sound = {record[name] for record in found.sound.get(collection, ())}
    doubtful = {record[name] for record in found.doubtful.get(collection, ())}
    assert not sound & doubtful
    return sound


def test_a_verified_address_counts_for_its_year() -> None:
    records = {TICKETS: [ticket(1, 1), ticket(2, 364), ticket(3, 366), ticket(4, 1, "you@example.com")]}
    assert sound_numbers(records, TICKETS) == {1, 2}
    assert sound_numbers(records, TICKETS, proven=("ME@Example.com",)) == {1, 2}


def test_and_longer_where_the_account_has_held_it_since() -> None:
    member = {
        "member_id": "m",
        "email_lower": "me@example.com",
        "email_verified_at": (NOW - timedelta(days=500)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sign_in_sub": "s",
    }
    records: Records = {MEMBERS: [member], TICKETS: [ticket(1, 400), ticket(2, 500), ticket(3, 501)]}
    assert sound_numbers(records, TICKETS) == {1, 2}


def test_an_unverified_address_needs_a_second_point() -> None:
    records = {
        ENTRIES: [entry(1), entry(2, contract_number="CZ-1"), entry(3, contact_number="+1 206-555-0100")]
    }
    assert sound_numbers(records, ENTRIES) == set()
    assert sound_numbers(records, ENTRIES, {"reference": "cz-1"}) == {2}
    assert sound_numbers(records, ENTRIES, {"phone": "+12065550100"}) == {3}
    assert sound_numbers(records, ENTRIES, {"name": " Name  1"}) == {1}
    assert sound_numbers(records, ENTRIES, {"name": "CZ-1"}) == set()


def test_a_record_that_turned_sound_may_settle_the_next() -> None:
    chain = [
        entry(1, contact_number="1"),
        entry(2, contact_number="1", contract_number="a"),
        entry(3, contract_number="a"),
    ]
    for order in (chain, chain[::-1]):
        assert sound_numbers({ENTRIES: order}, ENTRIES, {"name": "name 1"}) == {1, 2, 3}
    fresh = {TICKETS: [ticket(1, 1, phone="1")], ENTRIES: chain}
    assert sound_numbers(fresh, ENTRIES) == {1, 2, 3}


def test_what_hangs_on_a_doubtful_entry_is_doubtful() -> None:
    records = {
        ENTRIES: [entry(1)],
        ARTWORKS: [{"artwork_id": 5, "entry_id": 1, "object_key": "k"}],
        ORIGINALS: [{"object_key": "k"}],
    }
    assert sound_numbers(records, ORIGINALS) == set()
    assert sound_numbers(records, ORIGINALS, {"name": "name 1"}) == {"k"}


def test_a_leap_day_has_an_anniversary() -> None:
    assert truth.years_later(datetime(2028, 2, 29, tzinfo=UTC), 1) == datetime(2029, 2, 28, tzinfo=UTC)


def test_what_cognito_knows_becomes_part_of_the_truth() -> None:
    community = generate(1, now=NOW)
    key = community.personas["everything"]
    learned = {"sub": "from-cognito", "username": key, "email": "x@example.com", "status": "CONFIRMED"}
    community.learn_sign_ins({key: learned})
    records = community.records_of("everything")
    assert records[SIGN_INS] == [learned]
    assert records[MEMBERS][0]["sign_in_sub"] == "from-cognito"
    assert "from-cognito" in community.personal_values_of("everything")
    assert community.with_big_artwork().records_of("everything")[SIGN_INS] == [learned]


# --- values to search logs for


def test_personal_values_cover_who_the_person_is(community: Community) -> None:
    person = community.person("everything")
    values = community.personal_values_of("everything")
    assert {
        person.name,
        person.email,
        person.phone,
        person.address[0],
        person.key,
        person.born,
        person.sub,
    } <= values
    entries = community.records_of("everything")[ENTRIES]
    assert {entry["contract_number"] for entry in entries} <= values
    assert {connection["ip"] for connection in community.records_of("everything")[CONNECTIONS]} <= values
    assert community.person("name_chinese").name in community.personal_values_of("name_chinese")


def test_personal_values_are_long_enough_and_nobody_elses(community: Community) -> None:
    own = community.personal_values_of("everything")
    assert all(len(value.encode()) >= 5 for value in own)
    for name in personas.PERSONAS[1:]:
        assert not own & community.personal_values_of(name), name


# --- the stores' own definitions


def test_the_schema_has_the_indexes_that_the_map_needs(datamap: dict[str, Any]) -> None:
    schema = (CRAFTZONE / "schema.sql").read_text(encoding="utf-8")
    for collection, described in collections_of(datamap).items():
        if datamap["stores"][collection[0]]["kind"] != "sql":
            continue
        table = described["table"]
        assert load.SQL_TABLES[collection] == table
        for name, field in described["fields"].items():
            if "identity" in field:
                assert re.search(rf"ON {table} \(lower\({name}\)\)", schema), f"{table}.{name}"
            if "references" in field:
                assert re.search(rf"ON {table} \({name}[,)]", schema), f"{table}.{name}"
        columns = re.search(rf"CREATE TABLE {table} \((.*?)\n\);", schema, re.DOTALL)
        assert columns
        assert re.findall(r"^    (\w+)", columns[1], re.MULTILINE) == list(described["fields"])


def test_tables_are_those_of_the_map(datamap: dict[str, Any]) -> None:
    named = {c: d["table"] for c, d in collections_of(datamap).items() if "table" in d}
    assert named == {**load.DYNAMODB_TABLES, **load.SQL_TABLES}


# --- comparing


def test_canonical_text_does_not_depend_on_how_a_value_was_read() -> None:
    there = datetime(2027, 3, 9, 12, tzinfo=UTC)
    first = load.canonical({"b": Decimal("1.50"), "a": there, "c": UUID(int=1)})
    second = load.canonical({"a": there.astimezone(), "c": str(UUID(int=1)), "b": Decimal("1.5")})
    assert first == second


def test_differences_name_what_changed() -> None:
    before: load.Snapshot = {TICKETS: {"1": "a", "2": "b", "3": "c"}, ENTRIES: {"9": "z"}}
    after: load.Snapshot = {TICKETS: {"1": "a", "2": "B", "4": "d"}, ENTRIES: {"9": "z"}}
    assert load.differences(before, after) == {TICKETS: {"2": "changed", "3": "removed", "4": "added"}}
    assert load.differences(before, before) == {}
