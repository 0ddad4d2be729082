"""Which calls to AWS each function can reach, read from the code.

A method counts as reached when its class is used and its name is called anywhere that is reached
(rapid type analysis, without the types): more than what is called, never less, as long as

- AWS is called through `dsr.aws.client("a literal name")` alone, which a test holds;
- a method that a library calls back is a special one, one of `CALLED_BACK`, or of a class derived from the
  library's;
- a module that a handler imports under a name with an underscore may be used in full by name.
"""

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

FUNCTIONS = Path(__file__).parents[2] / "functions"
CALLED_BACK = {"write", "flush", "tell"}  # of streams that we hand to a library

# Methods that a function only seems to call, since another object's has the same name. Each with the reason.
NOT_CALLED: dict[str, dict[tuple[str, str], str]] = {
    "take_answer": {
        ("dsr.staging", "Staging.get"): "it only keeps what it cannot read; `get` is of dicts and the book",
    },
}
_PROPERTIES = {"property", "cached_property"}


@dataclass(frozen=True)
class Module:
    """A source file: its definitions by `name` or `Class.name`, and what its imported names stand for."""

    name: str
    tree: ast.Module

    @cached_property
    def definitions(self) -> dict[str, ast.FunctionDef]:
        """Functions and methods."""
        found = {}
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = node
            elif isinstance(node, ast.ClassDef):
                methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
                found |= {f"{node.name}.{method.name}": method for method in methods}
        return found

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """Classes by name."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """Local name → (module of ours, name in it; empty for the module itself)."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    target = (whole, "") if whole in modules_by_file() else (node.module, alias.name)
                    if target[0] in modules_by_file():
                        found[alias.asname or alias.name] = target
        return found


@cache
def modules_by_file() -> dict[str, Path]:
    """Every module of the library and every handler, by its dotted name."""
    files = [*(FUNCTIONS / "dsr").rglob("*.py"), *FUNCTIONS.glob("*/handler.py")]
    return {
        ".".join(f.relative_to(FUNCTIONS).with_suffix("").parts).removesuffix(".__init__"): f
        for f in sorted(files)
    }


@cache
def module(name: str) -> Module:
    """The module of that dotted name."""
    return Module(name, ast.parse(modules_by_file()[name].read_text()))


def handlers() -> list[str]:
    """The folders of functions/ that hold a handler."""
    return sorted(name.removesuffix(".handler") for name in modules_by_file() if name.endswith(".handler"))


@cache
def reached(folder: str, believe: bool = True) -> frozenset[tuple[str, str]]:
    """(module, definition) of everything that the function in that folder can reach.

    `believe`: leave out what NOT_CALLED says, and what follows from it.
    """
    search = _Search(without=NOT_CALLED.get(folder, {}).keys() if believe else ())
    search.begin(f"{folder}.handler")
    return frozenset(search.found)


