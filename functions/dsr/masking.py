"""What workers do that hold the secret of keyed hashes: mask records that stay, tell whose a record is."""

from dataclasses import dataclass
from functools import partial

from dsr.erasing import Erasing
from dsr.settings import read
from dsr.subjects import subject_of
from dsr.working_key import working_key


@dataclass(frozen=True)
class Settings:
    """Environment of a worker whose store can be masked."""

    mac_key: str


def mask_key() -> bytes:
    """The secret of keyed hashes: the same in every worker, so that equal values stay equal."""
    return working_key(read(Settings).mac_key, "mask")


def person(is_account: bool, value: str) -> str:
    """The keyed hash that cases and holds know a person by: of their account's id, or of an address."""
    return subject_of([value] if is_account else [], value, read(Settings).mac_key)


# What `Erasing` makes, with the key at hand.
masking = partial(Erasing, mask_key=mask_key)
