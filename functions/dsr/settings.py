"""What a function is told by its environment: one frozen class per function, read at start.

A missing variable stops the function at once with its name, not later at its first use.
Plain dataclasses: building a pydantic model costs a cold start about 150 ms (docs/decisions.md).
"""

import os
from dataclasses import MISSING, fields
from typing import TypeVar

from dsr.errors import SettingMissing

T = TypeVar("T")


def read(kind: type[T]) -> T:
    """An instance of the dataclass `kind`, each field from the variable of its name in capitals.

    Fields are `str` or `int`. Raises SettingMissing naming the variable that is absent or no number.
    """
    values: dict[str, str | int] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        name = field.name.upper()
        text = os.environ.get(name)
        if text is None or text == "":
            if field.default is MISSING:
                raise SettingMissing(f"the environment variable {name} is not set")
            continue
        if field.type in (int, "int"):
            try:
                values[field.name] = int(text)
            except ValueError:
                raise SettingMissing(f"the environment variable {name} is no whole number") from None
        else:
            values[field.name] = text
    return kind(**values)
