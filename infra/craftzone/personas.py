"""People of the sample who are there to break things: each has a name, and stands for one trap of reality.

`disguised` gives a persona the looks the trap needs (name, address, when they joined), `play` their records.
What each is to be answered follows from the data map alone; see `truth`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from infra.craftzone.holdings import ORIGINALS, ROWS_PER_PERSON, Holdings, Person

# The order is part of the data: a person's records follow from their place.
PERSONAS = (
    "everything",  # the person of the demo: some fifty records over all stores, and a federated sign-in
    "household_a",  # two people with one address and one phone number
    "household_b",
    "mixed_case",  # typed their address in another case in each store
    "name_chinese",
    "name_arabic",
    "name_apostrophe",  # also quotes, markup and line ends in what they wrote
    "account_only",  # an account, its sign-in and nothing else
    "many_logs",  # 20,000 connections, and as many lines of the log
    "big_artwork",  # 300 MB original, added on demand by load.add_big_artwork
    "quoted",  # their address stands in messages of others
    "quoting",  # who wrote those
    "older_address",  # entered events as a guest, under an address they no longer use
    "mistyped_victim",  # another person's entry carries their address by mistake
    "mistyped_author",  # who made that mistake
    "recycled_mailbox",  # had their address given by a provider after somebody else gave it up
    "recycled_former",  # who had it before, and asked support from it
    "shared_thread_a",  # opened the ticket in which b and c wrote too
    "shared_thread_b",
    "shared_thread_c",
    "child",  # under 13
    "orphan_upload",  # deleted years ago; one object was left behind, to which no row leads
    "no_account",  # wrote to support, never joined
    "look_alike",  # no account; an address that looks like that of `everything`, with a Cyrillic letter in it
    "case_trick",  # no account; PostgreSQL's lower(), not Python's, makes `everything`'s address of theirs
    "same_original",  # posted one original in two events: two rows, one object
    "missing_original",  # a row whose object is gone
    "rewarded",  # newsletters, and rewards by courier: others hold their data too
)

MANY_LOGS = 20_000
GUESTS = {"orphan_upload", "no_account", "look_alike", "case_trick"}


def disguised(person: Person, now: datetime) -> Person:
    """The person with the looks of their persona."""
    # Long enough ago for every record that a persona is given.
    looks: Mapping[str, Any] = {"joined": now - timedelta(days=1000 + 13 * person.index, hours=person.index)}
    looks = {**looks, **_looks(now).get(person.persona or "", {})}
    if person.persona in GUESTS:
        looks = {**looks, "member": False, "key": "g-" + person.key[2:]}
    return replace(person, **looks)


def _looks(now: datetime) -> Mapping[str, Mapping[str, Any]]:
    home: Mapping[str, Any] = {
        "phone": "+13125550142",
        "address": ("77 Etchers Yard", "Lake Tamsin 60614", "US"),
        "country": "US",
    }
    return {
        "everything": {
            "name": "Oriel Vantongeren",
            "nickname": "oriel_makes_light",
            "email": "oriel.vantongeren@example.com",
            "phone": "+447700900417",
            "joined": now - timedelta(days=1100, hours=3),
        },
        "household_a": {"name": "Ambrose Quillfeather", "email": "ambrose.quillfeather@example.net", **home},
        "household_b": {"name": "Sidonie Quillfeather", "email": "sidonie.quillfeather@example.net", **home},
        "mixed_case": {"name": "Marcelin Dufresnoy", "email": "Marcelin.Dufresnoy@Example.ORG"},
        "name_chinese": {
            "name": "欧阳星澜",
            "nickname": "星空下的雕刻师",
            "email": "ouyang.xinglan@example.com",
            "country": "CN",
            "address": ("虚构市雕刻路三百零七号", "澜州 310000", "CN"),
        },
        "name_arabic": {
            "name": "نوران الحرفاوي",
            "nickname": "نجمة_الورشة",
            "email": "nouran.alharfawi@example.org",
            "address": ("١٢ شارع النقّاشين", "واحة المرسم", "AE"),
            "country": "AE",
        },
        "name_apostrophe": {
            "name": "Siobhán O'Quarrelly-D'Arcenne",
            "nickname": 'o\'quarrelly <b>"bold"</b>',
            "email": "siobhan.o'quarrelly@example.net",
        },
        "older_address": {"name": "Casimir Oldenbrugge", "email": "casimir.oldenbrugge@example.com"},
        "mistyped_victim": {"name": "Ludmila Tarrowen", "email": "l.tarrowen@example.com"},
        "mistyped_author": {
            "name": "Lucasta Tarrowin",
            "email": "l.tarrowin@example.com",
            "phone": "+33639980117",
        },
        "recycled_mailbox": {
            "name": "Hadrian Newcastler",
            "email": "h.newcastler@example.net",
            "joined": now - timedelta(days=200, hours=4),
        },
        "recycled_former": {
            "name": "Henriette Newcastler",
            "phone": "+12065550188",
            "joined": now - timedelta(days=390),
        },
        "child": {
            "nickname": "little_dragon_maker",
            "born": (now - timedelta(days=11 * 365 + 100)).date().isoformat(),
            "country": "US",
        },
        "no_account": {"name": "Peregrine Straywell", "email": "peregrine.straywell@example.org"},
        "look_alike": {"name": "Ariel Vantongerren", "email": "оriel.vantongeren@example.com"},
        "case_trick": {"name": "Orsolina Vantonger", "email": "or\u0130el.vantongeren@example.com"},
        "big_artwork": {"joined": now - timedelta(days=400)},
        "many_logs": {"joined": now - timedelta(days=900)},
        "shared_thread_a": {"joined": now - timedelta(days=300)},
        "shared_thread_b": {"joined": now - timedelta(days=500)},
        "shared_thread_c": {"joined": now - timedelta(days=700)},
    }


def play(holdings: Holdings) -> None:
    """Add the records of the persona to their holdings."""
    if holdings.person.member:
        holdings.member(federated=holdings.person.persona == "everything")
    _PARTS.get(holdings.person.persona or "", _ordinary)(holdings)


def older_address_of(person: Person) -> str:
    """The address that the persona `older_address` used before."""
    return person.email.replace("@", ".before@")


def big_artwork_key(person: Person) -> str:
    """Where the 300 MB original lies once it is added."""
    return f"artwork/{person.key}/panorama.bin"


def _ordinary(holdings: Holdings) -> None:
    holdings.consent(1)
    holdings.permission()
    holdings.connections(6)
    holdings.visits(2)
    entry_id = holdings.entry(holdings.ago(30, 300))
    holdings.artwork(entry_id)


def _everything(holdings: Holdings) -> None:
    for number in range(4):
        holdings.consent(number, withdrawn=number == 2)
    for _ in range(3):
        holdings.permission()
    holdings.screening()
    holdings.screening()
    holdings.picture(side=200)
    first, second, third = (
        holdings.entry(holdings.ago(*days)) for days in ((20, 60), (200, 300), (700, 900))
    )
    for entry_id in (first, first, second, second, third):
        holdings.artwork(entry_id, side=316)  # about 100 KB each
    for entry_id in (first, third):
        holdings.reward(entry_id, always=holdings.couriered)
        holdings.disclosure()
    holdings.conversation(messages=2, at=holdings.ago(5, 9))
    holdings.conversation(messages=3, at=holdings.ago(100, 140))
    holdings.conversation(messages=1, at=holdings.ago(500, 520))  # over a year old, but since they joined
    holdings.connections(8)
    holdings.visits(3)


def _mixed_case(holdings: Holdings) -> None:
    _ordinary(holdings)
    email = holdings.person.email
    holdings.entry(
        holdings.ago(100, 150), email=email.upper(), member_id=None
    )  # sound by its name and phone number
    ticket_id = holdings.conversation(messages=1, at=holdings.ago(40, 60), opened_by=email.swapcase())
    holdings.message(ticket_id, holdings.ago(10, 20), author_email=email.title())


def _household(holdings: Holdings) -> None:
    _ordinary(holdings)
    holdings.reward(holdings.entry(holdings.ago(50, 90)))
    holdings.conversation(messages=2, at=holdings.ago(15, 25))


def _name_chinese(holdings: Holdings) -> None:
    _ordinary(holdings)
    entry_id = holdings.entry(holdings.ago(10, 40))
    holdings.artwork(
        entry_id, key=f"artwork/{holdings.person.key}/星空 + 灯塔 (第1版)&更多.png", title="星空下的灯塔"
    )
    holdings.picture()
    ticket_id = holdings.ticket(holdings.ago(20, 30), topic="无法上传作品")
    holdings.message(
        ticket_id, holdings.ago(10, 15), body="上传到百分之九十就停了。𠮷野家🙂"
    )  # beyond 16 bits too


def _name_arabic(holdings: Holdings) -> None:
    _ordinary(holdings)
    holdings.picture()
    ticket_id = holdings.ticket(holdings.ago(20, 30), topic="سؤال عن المسابقة")
    holdings.message(
        ticket_id, holdings.ago(10, 15), body="هل يمكنني المشاركة مرتين؟ \u202b(نص من اليمين)\u202c"
    )


def _name_apostrophe(holdings: Holdings) -> None:
    _ordinary(holdings)
    entry_id = holdings.entry(holdings.ago(10, 40))
    title = "</script><script>alert('laser')</script>"
    holdings.artwork(entry_id, key=f'artwork/{holdings.person.key}/it\'s "mine", 100% <ok>.png', title=title)
    ticket_id = holdings.ticket(holdings.ago(20, 30), topic="'; DROP TABLE tickets; --")
    holdings.message(
        ticket_id, holdings.ago(10, 15), body='She said "it\'s on fire",\r\n\tthen\\nothing.\n\n=1+1'
    )


def _nothing(holdings: Holdings) -> None:
    pass


def _many_logs(holdings: Holdings) -> None:
    holdings.consent(0)
    holdings.connections(MANY_LOGS)
    holdings.visits(MANY_LOGS)


def _quoted(holdings: Holdings) -> None:
    _ordinary(holdings)
    holdings.conversation(messages=1, at=holdings.ago(60, 80))


def _quoting(holdings: Holdings) -> None:
    _ordinary(holdings)
    other = holdings.cast["quoted"]
    ticket_id = holdings.ticket(holdings.ago(30, 40), topic="My friend cannot sign in")
    said = (
        f"Please write to {other.email} as well, {other.name} has the same trouble.\n> From: <{other.email}>"
    )
    holdings.message(ticket_id, holdings.ago(20, 29), body=said)
    answer = f"We have written to {other.email}."
    holdings.message(ticket_id, holdings.ago(10, 19), body=answer, author_email=None, author_phone=None)


def _older_address(holdings: Holdings) -> None:
    _ordinary(holdings)
    older = older_address_of(holdings.person)
    known = holdings.entry(
        holdings.ago(700, 800), email=older, member_id=None
    )  # sound once that address is proven
    holdings.artwork(known)
    # Name, number and contract of before a move and a marriage: doubtful even then.
    before = {"name": "Casimir Beforehand", "contact_number": "+12125550163"}
    holdings.artwork(holdings.entry(holdings.ago(1200, 1300), email=older, member_id=None, **before))


def _mistyped_author(holdings: Holdings) -> None:
    _ordinary(holdings)
    entry_id = holdings.entry(
        holdings.ago(50, 60), email=holdings.cast["mistyped_victim"].email, member_id=None
    )
    holdings.artwork(entry_id)
    holdings.reward(entry_id)


def _recycled_mailbox(holdings: Holdings) -> None:
    _ordinary(holdings)
    holdings.conversation(messages=2, at=holdings.ago(100, 150))


def _recycled_former(holdings: Holdings) -> None:
    _ordinary(holdings)
    for days in ((420, 440), (500, 520)):
        phone = holdings.person.phone
        former = holdings.cast["recycled_mailbox"].email
        holdings.conversation(messages=2, at=holdings.ago(*days), opened_by=former, opened_phone=phone)


def _shared_thread_a(holdings: Holdings) -> None:
    _ordinary(holdings)
    ticket_id = holdings.ticket(holdings.now - timedelta(days=30), topic="Our club cannot register as a team")
    holdings.message(ticket_id, holdings.now - timedelta(days=30))
    holdings.message(ticket_id, holdings.now - timedelta(days=27))


def _shared_ticket(opener: Person) -> int:
    return (opener.index + 1) * ROWS_PER_PERSON + 1


def _shared_thread_guest(holdings: Holdings) -> None:
    _ordinary(holdings)
    opener = holdings.cast["shared_thread_a"]
    days = 29 if holdings.person.persona == "shared_thread_b" else 28
    body = f"I am in the same club as {opener.name} and see the same message."
    holdings.message(_shared_ticket(opener), holdings.now - timedelta(days=days), body=body)


def _orphan_upload(holdings: Holdings) -> None:
    # The entry and the artwork are made to name the object, and dropped again, as by a deletion that forgot
    # the object.
    holdings.artwork(holdings.entry(holdings.ago(400, 500)))
    for collection in list(holdings.records):
        if collection != ORIGINALS:
            del holdings.records[collection]


def _no_account(holdings: Holdings) -> None:
    holdings.conversation(messages=2, at=holdings.ago(30, 60))
    holdings.conversation(
        messages=1, at=holdings.ago(450, 500), opened_phone=None
    )  # outlived, and nothing else matches
    holdings.conversation(
        messages=1, at=holdings.ago(550, 600), opened_phone=holdings.person.phone
    )  # outlived; phone matches


def _look_alike(holdings: Holdings) -> None:
    holdings.entry(holdings.ago(30, 60))
    holdings.conversation(messages=1, at=holdings.ago(10, 20))


def _same_original(holdings: Holdings) -> None:
    key = f"artwork/{holdings.person.key}/owl.png"
    for days in ((300, 320), (20, 40)):
        holdings.artwork(holdings.entry(holdings.ago(*days)), key=key, title="clockwork owl")


def _missing_original(holdings: Holdings) -> None:
    holdings.artwork(holdings.entry(holdings.ago(30, 60)), stored=False)


def _rewarded(holdings: Holdings) -> None:
    _ordinary(holdings)
    holdings.consent(0)
    for days in ((40, 60), (90, 120)):
        holdings.reward(holdings.entry(holdings.ago(*days)), always=True)
        holdings.disclosure()


_PARTS: Mapping[str, Callable[[Holdings], None]] = {
    "everything": _everything,
    "household_a": _household,
    "household_b": _household,
    "mixed_case": _mixed_case,
    "name_chinese": _name_chinese,
    "name_arabic": _name_arabic,
    "name_apostrophe": _name_apostrophe,
    "account_only": _nothing,
    "many_logs": _many_logs,
    "quoted": _quoted,
    "quoting": _quoting,
    "older_address": _older_address,
    "mistyped_author": _mistyped_author,
    "recycled_mailbox": _recycled_mailbox,
    "recycled_former": _recycled_former,
    "shared_thread_a": _shared_thread_a,
    "shared_thread_b": _shared_thread_guest,
    "shared_thread_c": _shared_thread_guest,
    "orphan_upload": _orphan_upload,
    "no_account": _no_account,
    "look_alike": _look_alike,
    "case_trick": _look_alike,
    "same_original": _same_original,
    "missing_original": _missing_original,
    "rewarded": _rewarded,
}
