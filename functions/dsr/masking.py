"""Erasing in stores whose records can stay masked: with the secret of keyed hashes."""

from dataclasses import dataclass
from functools import partial

from dsr.erasing import Erasing
from dsr.settings import read
from dsr.working_key import working_key


@dataclass(frozen=True)
class Settings:
    """Environment of a worker whose store can be masked."""

    mac_key: str


def mask_key() -> bytes:
    """The secret of keyed hashes: the same in every worker, so that equal values stay equal."""
    return working_key(read(Settings).mac_key, "mask")


# What `Erasing` makes, with the key at hand.
masking = partial(Erasing, mask_key=mask_key)
