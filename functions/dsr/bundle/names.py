"""Safe names for other people's files: what a stranger called a file must not steer anyone's computer."""

import re
import unicodedata

# Windows' device names, reserved whatever their extension, and with spaces before it.
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)")
# Bytes, not letters: most file systems take 255, and the number of a clash comes on top.
_LONGEST = 200
_LONGEST_ENDING = 20


def safe_name(key: str, taken: set[str]) -> str:
    """A file name for the object `key` that is unique in `taken` (which it joins).

    The last part of the key, without separators, control and direction characters, reserved names
    and dots or spaces at its ends; clashes (also by case) get a number.
    """
    last = re.split(r"[/\\]", key.rstrip("/\\"))[-1]
    plain = "".join(c if _harmless(c) else "_" for c in unicodedata.normalize("NFC", last)).strip(" .")
    if _RESERVED.match(plain):
        plain = "_" + plain
    stem, dot, ending = (plain or "file").rpartition(".")
    if not stem:
        stem, dot, ending = ending, "", ""
    ending = _cut(ending, _LONGEST_ENDING)
    dot = dot if ending else ""
    stem = _cut(stem, _LONGEST - len(ending.encode()))
    name, number = f"{stem}{dot}{ending}", 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}{dot}{ending}"
    taken.add(name.casefold())
    return name


def _cut(text: str, size: int) -> str:
    """The beginning of `text` that fits into `size` bytes of UTF-8, no letter cut in two."""
    return text.encode()[:size].decode(errors="ignore").rstrip(" .")


def _harmless(c: str) -> bool:
    # Cf holds the bidirectional overrides that make `gnp.exe` read `exe.png`, Zl and Zp end a line.
    category = unicodedata.category(c)
    return category[0] != "C" and category not in ("Zl", "Zp") and c not in '<>:"/\\|?*'
