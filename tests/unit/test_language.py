"""Words in the requester's language: complete, alike, and English where nothing else will do."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr import language
from dsr.language import FALLBACK, LANGUAGES, Words, best_of, catalogue

SOURCES = Path(__file__).parents[2] / "functions/dsr"


@pytest.mark.parametrize(
    ("accepted", "best"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr-CA, en;q=0.9", "fr"),
        ("pl, de;q=0.3, fr;q=0.7", "fr"),
        ("pl, *;q=0.5", "en"),
        ("de;q=0, fr;q=0", "en"),
        ("DE", "de"),
        ("en;q=0.5, de;q=0.5", "en"),
        ("de;q=nonsense, fr", "fr"),
        ("<script>", "en"),
        ("de" + "," * 100_000, "de"),
    ],
)
def test_the_browsers_wish_is_met_where_it_can_be(accepted: str, best: str) -> None:
    assert best_of(accepted) == best


@given(st.text())
def test_whatever_a_browser_says_there_is_a_language(accepted: str) -> None:
    assert best_of(accepted) in LANGUAGES


def _blanks(text: Any) -> set[str]:
    texts = text.values() if isinstance(text, dict) else [text]
    return {blank for one in texts for blank in re.findall(r"\{(\w+)\}", one)}


@pytest.mark.parametrize("name", LANGUAGES)
def test_each_catalogue_has_only_known_texts_with_the_same_blanks(name: str) -> None:
    english, other = catalogue(FALLBACK), catalogue(name)
    assert other.keys() <= english.keys()
    for key, text in other.items():
        assert _blanks(text) == _blanks(english[key]), key
        assert isinstance(text, dict) == isinstance(english[key], dict), key
        if isinstance(text, dict):
            assert text.keys() == {"one", "other"}, key
        assert "  " not in str(text), key
    assert len(other["form.months"].split()) == 12


@pytest.mark.parametrize("name", ["de", "fr"])
def test_german_and_french_are_complete(name: str) -> None:
    assert catalogue(name).keys() == catalogue(FALLBACK).keys()


def test_every_text_is_used_and_every_use_has_a_text() -> None:
    """By the names as the templates, the script and the code write them."""
    templates = "".join(p.read_text() for p in (SOURCES / "bundle/templates").iterdir())
    script = (SOURCES / "bundle/viewer/viewer.js").read_text()
    code = "".join(p.read_text() for p in (SOURCES / "bundle").glob("*.py"))
    for key in catalogue(FALLBACK):
        section, _, name = key.partition(".")
        if section == "bundle":
            # Some names are put together: `"bundle.right_" ~ right`.
            parts = "_".join(name.split("_")[:1]) + "_", name.partition("_")[2]
            together = f'"bundle.{parts[0]}"' in templates and f'"{parts[1]}"' in templates
            whole = re.search(rf"""bundle\.{name}["']""", templates + code)
            assert whole or together or f'"{name}"' in templates, key
        if section == "viewer":
            assert f'"{name}"' in script or f"viewer.{name}" in templates, key
    used = set(re.findall(r'"((?:bundle|viewer)\.[a-z_]*[a-z])"', templates + code))
    assert used - {"viewer.css", "viewer.js"} <= catalogue(FALLBACK).keys()


def test_the_page_of_a_copy_has_no_text_but_from_the_catalogues() -> None:
    """Nor its script: so what is complete in them is complete on the page."""
    template = (SOURCES / "bundle/templates/index.html").read_text()
    fixed = re.sub(r"{%.*?%}|{{.*?}}|<code>[^<]*</code>|<style>.*?</style>", "", template, flags=re.DOTALL)
    assert re.findall(r"[A-Za-z]+", re.sub(r"<[^>]*>", "", fixed)) == []
    named = re.findall(r'(?:aria-label|alt|title|data-label)="([^"]*)"', fixed)
    assert named
    assert set(named) == {""}
    script = (SOURCES / "bundle/viewer/viewer.js").read_text()
    code = "\n".join(line.partition("//")[0] for line in script.splitlines())
    texts = {
        text for text in re.findall(r'"([^"\n]*)"', code) if re.search("[A-Za-z] [A-Za-z]|^[A-Z][a-z]", text)
    }
    assert texts <= {"use strict", "status failed", "not an address of a page"}, "none that a person reads"


def test_what_is_not_translated_yet_is_english(monkeypatch: pytest.MonkeyPatch) -> None:
    english = catalogue(FALLBACK)
    monkeypatch.setattr(
        language, "catalogue", lambda name: english if name == FALLBACK else {"bundle.who": "Wer"}
    )
    words = Words("de")
    assert words("bundle.who") == "Wer"
    assert words("bundle.rights") == "Your rights"
    assert words("bundle.records_count", count=2) == "2 records"


def test_numbers_days_and_periods_are_written_as_people_write_them() -> None:
    at = datetime(2026, 3, 2, 9, 5, tzinfo=UTC)
    english, german, french = Words("en"), Words("de"), Words("fr")
    assert [w.number(1_234_567) for w in (english, german, french)] == ["1,234,567", "1.234.567", "1 234 567"]
    assert english.moment(at) == "2 March 2026, 09:05 UTC"
    assert german.moment(at) == "2. März 2026, 09:05 UTC"
    assert french.day(date(2026, 8, 1)) == "1 août 2026"
    assert english.period("P1Y6M") == "1 year and 6 months"
    assert german.period("PT24H") == "24 Stunden"
    assert french.period("P90D") == "90 jours"
    assert english.period("") == ""
    assert german.size(3_400_000) == "3,4 MB"
    assert english.size(999) == "999 bytes"
    assert Words("xx").language == FALLBACK


def test_nought_is_one_in_french_alone() -> None:
    assert Words("fr")("bundle.records_count", count=0) == "0 enregistrement"
    assert Words("en")("bundle.records_count", count=0) == "0 records"


def test_blanks_are_filled_once_and_with_text_alone() -> None:
    assert Words("en")("bundle.title", controller="{controller} & {x}") == "Your data at {controller} & {x}"
    with pytest.raises(KeyError):
        Words("en")("bundle.title")


def test_catalogues_are_plain_json_without_doubles() -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    for name in LANGUAGES:
        json.loads((SOURCES / f"words/{name}.json").read_text("utf-8"), object_pairs_hook=once)
