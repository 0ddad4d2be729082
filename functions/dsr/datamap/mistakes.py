"""What the schema finds wrong with a map, in words: where in the file, and the way out."""

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from dsr.datamap import schema
from dsr.datamap.parts import CATEGORY, DURATION, FIELD_NAME, NAME, ROLE, Strict
from dsr.datamap.source import At, Problems, Source, suggest


def tell(error: ValidationError, source: Source, problems: Problems) -> None:
    """Note every mistake that the schema found."""
    errors = error.errors()
    # A key that is missing and one that is unknown beside it: it may be the missing one misspelt.
    misspelt = {e["loc"][:-1] for e in errors if e["type"] == "extra_forbidden"}
    for e in errors:
        if e["type"] == "missing" and e["loc"][:-1] in misspelt:
            continue
        problems.add(_place(e, source), _explain(e))


def _place(error: ErrorDetails, source: Source) -> At:
    """Where it stands in the file: between its words pydantic names which of several forms it took."""
    *above, last = (str(part) for part in error["loc"]) if error["loc"] else ("",)
    if error["type"].startswith("union_tag_"):
        above, last = [*above, last], "kind"
    at: At = ()
    for part in above:
        at = (*at, part) if (*at, part) in source.lines else at
    return (*at, last) if last != "[key]" else at


def _explain(error: ErrorDetails) -> str:
    word = str(error["loc"][-1]) if error["loc"] else ""
    match error["type"]:
        case "extra_forbidden":
            return f"no such key here{_where_else(word, _model_at(error['loc'][:-1]))}"
        case "missing":
            return _missing(word, error["loc"])
        case "union_tag_invalid":
            return f"{_one_of(error)}{suggest(str(error['ctx']['tag']), schema.KINDS)}"
        case "value_error":
            return str(error["ctx"]["error"])  # in our own words
        case "union_tag_not_found":
            return f"is missing: {_one_of(error)}"
        case "string_pattern_mismatch":
            return _SHAPES.get(error["ctx"]["pattern"], str(error["msg"]))
        case "literal_error":
            expected = str(error["ctx"]["expected"])
            words = re.findall(r"'([^']+)'", expected)
            return f"must be {expected}{suggest(str(error['input']), words)}"
        case told:
            return _FORMS.get(told, str(error["msg"]))


# What a value must be, by pydantic's name of the mistake.
_FORMS = {
    "string_type": "must be a text: put it in quotes",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "list_type": "must be a list: [a, b]",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "date_type": "must be a day, such as 2026-01-31",
    "date_from_datetime_parsing": "must be a day, such as 2026-01-31",
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type"),
        "must be a mapping of keys to values",
    ),
}
_SHAPES = {
    NAME: "must be a word of lower-case letters, digits and _ that begins with a letter, such as my_shop",
    FIELD_NAME: "must be the name of a field: letters, digits and _, nested with dots, such as address.city",
    DURATION: "must be an ISO 8601 duration, such as P90D, P2Y or PT24H",
    CATEGORY: "must be a data category of the Fides taxonomy, such as user.contact.email",
    ROLE: "must be an ARN: it begins with arn:",
}


def _one_of(_: ErrorDetails) -> str:
    return "must be " + " or ".join(f"'{kind}'" for kind in schema.KINDS)


def _missing(word: str, loc: tuple[int | str, ...]) -> str:
    kind = str(loc[2]) if len(loc) > 2 and loc[0] == "stores" else ""
    if kind and loc[3:4] == ("connection",):
        return f"is missing: a {kind} store needs {word}"
    own = _model_at(loc[:-1])
    if kind and len(loc) == 6 and own and word not in schema.MapCollection.model_fields:
        return f"is missing: a {kind} collection needs `{word}`"
    return "is missing"


def _where_else(word: str, here: type[BaseModel] | None) -> str:
    """Which word may have been meant here; or that it is one, and of what."""
    if near := suggest(word, _words(here) if here else ()):
        return near
    owners = sorted({kind for kind, k in schema.KINDS.items() if word in _own_words(k.model)})
    if owners and here and issubclass(here, schema.MapCollection):
        return f", it is a word of {' and '.join(owners)}"
    everywhere = {w for model in _models(Strict) for w in _words(model)}
    return ", it belongs elsewhere" if word in everywhere else suggest(word, everywhere)


def _own_words(store: type[BaseModel]) -> set[str]:
    collection = _inside(store.model_fields["collections"].annotation, "")
    return _words(collection) - _words(schema.MapCollection) if collection else set()


def _words(model: type[BaseModel]) -> set[str]:
    return {f.alias or name for name, f in model.model_fields.items()}


def _models(base: type[BaseModel]) -> set[type[BaseModel]]:
    return {base}.union(*(_models(m) for m in base.__subclasses__()))


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model whose keys stand at that place."""
    found: Any = schema.DataMap
    for part in loc:
        if isinstance(found, type) and issubclass(found, BaseModel):
            by_word = {f.alias or n: f.annotation for n, f in found.model_fields.items()}
            found = by_word.get(str(part))
        else:
            found = _inside(found, str(part))
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _inside(annotation: Any, part: str) -> Any:
    """What stands one step inside: an item, a value, or the form that pydantic calls `part`."""
    if get_origin(annotation) is Annotated:
        return _inside(get_args(annotation)[0], part)
    if get_origin(annotation) in (Union, types.UnionType):
        forms = [form for form in get_args(annotation) if part in _called(form)]
        return _plain(forms[0]) if forms else None
    if get_origin(annotation) in (dict, Mapping, list):
        return _plain(get_args(annotation)[-1])
    return None


def _plain(annotation: Any) -> Any:
    return (
        get_args(annotation)[0]
        if get_origin(annotation) is Annotated and not _is_union(annotation)
        else annotation
    )


def _is_union(annotation: Any) -> bool:
    return get_origin(get_args(annotation)[0]) in (Union, types.UnionType)


def _called(form: Any) -> set[str]:
    """The names that pydantic gives a form in a place: its tag, its kind, or its class."""
    tags = (
        {a.tag for a in get_args(form)[1:] if isinstance(a, Tag)} if get_origin(form) is Annotated else set()
    )
    if isinstance(form, type) and issubclass(form, BaseModel):
        kind = form.model_fields.get("kind")
        return {form.__name__, *(get_args(kind.annotation) if kind else ())}
    return tags
