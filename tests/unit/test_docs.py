"""The documentation: what it shows compiles and runs, what it lists is all there is, links lead somewhere."""

import io
import itertools
import json
import re
import struct
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from docs import draw
from dsr.datamap.compile import compile_file
from dsr.datamap.roles import roles_template
from dsr.errors import StoreFault
from dsr.web.desk.words import FAULTS
from dsr_cli.main import main
from tests.template.cloudformation import source

ROOT = draw.ROOT
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.yaml"))
PEM = "-----BEGIN CERTIFICATE-----"
VALUES = {"account": "123456789012", "region": "eu-west-1", "user_pool": "eu-west-1_abc", "rds_ca": PEM}
VALUES |= {"mailing": "https://hooks.letterbird.example/dsr", "revocation": "https://accounts.example/revoke"}
MOST_PICTURE = 200_000  # bytes


@dataclass(frozen=True)
class Fence:
    """A block of code in a page; `mark` is the comment in the line before it."""

    page: Path
    mark: str
    language: str
    text: str


def fences(page: Path) -> Iterator[Fence]:
    """Every block of code of a page."""
    block = re.compile(r"(?:<!-- ([^\n]*) -->\n)?^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    found = block.finditer(page.read_text())
    for match in found:
        lines = [line.removeprefix(match[2]) for line in match[4].splitlines(keepends=True)]
        yield Fence(page, match[1] or "", match[3], "".join(lines))


def marked(word: str) -> list[Fence]:
    """Every block in all pages whose mark begins with `word`."""
    return [fence for page in PAGES for fence in fences(page) if fence.mark.startswith(word)]


def name(value: object) -> str:
    """How a page or block is called in the list of tests."""
    path = value.page if isinstance(value, Fence) else value
    return str(path.relative_to(ROOT)) if isinstance(path, Path) else repr(value)


def words(text: str) -> set[str]:
    """Every `word` in code style, those after a dot or with a value included; examples explain nothing."""
    told = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return {word for code in re.findall(r"`([^`]+)`", told) for word in re.findall(r"[A-Za-z_][\w-]*", code)}


# -- what is shown --------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_examples_compile(example: Path) -> None:
    """Each is a whole map, from which the roles follow; editors find it right too."""
    plan = compile_file(example, VALUES)
    assert roles_template(plan)["Resources"].keys()
    assert example.read_text().startswith("# yaml-language-server: $schema=../datamap.schema.json\n")


@pytest.mark.parametrize("example", [*EXAMPLES, ROOT / "infra/craftzone/datamap.yaml"], ids=name)
def test_the_schema_takes_what_compiles(example: Path) -> None:
    """The published schema, on what an editor reads: dates and a bare yes are text there."""
    content = yaml.load(example.read_text(), Loader=yaml.BaseLoader)  # noqa: S506  texts only
    content["version"] = int(content["version"])
    jsonschema.validate(_typed(content), json.loads((ROOT / "docs/datamap.schema.json").read_text()))


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("fence", marked("from "), ids=name)
def test_quotations_are_in_the_file_they_are_from(fence: Fence) -> None:
    """To the letter, line for line."""
    file = ROOT / fence.mark.removeprefix("from ")
    assert fence.text in file.read_text()


@pytest.mark.parametrize("fence", marked("run"), ids=name)
def test_commands_answer_what_is_shown(
    fence: Fence, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`$ dsr …` and its output; a map's version may be any."""
    monkeypatch.chdir(ROOT)
    command, _, shown = fence.text.partition("\n")
    assert main(command.partition("dsr ")[2].split()) == 0
    version = re.compile(r"\b[0-9a-f]{16}\b")
    assert version.sub("VERSION", capsys.readouterr().out) == version.sub("VERSION", shown)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path) -> None:
    """Every `dsr …` that a page names, with its options."""
    text = page.read_text()
    named = [
        *re.findall(r"`dsr ([^`]+)`", text),
        *re.findall(r"^ *\$ (?:\.venv/bin/)?dsr (.+)$", text, re.MULTILINE),
    ]
    for command in named:
        said = command.replace("\\", "").split()
        verbs = list(
            itertools.takewhile(lambda w: re.fullmatch(r"[a-z-]+", w) and not w.startswith("-"), said)
        )
        helped = _help(verbs[:2]) or _help(verbs[:1])
        assert helped, f"dsr {command}"
        for option in (word for word in said if word.startswith("--")):
            assert option in helped + _help(verbs[:1]), f"dsr {command}"


def _help(command: list[str]) -> str:
    """What `dsr command --help` prints; empty if there is no such command."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()), suppress(SystemExit):
        main([*command, "--help"])
    return out.getvalue()


def test_targets_of_make_exist() -> None:
    """Every `make …` in code style."""
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text()
        named = {*re.findall(r"`make ([a-z]+)", text), *re.findall(r"^\$ make ([a-z]+)", text, re.MULTILINE)}
        assert named <= known, page


# -- what is listed -------------------------------------------------------------------------------


def test_what_is_written_from_the_code_is_current() -> None:
    """`make docs` would change nothing."""
    for path, content in draw.written().items():
        assert path.read_text() == content, f"{path.relative_to(ROOT)} is old: run `make docs`"


def test_the_drawing_names_folders_that_are_there() -> None:
    """What does the work of a state is a folder in functions/."""
    text = (ROOT / "docs/workflows.md").read_text()
    folders = set(re.findall(r"<br/>([a-z_]+)\"", text))
    assert folders
    assert {folder for folder in folders if not (ROOT / "functions" / folder).is_dir()} == set()


def test_every_reason_for_attention_is_explained() -> None:
    """In the table of the operator's manual."""
    text = (ROOT / "docs/operating.md").read_text()
    explained = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert explained >= StoreFault.CODES | FAULTS.keys() | {"step_failed"}


def test_every_word_of_the_map_is_explained() -> None:
    """Of the schema, in the page about the map or that about the kind of store."""
    pages = [ROOT / "docs/datamap.md", *(ROOT / "docs/stores").glob("*.md")]
    explained = set[str]().union(*(words(page.read_text()) for page in pages))
    schema = json.loads((ROOT / "docs/datamap.schema.json").read_text())
    known = {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", ())}
    assert known - explained == set()


def test_every_parameter_is_asked_for_in_a_group() -> None:
    """So that the table of parameters has them all."""
    template = source()
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_parameters_that_are_named_exist(page: Path) -> None:
    """`CoolingHours` and the like."""
    known = source()["Parameters"].keys() | source()["Resources"].keys()
    pattern = (
        r"(?:[A-Z][a-z]+(?:Days|Hours|Seconds|Ids|Roles|Mode|Limit|Schedule)|ExternalId|SiteEventSource)"
    )
    assert {word for word in words(page.read_text()) if re.fullmatch(pattern, word)} <= known


# -- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading that it has."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not heading or heading in _headings(file), target


def _headings(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_pictures_are_small() -> None:
    """PNGs of less than 200 KB, wide enough to be read; none that no page shows."""
    shown = {p for page in PAGES for p in re.findall(r"pictures/([\w.-]+)", page.read_text())}
    pictures = sorted((ROOT / "docs/pictures").iterdir())
    assert {picture.name for picture in pictures} == shown
    for picture in pictures:
        content = picture.read_bytes()
        assert len(content) < MOST_PICTURE, picture.name
        assert content.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", content[16:24])
        assert width >= 800, picture.name
        assert height >= 400, picture.name
