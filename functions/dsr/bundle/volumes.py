"""The zips of one bundle: one, or several where it is large; each a zip by itself.

All stay open until the end: only then is known how many they are, and what the overview in the first one
says. What waits of each is in staging, sealed, since it holds a person's bytes and names of files.
"""

from dataclasses import asdict
from typing import Any

from dsr.bundle.archive import Archive, Member
from dsr.bundle.upload import Upload, UploadState
from dsr.staging import Staging

_SLACK = 64 * 1024 * 1024  # what is written at once whose size is not known before


class Volumes:
    """The zips of the bundle in `bucket` under `key`; another begins before one exceeds `limit` bytes.

    `archive` and `upload` are those that are turned to, at first the last, and `members` what it holds.
    """

    def __init__(self, bucket: str, key: str, staging: Staging, limit: int) -> None:
        self._bucket, self._key, self._staging, self.limit = bucket, key, staging, limit
        self._states: list[dict[str, Any]] = []
        self._now = -1
        self.upload: Upload
        self.archive: Archive
        self.members: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Begin the first."""
        self._states = []
        self._begin()

    def take_up(self, states: list[dict[str, Any]]) -> bool:
        """Go on where `save` left off; False if what was sent is not there any more.

        So it is when the zips were made, and the call was killed before it said so; and when S3 threw the
        parts away after days.
        """
        self._states = states
        for number in sorted({0, len(states) - 1}):
            self._open(number)
            if not self.upload.is_open():
                return False
        return True

    def save(self) -> list[dict[str, Any]]:
        """Put the last one aside; returns all that `take_up` needs."""
        self._put_aside()
        return self._states

    def make_room(self, size: int | None = None) -> None:
        """Begin another zip if what comes, of `size` bytes, would make this one too large."""
        coming = min(_SLACK, self.limit // 4) if size is None else size
        if self.members and self.archive.tell() + coming > self.limit:
            self._put_aside()
            self._begin()

    def add(self, member: Member) -> None:
        """Note a file that was written to the last one."""
        self.members.append(asdict(member))

    def __len__(self) -> int:
        return len(self._states)

    def each(self) -> list[int]:
        """The numbers of the zips, for `turn_to`: to be closed in this order, so that `take_up` sees it."""
        if len(self._states) > 1:
            self._put_aside()
        return list(range(len(self._states)))

    def turn_to(self, number: int) -> None:
        """Have `archive` and `members` be those of that zip."""
        if number != self._now:
            self._open(number)

    def finish(self) -> dict[str, Any]:
        """Close the zip that was turned to; returns its key and size."""
        self.archive.finish()
        return {"key": self._key_of(self._now), "size": self.upload.tell()}

    def _key_of(self, number: int) -> str:
        stem, dot, ending = self._key.rpartition(".")
        return f"{stem}-{number + 1}{dot}{ending}" if number else self._key

    def _begin(self) -> None:
        self._now = len(self._states)
        self.upload = Upload.begin(self._bucket, self._key_of(self._now))
        self.archive, self.members = Archive(self.upload), []
        self._states.append({})

    def _open(self, number: int) -> None:
        state = self._states[number]
        rest = self._staging.get(f"bundle/rest/{state['rest']}") if state["rest"] else b""
        if rest is None:
            raise RuntimeError(f"what waited of zip {number + 1} vanished")
        self._now = number
        self.upload = Upload(self._bucket, self._key_of(number), UploadState(**state["upload"], rest=rest))
        self.archive, self.members = Archive(self.upload, state["directory"]), list(state["members"])

    def _put_aside(self) -> None:
        state = asdict(self.upload.pause())
        rest = state.pop("rest")
        # Under a name of its own: a killed call leaves what the saved place knows as it was.
        name = f"{self._now}-{self.upload.tell()}" if rest else ""
        if rest:
            self._staging.put(f"bundle/rest/{name}", rest)
        self._states[self._now] = {
            "upload": state, "directory": self.archive.pause(), "members": self.members, "rest": name,
        }  # fmt: skip
