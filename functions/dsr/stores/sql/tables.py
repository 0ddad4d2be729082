"""What a table is like, by the database's own word, and whether what the map says of it can be kept.

All of it is checked before anything is read or erased: what a database would only refuse half-way through,
or would answer with silence, is a fault that names the table and the column.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from dsr.datamap.plan import Collection, Way
from dsr.errors import StoreFault
from dsr.treatments import Masking, Masks


@dataclass(frozen=True)
class Column:
    """A column. `type` is what a cast to it names, `kind` its plain type, which decides its form in JSON.

    `folds`: equality does not tell capitals from small letters. `length`: of a text, 0 for no limit.
    """

    name: str
    type: str
    kind: str
    nullable: bool = True
    generated: bool = False
    folds: bool = False
    array: bool = False
    text: bool = False
    length: int = 0


@dataclass(frozen=True)
class Table:
    """A table or view, as `store` (which the map calls so) holds it."""

    store: str
    name: str  # as in the map
    quoted: str  # as in a statement
    columns: dict[str, Column]
    view: bool = False
    unique: tuple[frozenset[str], ...] = ()  # columns that together name one row
    leading: frozenset[str] = frozenset()  # what indexes begin with: a column, or lower(column)
    refers: frozenset[str] = frozenset()  # tables that its foreign keys lead to, named like `identity`
    identity: str = ""
    width: int = 0  # bytes of a row on average, where the database tells

    @property
    def about(self) -> str:
        """The table in the words of a fault."""
        return f"{self.store}: table {self.name}"

    def column(self, name: str) -> Column:
        """The column of that name. Raises StoreFault."""
        if name not in self.columns:
            raise StoreFault("missing_field", f"{self.store}: column {self.name}.{name}")
        return self.columns[name]

    def chosen(self, names: Iterable[str]) -> list[Column]:
        """The columns of these names. Raises StoreFault."""
        return [self.column(name) for name in names]

    def fault(self, code: str, about: str) -> StoreFault:
        """A fault of this table."""
        return StoreFault(code, f"{self.about}: {about}")

    # -- what must hold before anything is done ----------------------------------------------------

    def check_key(self, collection: Collection) -> None:
        """Raises StoreFault unless the key names every row, and each by itself.

        Reading goes on after the key of the last row: a row without it, or a second one with the same,
        would be passed over in silence. Of a view the database cannot tell; its rows are looked at instead.
        """
        key = self.chosen(collection.key)
        if self.view:
            return
        for column in key:
            if column.nullable:
                raise self.fault("unsupported", f"key column {column.name} may be null")
        if not any(names <= set(collection.key) for names in self.unique):
            raise self.fault("unsupported", f"no unique index on the key ({', '.join(collection.key)})")

    def folded(self, way: Way) -> bool:
        """Whether a search by `way` goes by `lower(column)`; not where the column itself folds."""
        lower = bool(way.identity and way.identity.normalise == "lower")
        return lower and not (self.column(way.field).folds and way.field in self.leading)

    def check_way(self, way: Way) -> None:
        """Raises StoreFault unless an index begins with what is searched: no query reads a whole table."""
        column = self.column(way.field)
        if column.array or column.kind in ("json", "jsonb"):
            raise self.fault("unsupported", f"column {way.field} holds several values: none can be looked up")
        wanted = f"lower({way.field})" if self.folded(way) else way.field
        if not self.view and wanted not in self.leading:
            raise self.fault("missing_index", f"index on {wanted}")

    def check_dated(self, dated: Column) -> None:
        """Raises StoreFault unless what has expired can be found by an index, and compared as a time."""
        if dated.name not in self.leading:
            raise self.fault("missing_index", f"index on {dated.name}")

    def check_masks(self, masks: Masks) -> None:
        """Raises StoreFault for a mask that the database could not carry out."""
        for name, treatment in masks.items():
            column = self.column(name)
            if column.generated:
                raise self.fault("unsupported", f"column {name} is generated and cannot be masked")
            if treatment.masking.how == "null":
                if not column.nullable and not self.view:
                    raise self.fault("unsupported", f"column {name} must not be null: mask it as `redacted`")
            elif not _holds(column, treatment.masking):
                holds = f"column {name} holds no {_form(treatment.masking)}"
                raise self.fault("unsupported", f"{holds}: mask it as `null`")
            elif column.text and 0 < column.length < treatment.longest:
                raise self.fault("unsupported", f"column {name} is too short for what the mask leaves")
            elif treatment.masking.how != "keyed_hash" and any(names == {name} for names in self.unique):
                raise self.fault("unsupported", f"column {name} must be unique: mask it as `null`")


# What a column may hold besides text, by the form of the mask.
_BESIDES = {
    "time": ("date", "timestamp", "timestamptz", "datetime"),
    "address": ("inet",),
    "number": (
        *("int2", "int4", "int8", "numeric"),
        *("tinyint", "smallint", "mediumint", "int", "bigint", "decimal"),
    ),
    "text": (),
}


def _form(masking: Masking) -> str:
    if masking.how == "truncate":
        return "address" if masking.to == "ip" else "time"
    return "number" if masking.how == "generalise" and "band" in masking.to else "text"


def _holds(column: Column, masking: Masking) -> bool:
    """Whether the column can hold what the mask leaves."""
    return not column.array and (column.text or column.kind in _BESIDES[_form(masking)])


def in_order(tables: dict[str, Table], names: list[str]) -> list[str]:
    """`names` such that what refers by a foreign key goes before what it refers to; else as they are.

    Where foreign keys go in a circle, the order among these stays as it is: then the database decides.
    """
    owner = {table.identity: name for name, table in tables.items()}
    left, ordered = list(names), list[str]()
    while left:
        needed = {
            owner[other]
            for name in left
            for other in tables[name].refers
            if other in owner and owner[other] != name
        }
        free = [name for name in left if name not in needed] or left[:1]
        ordered.append(free[0])
        left = [name for name in left if name != free[0]]
    return ordered
