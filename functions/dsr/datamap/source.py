"""The map's file: its YAML with the line of every path in it, and what is found wrong with it."""

import difflib
import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from dsr.errors import MapError

At = tuple[str, ...]


class _Loader(
    yaml.reader.Reader,
    yaml.scanner.Scanner,
    yaml.parser.Parser,
    yaml.composer.Composer,
    yaml.constructor.SafeConstructor,
    yaml.resolver.Resolver,
):
    """YAML's safe loader, put together anew: other tools of the same process teach the shared one more."""

    def __init__(self, stream: str) -> None:
        yaml.reader.Reader.__init__(self, stream)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        yaml.constructor.SafeConstructor.__init__(self)
        yaml.resolver.Resolver.__init__(self)


# What such tools take from the constructor itself, and with it from all loaders: to them a date is text.
_Loader.add_constructor(  # type: ignore[type-var]
    "tag:yaml.org,2002:timestamp", yaml.constructor.SafeConstructor.construct_yaml_timestamp
)


class Source:
    """The file with the line of every path in it, so that an error can point; MapError if it is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[At, int] = {}
        text = self._read()
        try:
            node = yaml.compose(text, Loader=_Loader)  # type: ignore[arg-type]
            if node is None or node.tag == "tag:yaml.org,2002:null":
                raise MapError(f"{path}:1: the file is empty")
            if not isinstance(node, yaml.MappingNode):
                raise MapError(f"{path}:{node.start_mark.line + 1}: not a mapping of keys to values")
            self._walk(node, (), ())
            self.content: dict[Any, Any] = yaml.load(text, Loader=_Loader)  # type: ignore[arg-type]  # noqa: S506
        except yaml.YAMLError as error:
            raise MapError(f"{path}:{_line(error, text)}: not YAML: {_problem(error)}") from None
        except ValueError as error:  # what looks like a date and is none
            raise MapError(f"{path}:1: a value looks like a date and is none: {error}; quote it") from None

    def _read(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise MapError(f"{self.path}:1: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise MapError(f"{self.path}:{line}: not UTF-8 text") from None

    def _walk(self, node: yaml.Node, at: tuple[str, ...], above: tuple[yaml.Node, ...]) -> None:
        line = node.start_mark.line + 1
        if node in above:
            raise MapError(
                f"{self.path}:{line}: `{'.'.join(at)}` holds itself (an alias of what is around it)"
            )
        self.lines.setdefault(at, line)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise MapError(f"{self.path}:{line}: a key must be a plain word")
                if key.value in seen:
                    raise MapError(f"{self.path}:{line}: `{key.value}` stands here twice")
                seen.add(key.value)
                self.lines[(*at, key.value)] = line
                self._walk(value, (*at, key.value), (*above, node))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._walk(value, (*at, str(number)), (*above, node))

    def line(self, at: At) -> int:
        """The line of that path, or of the nearest one above that stands in the file."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    def filled(self, values: dict[str, str], problems: "Problems") -> Any:
        """The content with `${name}` replaced from `values`."""
        return _fill(self.content, problems, values)


class Problems:
    """What is wrong with a map, told all at once: each with file, line, path and the way out."""

    def __init__(
        self, source: Source, at: At = (), found: dict[tuple[int, At, str], None] | None = None
    ) -> None:
        self._source, self._at = source, at
        self._found = {} if found is None else found

    def below(self, *at: str) -> "Problems":
        """The same, seen from a path further down: what is added there is told with its whole path."""
        return Problems(self._source, (*self._at, *at), self._found)

    def add(self, at: At, message: str) -> None:
        """Note a mistake at that path below this one; checking goes on."""
        path = (*self._at, *at)
        self._found[(self._source.line(path), path, message)] = None

    def stop_if_any(self) -> None:
        """Raises MapError with all mistakes noted so far, in the order of the file."""
        told = [
            f"{self._source.path}:{line}: `{'.'.join(at)}`: {said}" for line, at, said in sorted(self._found)
        ]
        if told:
            raise MapError("\n".join(told))


def suggest(word: str, known: Iterable[str]) -> str:
    """A did-you-mean, to be appended; "" where nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _fill(value: Any, problems: Problems, values: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _fill(v, problems.below(str(k)), values) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, problems.below(str(n)), values) for n, v in enumerate(value)]
    if isinstance(value, str) and re.match(r"TODO\b", value):  # as `dsr map import` leaves it
        question = value.removeprefix("TODO").strip(" :")
        problems.add((), f"is still to be decided{': ' if question else ''}{question}")
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return string.Template(value).substitute(values)
    except KeyError as error:
        name = error.args[0]
        problems.add((), f"`${{{name}}}` has no value; give it with --set {name}=…")
    except ValueError:
        problems.add((), "a `$` that is no `${name}` must be written `$$`")
    return value


def _line(error: yaml.YAMLError, text: str) -> int:
    mark = getattr(error, "problem_mark", None)
    if mark:
        return int(mark.line) + 1
    return text.count("\n", 0, getattr(error, "position", 0)) + 1  # of a character that YAML forbids


def _problem(error: yaml.YAMLError) -> str:
    said = getattr(error, "problem", None) or getattr(error, "reason", None)
    return str(said or error)
