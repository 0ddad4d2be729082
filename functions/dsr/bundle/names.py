"""Safe names for other people's files: what a stranger called a file must not steer anyone's computer."""

import re
import unicodedata

# Windows' reserved device names, whatever their extension.
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
_LONGEST = 120


def safe_name(key: str, taken: set[str]) -> str:
    """A file name for the object `key` that is unique in `taken` (which it joins).

    The last part of the key, without separators, control and direction characters, reserved names
    and trailing dots; clashes (also by case) get a number.
    """
    last = re.split(r"[/\\]", key.rstrip("/\\"))[-1]
    plain = "".join(c if _harmless(c) else "_" for c in unicodedata.normalize("NFC", last)).strip(" .")
    if _RESERVED.match(plain):
        plain = "_" + plain
    stem, dot, ending = (plain or "file").rpartition(".")
    if not stem:
        stem, dot, ending = ending, "", ""
    stem, ending = stem[: _LONGEST - len(ending[:16])], ending[:16]
    name, number = f"{stem}{dot}{ending}", 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}{dot}{ending}"
    taken.add(name.casefold())
    return name


def _harmless(c: str) -> bool:
    # Cf holds the bidirectional overrides that make `gnp.exe` read `exe.png`.
    return unicodedata.category(c)[0] != "C" and c not in '<>:"/\\|?*'
