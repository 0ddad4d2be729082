"""Drafts of maps: from a real database, as the manual shows it, and from a Fides dataset."""

import re
from pathlib import Path

import psycopg
import pytest
import yaml

from dsr_cli.main import main
from tests.unit.test_docs import ROOT, Fence, fences

BOOKSHOP = ROOT / "docs/examples/bookshop"
Out = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def bookshop(postgres: str) -> str:
    """The address of the manual's database, made of its schema."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bookshop")
    address = postgres.replace("/postgres?", "/bookshop?")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute((BOOKSHOP / "schema.sql").read_text())
    return address


def shown() -> list[Fence]:
    """The commands of the manual that need the database, in order."""
    return [fence for fence in fences(ROOT / "docs/example.md") if fence.mark == "bookshop"]


def test_the_manual_shows_what_comes_of_its_database(
    bookshop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = shown()
    assert len(commands) == 2
    for fence in commands:
        command, _, said = fence.text.partition("\n")
        words = command.partition("dsr ")[2].replace("postgresql://me@localhost/bookshop", bookshop).split()
        status = main(words)
        out = capsys.readouterr()
        begun, more, _ = said.partition("…\n")
        assert status == bool(out.err)
        told = out.out + out.err
        assert told.startswith(begun) if more else told == begun
    assert (tmp_path / "draft.yaml").read_text() == (BOOKSHOP / "draft.yaml").read_text()


def test_a_draft_that_is_answered_is_a_map(bookshop: str, tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "draft.yaml"
    assert main(["map", "import", bookshop, "--out", str(path)]) == 0
    text = path.read_text()
    questions = text.count("TODO") - 1
    assert f"{questions} questions" in capsys.readouterr().out
    assert main(["map", "check", str(path), "--set", "account=1"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == questions, "each question is asked, and nothing else"
    answers = {
        "verified: TODO": "verified: false",
        "region: TODO": "region: eu-west-1",
        "category: TODO": "category: system.operations",
        "subjects: TODO": "subjects: one #",
        "basis: TODO": "basis: contract #",
        "on_deletion: TODO": "on_deletion: delete #",
        "copies: TODO": "copies: none #",
    }
    for question, answer in answers.items():
        text = text.replace(question, answer)
    text = re.sub(r'until: "TODO[^"]*"', "until: account_deleted", text)
    stock = re.search(r"(?ms)^      stock:\n.*?(?=^      \w)", text)
    assert stock
    path.write_text(text.replace(stock[0], "").replace("TODO", "The"))
    assert main(["map", "check", str(path), "--set", "account=1"]) == 0, capsys.readouterr().err
    assert "wave 0: bookshop: reader, purchase, review" in capsys.readouterr().out


def test_a_database_that_cannot_be_read_is_told_in_a_line(capsys: Out) -> None:
    assert main(["map", "import", "postgresql://nobody@127.0.0.1:1/none"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("dsr: the database cannot be read: ")


FIDES = """\
dataset:
  - fides_key: Shop DB
    name: The shop
    collections:
      - name: customer
        fields:
          - name: id
            data_categories: [user.unique_id]
            fides_meta: {primary_key: true}
          - name: email
            data_categories: [user.contact.email]
            fides_meta: {identity: email, data_type: string}
          - name: profile
            fields:
              - name: birthday
                data_categories: [user.demographic.date_of_birth]
              - name: shoe
      - name: Orders
        fields:
          - name: order_id
            data_categories: [user.no.such]
            fides_meta: {primary_key: true}
          - name: customer_id
            data_categories: [user.unique_id]
            fides_meta:
              references:
                - {dataset: Shop DB, field: customer.id, direction: from}
                - {dataset: other, field: log.id, direction: to}
"""


def test_a_fides_dataset_becomes_a_draft(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "dataset.yml").write_text(FIDES)
    assert main(["map", "import", str(tmp_path / "dataset.yml")]) == 0
    collections = yaml.safe_load(capsys.readouterr().out)["stores"]["shop_db"]["collections"]
    customer, orders = collections["customer"], collections["orders"]
    assert (customer["key"], orders["key"], orders["table"]) == (["id"], ["order_id"], "Orders")
    assert customer["fields"]["email"]["identity"] == {"is": "email", "verified": "TODO"}
    assert customer["fields"]["profile.birthday"]["category"] == "user.demographic.date_of_birth"
    assert customer["fields"]["profile.shoe"]["category"] == "TODO"
    assert orders["fields"]["customer_id"]["references"] == "shop_db.customer.id", "from, not to"
    assert orders["fields"]["order_id"]["category"] == "user.unique_id", (
        "what the taxonomy lacks is guessed anew"
    )


@pytest.mark.parametrize("text", ["", "a: 1\n", "dataset: []\n", "dataset: [{fides_key: x}]\n", "a: [\n"])
def test_what_is_no_dataset_is_told(tmp_path: Path, capsys: Out, text: str) -> None:
    (tmp_path / "dataset.yml").write_text(text)
    assert main(["map", "import", str(tmp_path / "dataset.yml")]) == 1
    assert "dataset.yml:1: no Fides dataset file" in capsys.readouterr().err
