"""DynamoDB's expressions: a reserved word as a plain name is refused on AWS, and taken by the local cloud."""

import ast
import json
import re
from collections.abc import Iterator

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from tests.template import reach
from tests.template.cloudformation import ROOT
from tests.template.test_workflows import strings

# What makes a text an expression: a comparison with a placeholder, or one of the functions.
_EXPRESSION = re.compile(r"(?:[=<>+,]|AND|ADD #?\w+)\s*:\w+|attribute_(?:not_)?exists\(|begins_with\(")
_OF_THE_LANGUAGE = {
    "ADD", "AND", "BETWEEN", "DELETE", "IN", "NOT", "OR", "REMOVE", "SET",
    "ATTRIBUTE_EXISTS", "ATTRIBUTE_NOT_EXISTS", "ATTRIBUTE_TYPE", "BEGINS_WITH", "CONTAINS",
    "IF_NOT_EXISTS", "LIST_APPEND", "SIZE",
}  # fmt: skip


def plain_names(expression: str) -> set[str]:
    """The attribute names that stand in an expression as they are."""
    words = re.findall(r"[#:]?\w+", expression)
    return {w for w in words if w[0] not in "#:" and not w.isdigit() and w.upper() not in _OF_THE_LANGUAGE}


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression in the library and the workflows, with where it stands."""
    for name, path in reach.modules_by_file().items():
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if _EXPRESSION.search(text) and "\n" not in text:  # a docstring is none
                yield f"{name}:{node.lineno}", text
    for file in (ROOT / "workflows").glob("*.asl.json"):
        for where, text in strings(json.loads(file.read_text())):
            if where.endswith("Expression"):
                yield f"{file.name}{where}", text


def test_no_reserved_word_is_used_as_a_name() -> None:
    """Reserved words in DynamoDB, Amazon DynamoDB Developer Guide; whatever their case."""
    reserved = {word.upper() for word in ReservedKeywords.get_reserved_keywords()}
    assert len(reserved) > 500
    found = list(expressions())
    assert len(found) > 10
    for where, expression in found:
        assert not {n for n in plain_names(expression) if n.upper() in reserved}, f"{where}: {expression}"
