"""Other people's data in a copy: what goes by rule, what stays, what waits for a person."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsr.datamap.plan import Collection, Field, Identity, Way
from dsr.language import LANGUAGES, Words
from dsr.redaction.addresses import emails, may_hold_phone, phones, same_phone
from dsr.redaction.findings import DISCLOSE, REDACT, Decisions, Finding, group_of
from dsr.redaction.names import names, words_of
from dsr.redaction.own import Own, must_read
from dsr.redaction.screen import NAMES, REVIEW, SHARED, Screen, report_lines

SAMPLE = Path(__file__).with_name("redaction_sample.txt")
DOCS = Path(__file__).parents[2] / "docs/bundle.md"
MARKS = re.compile("[«»]")
REMOVED = Words("en").section("removed")
WITHHELD = REMOVED["whole"]


def ada() -> Own:
    own = Own()
    for kind, value in (
        ("email", "ada@example.com"),
        ("email", "Ada.King+shop@Example.org"),
        ("phone", "+44 7700 900417"),
        ("phone", "+1 (206) 555-0188"),
        ("name", "Ada Lovelace"),
    ):
        own.add(kind, value)
    return own


def sample() -> Iterator[tuple[str, str]]:
    """Each case as it is marked, under its heading."""
    heading = ""
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("# -- "):
            heading = line.removeprefix("# -- ")
        elif line and not line.startswith("#"):
            yield heading, line.replace("\\n", "\n")


def marked(text: str, own: Own) -> str:
    """The text with marks around what the rules take out."""
    gone = sorted(
        {(s.start, s.end) for s in (*emails(text, words_of(text)), *phones(text)) if not own.is_own(s)},
        reverse=True,
    )
    for start, end in gone:
        text = f"{text[:start]}«{text[start:end]}»{text[end:]}"
    return text


def shown(text: str, own: Own) -> str:
    """The text with marks around what a person is to look at, since it seems to name somebody."""
    for start, end in reversed([*names(text, words_of(text), own.names)]):
        text = f"{text[:start]}«{text[start:end]}»{text[end:]}"
    return text


@dataclass
class Rates:
    """What was found of a sample: `missed` of `wanted` marks, `hurt` of the `plain` texts that have none."""

    wanted: int = 0
    missed: list[str] = field(default_factory=list)
    plain: int = 0
    hurt: list[str] = field(default_factory=list)

    def add(self, line: str, find: Callable[[str, Own], str]) -> None:
        """Take in a line as it is marked by hand."""
        wanted = [w.strip("<>") for w in re.findall("«(.*?)»", line)]
        found = re.findall("«(.*?)»", find(MARKS.sub("", line), ada()))
        self.wanted += len(wanted)
        self.plain += not wanted
        self.missed += [f"{w} in {line}" for w in wanted if not any(w in f for f in found)]
        self.hurt += [f"{f} in {line}" for f in found if not any(w in f or f in w for w in wanted)]


def test_both_directions_on_the_labelled_sample() -> None:
    """What is taken out by rule, and what a person is shown; the documentation says the same figures."""
    rules, looks = Rates(), Rates()
    for heading, line in sample():
        if "named" in heading:
            looks.add(line, shown)
        else:
            rules.add(line, marked)
    seen = looks.wanted - len(looks.missed)
    said = (
        f"Of {rules.wanted} addresses and phone numbers of others {len(rules.missed)} were missed; of "
        f"{rules.plain} texts without any {len(rules.hurt)} were touched. Of {looks.wanted} people who are "
        f"named {seen} were shown to a person, and {len(looks.missed)} whom nothing announces were not; of "
        f"{looks.plain} texts that name nobody {len(looks.hurt)} were shown."
    )
    assert len(rules.missed) <= rules.wanted * 0.02, rules.missed
    assert len(rules.hurt) <= rules.plain * 0.01, rules.hurt
    assert len(looks.missed) <= looks.wanted / 2, looks.missed
    assert len(looks.hurt) <= looks.plain * 0.05, looks.hurt
    assert rules.wanted > 70
    assert rules.plain > 80
    assert said in " ".join(DOCS.read_text(encoding="utf-8").split())


@given(st.text(max_size=200))
@settings(max_examples=150)
@example("a@" * 500)
@example("1" * 2000)
@example("(" * 300 + "1" * 30)
@example("a.b." * 300 + "@x.y")
def test_any_text_is_read_in_a_moment_and_only_spans_of_it_are_found(text: str) -> None:
    began = time.process_time()
    said = words_of(text)
    spans = [(s.start, s.end) for s in (*emails(text, said), *phones(text))]
    spans += names(text, said, {"ada"}, {"Bob"}, beside=True)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("447700900417", "07700900417", True),
        ("447700900417", "00447700900417", True),
        ("12065550188", "2065550188", True),
        ("12065550188", "5550188", False),  # seven digits of any town
        ("12065550188", "13035550188", False),
        ("447700900417", "447700900418", False),
    ],
)
def test_numbers_are_one_with_and_without_their_country(one: str, other: str, same: bool) -> None:
    assert same_phone(one, other) is same_phone(other, one) is same


@given(st.text(st.characters(max_codepoint=127)))
@settings(max_examples=50)
@example("Hi ADA,\tsee (0171) 234-5678\x00\x1f/'<at>")
@example("1 2 3 4 5 6 7")
@example("1     2 3 4 5 6 7")
def test_texts_in_ascii_are_read_as_all_others(text: str) -> None:
    """They have a shorter way; a letter of another script at the end sends them the longer one."""
    assert [*words_of(text), "ж"] == words_of(f"{text} ж")
    assert may_hold_phone(text) == may_hold_phone(f"{text}ж")


# Texts, and what in them seems to name another person.
NAMED = {
    "Hi Charles,\nit still fails.\nBest,\nAda": ["Charles"],
    "Dear Mrs. Somerville, thank you": ["Mrs. Somerville"],
    "Thanks,\nCharles Babbage": ["Charles Babbage"],
    "my brother Georg Wilhelm has it too": ["Georg Wilhelm"],
    "> On 3 March 2026, Mary Somerville wrote:\n> hello": ["Mary Somerville"],
    "Her name is Siobhán O'Quarrelly": ["Siobhán O'Quarrelly"],
    "Liebe Frau Müller, danke": ["Frau Müller"],
    "I sat beside babbage at the fair": ["babbage"],  # known from a shared record
}
NOT_NAMED = (
    "Hello there, the laser stops.",
    "Dear team, it fails",
    "Kind regards\nAda Lovelace",
    "Hi ADA,\nyour parcel is under way",
    "Thank you, that solved it.",
    "Best Buy was closed on Monday",
    "Love the new update!",
    "To: Support",
    "The head stops two centimetres short of the corner, what can I check?",
    "I like The Queen Mary",
    "my laser stops, her laser too",
    "Winter Engraving Days begin on Monday",
    "Thanks again!",
)


@pytest.mark.parametrize("text", NAMED)
def test_a_name_that_something_announces_is_seen(text: str) -> None:
    found = names(text, words_of(text), ada().names, {"Babbage"})
    assert [text[start:end] for start, end in found] == NAMED[text]


@pytest.mark.parametrize("text", NOT_NAMED)
def test_ordinary_texts_and_the_subjects_own_name_stop_no_case(text: str) -> None:
    assert list(names(text, words_of(text), ada().names, {"Babbage"})) == []


# -- records ------------------------------------------------------------------------------------------

EMAIL = Way("by", Identity("email", "lower", True))


def notes(subjects: str = "one", **fields: Field) -> Collection:
    return Collection(
        "s", "notes", "Notes", ("id",), (EMAIL,),
        {
            "id": Field("user.unique_id", "p"),
            "by": Field("user.contact.email", "p"),
            "body": Field("user.content", "p"),
            **fields,
        },
        subjects=subjects,
    )  # fmt: skip


def screened(
    collection: Collection,
    values: dict[str, Any],
    decisions: Decisions | None = None,
    file: bool = False,
    language: str = "en",
) -> tuple[Any, list[Finding], Screen]:
    found: list[Finding] = []
    own = ada()
    screen = Screen(collection, own, decisions or Decisions(), found.append, Words(language))
    return screen.take(values, file), found, screen


TEXT = "Ask bob@example.net or 07700 900512, not ada@example.com"
CLEAN = f"Ask {REMOVED['email']} or {REMOVED['phone']}, not ada@example.com"


def test_free_text_is_replaced_visibly_wherever_it_stands_and_nothing_else() -> None:
    fields = {
        "deep.said": Field("user.content", "p"), "deep.known": Field("user.account", "p"),
        "plain": Field("user.account", "p"),
    }  # fmt: skip
    values = {
        "id": "1", "by": "bob@example.net", "body": TEXT, "plain": TEXT,
        "deep": [{"said": [TEXT, 5], "other": TEXT, "known": TEXT}],
        "unmapped": {"x": [TEXT]}, "un.mapped": TEXT,
    }  # fmt: skip
    was = json.dumps(values)
    taken, found, screen = screened(notes(**fields), values)
    assert json.dumps(values) == was, "what is given stays as it is"
    assert taken.values == {
        **values, "body": CLEAN, "deep": [{"said": [CLEAN, 5], "other": CLEAN, "known": TEXT}],
        "unmapped": {"x": [CLEAN]}, "un.mapped": CLEAN,
    }  # fmt: skip
    assert found == []
    lines = list(report_lines(["f"], screen.tally, Words("en")))
    assert {line["field"] for line in lines} == {"body", "deep", "deep.said", "unmapped", "un.mapped"}
    assert all(line["places"] == 1 and line["decided_by"] == "rule" for line in lines)
    assert not {"bob", "900512"} & set(json.dumps(lines).split()), "no values in the report"


BOB, EVE, GONE = "bob@example.net", "eve@example.net", REMOVED["email"]


def test_names_within_a_record_are_searched_as_its_texts_are() -> None:
    """An address can be the name of a field as well: of what people write, and of what no map names."""
    fields = {"deep.said": Field("user.content", "p"), "prefs": Field("user.account", "p")}
    votes = {BOB: 3, "ada@example.com": 4, "plain": 5, "room 12": {EVE: [{BOB: 1}]}}
    values = {
        "id": "1", "body": votes, "prefs": {BOB: 1},
        "deep": {"said": {BOB: 1}, BOB: 2, "more": {EVE: 3}}, BOB: "mine", "shared with": {EVE: True},
    }  # fmt: skip
    taken, found, screen = screened(notes(**fields), values)
    assert taken.values == {
        "id": "1", "body": {GONE: 3, "ada@example.com": 4, "plain": 5, "room 12": {GONE: [{GONE: 1}]}},
        "prefs": {BOB: 1},  # the map says what it is
        "deep": {"said": {GONE: 1}, GONE: 2, "more": {GONE: 3}}, GONE: "mine", "shared with": {GONE: True},
    }  # fmt: skip
    assert list(taken.values) == ["id", "body", "prefs", "deep", GONE, "shared with"], "in their order"
    assert found == []
    said = json.dumps(list(report_lines(["f"], screen.tally, Words("en"))))
    assert GONE in said, "how the field is called now"
    assert BOB not in said


def test_names_that_become_one_lose_no_value() -> None:
    both = {BOB: 1, EVE: 2, f"{GONE} (2)": 3, GONE: 4}
    made = {f"{GONE} (3)": 1, f"{GONE} (4)": 2, f"{GONE} (2)": 3, GONE: 4}
    taken, _, _ = screened(notes(), {"id": "1", "body": both, **both})
    assert taken.values == {"id": "1", "body": made, **made}


KEYS = st.one_of(
    st.sampled_from([BOB, EVE, GONE, f"{GONE} (2)", "ada@example.com", "x", "1.5"]), st.text(max_size=5)
)
TREES = st.recursive(
    st.integers(),
    lambda inner: st.dictionaries(KEYS, inner, max_size=5) | st.lists(inner, max_size=2),
    max_leaves=8,
)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        return [leaf for v in (value.values() if isinstance(value, dict) else value) for leaf in leaves(v)]
    return [value]


@given(st.dictionaries(KEYS, TREES, max_size=5), TREES)
@settings(max_examples=60)
def test_whatever_the_names_no_value_is_lost_and_no_address_left(more: dict[str, Any], body: Any) -> None:
    values = {**more, "id": "1", "body": body}
    taken, _, _ = screened(notes(), values)
    assert leaves(taken.values) == leaves(values)
    said = json.dumps(taken.values)
    assert BOB not in said
    assert EVE not in said
    assert screened(notes(), taken.values)[0].values == taken.values


@pytest.mark.parametrize("said", ["", REDACT, DISCLOSE])
def test_a_person_in_a_name_waits_for_a_look_and_goes_by_it(said: str) -> None:
    """Of a field that no map knows, and within what people write."""
    values = {"id": "1", "body": {"Dear Mrs. Somerville": 1}, "Dear Mrs. Somerville": 2}
    groups = {group_of("s.notes", name, NAMES): said for name in ("body", "Dear Mrs. Somerville") if said}
    taken, found, screen = screened(notes(), values, Decisions(groups))
    now = "Dear Mrs. Somerville" if said == DISCLOSE else f"Dear {REMOVED['name']}"
    assert taken.values == {"id": "1", "body": {now: 1}, now: 2}
    assert len(found) == (0 if said else 2)
    assert "Somerville" not in json.dumps(list(report_lines(["f"], screen.tally, Words("en"))))


@pytest.mark.parametrize("language", LANGUAGES)
def test_notes_are_in_the_language_of_the_copy_and_name_nobody(language: str) -> None:
    notes_of = Words(language).section("removed")
    body = f"Ask {BOB}, 07700 900512"
    values = {"id": "1", "body": [body, HELLO], "score": 7}
    collection = notes(score=Field("user.behavior", "p", "review"))
    taken, found, screen = screened(collection, values, language=language)
    assert taken.values["body"][0] == f"Ask {notes_of['email']}, {notes_of['phone']}"
    assert notes_of["name"] in taken.values["body"][1]
    assert taken.values["score"] == notes_of["whole"]
    assert [f.group for f in found] == [
        group_of("s.notes", "score", REVIEW),
        group_of("s.notes", "body", NAMES),
    ]
    _, again, _ = screened(
        notes(), {"id": "1", "body": f"{taken.values['body'][0]} and {BOB}"}, language=language
    )
    assert again == [], "the notes themselves are no names"
    said = {(line["what"], line["decided_by"]) for line in report_lines(["f"], screen.tally, Words(language))}
    assert (Words(language)("replaced.email"), Words(language)("report.rule")) in said


def test_the_map_says_what_is_free_text() -> None:
    fields = {
        "body": Field("user.content", "p", free_text=False),
        "remark": Field("user.account", "p", free_text=True),
    }
    taken, _, _ = screened(notes(**fields), {"id": "1", "body": TEXT, "remark": TEXT})
    assert taken.values == {"id": "1", "body": TEXT, "remark": CLEAN}


HELLO = "Hi Charles,\nthe laser stops"


@pytest.mark.parametrize("said", ["", REDACT, DISCLOSE])
def test_a_name_waits_for_a_person_and_goes_by_their_word(said: str) -> None:
    group = group_of("s.notes", "body", NAMES)
    taken, found, _ = screened(notes(), {"id": "1", "body": HELLO}, Decisions({group: said} if said else {}))
    assert taken.values["body"] == (HELLO if said == DISCLOSE else HELLO.replace("Charles", REMOVED["name"]))
    assert [f.group for f in found] == ([] if said else [group])
    if not said:
        [finding] = found
        assert finding.values["body"] == HELLO
        assert [HELLO[a:b] for a, b in finding.spans] == ["Charles"]


def test_a_decision_on_one_goes_before_that_on_all_and_holds_for_its_content_alone() -> None:
    _, [finding], _ = screened(notes(), {"id": "1", "body": HELLO})
    decisions = Decisions({finding.group: REDACT}, {finding.digest: DISCLOSE})
    assert screened(notes(), {"id": "1", "body": HELLO}, decisions)[0].values["body"] == HELLO
    assert "Charles" not in screened(notes(), {"id": "2", "body": HELLO}, decisions)[0].values["body"]
    alone = Decisions({}, {finding.digest: DISCLOSE})
    for other in ({"id": "2", "body": HELLO}, {"id": "1", "body": HELLO + "!"}):
        assert len(screened(notes(), other, alone)[1]) == 1


def test_a_field_under_review_is_seen_whole_and_withheld_whole() -> None:
    collection = notes(score=Field("user.behavior", "p", "review"))
    values = {"id": "1", "score": {"by": "a colleague", "n": 7}}
    taken, [finding], _ = screened(collection, values)
    assert finding.group == group_of("s.notes", "score", REVIEW)
    assert finding.values == values
    assert taken.values == {"id": "1", "score": WITHHELD}
    assert screened(collection, {"id": "1", "score": None})[1] == [], "nothing to look at"
    taken, found, _ = screened(collection, values, Decisions({finding.group: DISCLOSE}))
    assert (taken.values, found) == (values, [])


def test_of_a_shared_record_everything_waits_but_what_makes_it_the_subjects() -> None:
    fields = {
        "assigned": Field("user.name", "p"),
        "phone": Field("user.contact.phone_number", "p"),
        "at": Field("user.behavior", "p", "yes"),
    }
    shared = notes("many", **fields)
    shared = Collection(**{**vars(shared), "on_deletion": {"detach": {"by": "null", "phone": "null"}}})
    values = {"id": "1", "by": "ada@example.com", "phone": "1", "body": "x", "assigned": "Charles", "at": "t"}
    taken, found, _ = screened(shared, values)
    assert {f.group for f in found} == {group_of("s.notes", n, SHARED) for n in ("body", "assigned")}
    assert taken.values == {**values, "body": WITHHELD, "assigned": WITHHELD}
    own = Own()
    own.learn(shared, values)
    own.settle()
    assert (own.emails, own.others) == ({"ada@example.com"}, {"Charles"})
    assert not own.phones, "a single digit is no number"


def test_a_file_under_review_goes_or_stays_as_a_whole() -> None:
    collection = notes(content=Field("user.content", "p", "review"))
    values = {"id": "1"}
    taken, [finding], _ = screened(collection, values, file=True)
    assert not taken.file
    assert screened(collection, values, Decisions({finding.group: DISCLOSE}), file=True)[0].file
    assert screened(collection, values)[1] == [], "a record without a file"


def test_only_what_may_tell_more_is_read_for_the_subjects_own() -> None:
    proven = notes()
    told = notes(phone=Field("user.contact.phone_number", "p"))
    assert must_read([proven, told]) == [told]


def test_what_was_only_typed_is_nobodys_own() -> None:
    """Who claims another's number does not have it disclosed."""
    own = Own()
    own.add("phone", "+44 7700 900417")
    assert own.is_own(next(phones("call 07700 900417")))
    assert not own.is_own(next(phones("call 07700 900555")))
    assert Own.of(own.as_json()) == own