@dataclass
class _Search:
    without: Collection[tuple[str, str]] = ()
    found: set[tuple[str, str]] = field(default_factory=set)
    used: set[tuple[str, str]] = field(default_factory=set)  # classes
    called: set[str] = field(default_factory=set)  # names of methods called on whatever
    read: set[str] = field(default_factory=set)  # names of attributes read
    loaded: set[str] = field(default_factory=set)
    todo: list[tuple[str, str, list[ast.AST]]] = field(default_factory=list)

    def begin(self, handler: str) -> None:
        self._load(handler)
        for name in module(handler).definitions:
            self._add(handler, name)
        for local, (target, name) in module(handler).imported.items():
            if local.startswith("_") and not name:
                for definition in module(target).definitions:
                    self._add(target, definition)
        while self.todo:
            while self.todo:
                self._read(*self.todo.pop())
            self._link_methods()

    def _load(self, name: str) -> None:
        """What runs when the module is imported."""
        if name in self.loaded:
            return
        self.loaded.add(name)
        tree = module(name).tree
        passive = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
        self.todo.append((name, "", [node for node in tree.body if not isinstance(node, passive)]))
        for target, _ in module(name).imported.values():
            self._load(target)

    def _add(self, name: str, definition: str) -> None:
        if (name, definition) not in self.found and (name, definition) not in self.without:
            self.found.add((name, definition))
            node = module(name).definitions[definition]
            parts = [*node.body, *node.decorator_list, *node.args.defaults]
            self.todo.append((name, definition, [*parts, *(d for d in node.args.kw_defaults if d)]))

    def _use(self, name: str, cls: str) -> None:
        if (name, cls) not in self.used:
            self.used.add((name, cls))
            for base in module(name).classes[cls].bases:
                if isinstance(base, ast.Name):
                    self._refer(name, base.id)

    def _refer(self, name: str, local: str) -> None:
        """A name is used in module `name`."""
        target, plain = module(name).imported.get(local, (name, local))
        if plain in module(target).definitions:
            self._add(target, plain)
        elif plain in module(target).classes:
            self._use(target, plain)

    def _read(self, name: str, definition: str, nodes: list[ast.AST]) -> None:
        every = list(walk(nodes))
        # Emptying a function's cache is no call of it.
        emptied = {id(n.value) for n in every if isinstance(n, ast.Attribute) and n.attr == "cache_clear"}
        for node in every:
            if isinstance(node, ast.Name):
                if id(node) not in emptied:
                    self._refer(name, node.id)
            elif isinstance(node, ast.Call):
                self._read_call(name, definition, node)
            elif isinstance(node, ast.Attribute):
                target, plain = self._base(name, node)
                if target and not plain:
                    self._refer(target, node.attr)
                self.read.add(node.attr)
            # A method handed on rather than called: an argument, or an element of a table.
            for value in _handed(node):
                self.called.add(value.attr)

    def _read_call(self, name: str, definition: str, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self.called.add(node.func.attr)
        elif isinstance(node.func, ast.Name) and node.func.id == "getattr" and "." in definition:
            on, attribute = node.args[:2]
            if isinstance(on, ast.Name) and on.id == "self" and not isinstance(attribute, ast.Constant):
                cls = definition.partition(".")[0]
                for other in module(name).definitions:
                    if other.startswith(f"{cls}."):
                        self._add(name, other)

    def _base(self, name: str, node: ast.Attribute) -> tuple[str, str]:
        on = node.value
        return module(name).imported.get(on.id, ("", "")) if isinstance(on, ast.Name) else ("", "")

    def _link_methods(self) -> None:
        for name, cls in list(self.used):
            node = module(name).classes[cls]
            foreign = any(not self._ours(name, base) for base in node.bases)
            for definition, method in module(name).definitions.items():
                own, _, plain = definition.partition(".")
                if own != cls:
                    continue
                marks = {d.id for d in method.decorator_list if isinstance(d, ast.Name)}
                called_back = plain.startswith("__") or plain in CALLED_BACK or foreign
                if called_back or plain in (self.read if marks & _PROPERTIES else self.called):
                    self._add(name, definition)

    def _ours(self, name: str, base: ast.expr) -> bool:
        if not isinstance(base, ast.Name):
            return False
        return base.id in module(name).classes or base.id in module(name).imported or base.id in _PLAIN_BASES


_PLAIN_BASES = {"Exception", "Protocol", "StrEnum", "IntEnum"}
_TAKE_VALUES = {"bytes", "dict", "enumerate", "int", "len", "list", "set", "str", "sum", "tuple", "zip"}


def walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Every node below, annotations left out: naming a type is no use of it."""
    todo = list(nodes)
    while todo:
        node = todo.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                continue
            todo += [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, ast.AST)]


def _handed(node: ast.AST) -> list[ast.Attribute]:
    values: list[ast.expr | None] = []
    if isinstance(node, ast.Call):
        plain = isinstance(node.func, ast.Name) and node.func.id in _TAKE_VALUES
        values = [*([] if plain else node.args), *(k.value for k in node.keywords)]
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        values = list(node.elts)
    elif isinstance(node, ast.Dict):
        values = list(node.values)
    return [v for v in values if isinstance(v, ast.Attribute)]


def calls(name: str, definition: str) -> set[str]:
    """The calls to AWS in one function under its own role: `service.operation`, in boto3's words."""
    node = module(name).definitions[definition]
    clients = {
        target.id: service
        for n in ast.walk(node)
        if isinstance(n, ast.Assign) and (service := _client(n.value))
        for target in n.targets
        if isinstance(target, ast.Name)
    }
    found = set()
    for n in ast.walk(node):
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute):
            on = n.func.value
            service = clients.get(on.id, "") if isinstance(on, ast.Name) else _client(on)
            if service:
                found.add(f"{service}.{_operation(n)}")
    return found


def _operation(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr in ("get_paginator", "generate_presigned_url"):
        argument = call.args[0]
        assert isinstance(argument, ast.Constant), "an operation is named literally"
        return str(argument.value)
    return call.func.attr


def _client(node: ast.AST) -> str:
    """The service of `client("service")`, or ""."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "client":
        argument = node.args[0]
        assert isinstance(argument, ast.Constant), "a service is named literally"
        return str(argument.value)
    return ""


@cache
def call_sites() -> dict[str, set[str]]:
    """`module.definition` (without `dsr.`) → its calls, for all code."""
    found = {}
    for name in modules_by_file():
        for definition in module(name).definitions:
            if made := calls(name, definition):
                found[site(name, definition)] = made
    return found


def site(name: str, definition: str) -> str:
    """How a place in the code is written in tables."""
    return f"{name}.{definition}".removeprefix("dsr.")


def sites_of(folder: str) -> set[str]:
    """The places with calls to AWS that the function in that folder can reach."""
    return {site(*at) for at in reached(folder)} & call_sites().keys()


def late_imports(folder: str) -> set[str]:
    """The modules that the function in that folder imports only when it comes to use them."""
    found = set()
    for name, definition in reached(folder):
        for node in ast.walk(module(name).definitions[definition]):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found


def settings_of(folder: str) -> set[tuple[str, str]]:
    """(module, class) of what the function in that folder reads by `dsr.settings.read`."""
    found = set()
    for name, definition in reached(folder):
        for node in ast.walk(module(name).definitions[definition]):
            if isinstance(node, ast.Call) and _is_read(name, node.func):
                (kind,) = node.args
                assert isinstance(kind, ast.Name), "settings are read as a class by its name"
                found.add(module(name).imported.get(kind.id, (name, kind.id)))
    return found


def _is_read(name: str, function: ast.expr) -> bool:
    imported = module(name).imported
    if isinstance(function, ast.Name):
        return imported.get(function.id) == ("dsr.settings", "read")
    on = function.value if isinstance(function, ast.Attribute) else None
    if not isinstance(function, ast.Attribute) or not isinstance(on, ast.Name):
        return False
    return function.attr == "read" and imported.get(on.id) == ("dsr.settings", "")
