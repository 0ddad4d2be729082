"""Everything that can go wrong on purpose, as one hierarchy to catch at the right height.

What is *not* here (a throttled call, a dropped connection) stays the exception that the
library raised: the workflow takes any exception for "try again".
"""


class DsrError(Exception):
    """Base of all errors that this product raises itself."""


class SettingMissing(DsrError):
    """A setting of the function is absent or malformed; the message names the variable."""


class NotFound(DsrError):
    """There is no such case, session or object."""


class Conflict(DsrError):
    """Somebody else moved the case first, or the move is not allowed from where it stands."""


class Refused(DsrError):
    """What was asked is understood and may not be done."""


class MapError(DsrError):
    """The data map is wrong; the message names file, line, path and the way out."""


class StoreFault(DsrError):
    """A store cannot answer and trying again will not help: a person must look.

    `code` is one of the fixed words below and may be shown, logged and stored; `about` names
    the thing at fault (a table, an index, a column, a permission), never a value of a person.
    """

    CODES = frozenset(
        {
            "missing_collection",
            "missing_index",
            "missing_field",
            "missing_permission",
            "missing_connection",
            "malformed_data",
            "still_referenced",
            "unsupported",
            "endless_references",
            "unreachable",
            "unsafe_address",
            "declined",
            "not_revoked",
            "overdue",
        }
    )

    def __init__(self, code: str, about: str) -> None:
        if code not in self.CODES:
            raise ValueError(f"unknown fault {code!r}")
        super().__init__(f"{code}: {about}")
        self.code = code
        self.about = about
