"""What moto holds, read straight from it: by its API the same takes ten times as long, and a matrix reads
all of it after every trial."""

from collections.abc import Iterator
from typing import Any

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID

from dsr.casebook import Casebook
from dsr.casekey import unseal
from dsr.items import from_item
from dsr.staging import Staging
from tests.conftest import REGION


def items(table: str) -> list[dict[str, Any]]:
    """Every item of a table, in DynamoDB's form."""
    found = get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][REGION].get_table(table).all_items()
    return [item.to_json()["Attributes"] for item in found]


def objects(bucket: str, prefix: str = "") -> dict[str, bytes]:
    """The objects under a prefix as they are now: the content of each by its key."""
    keys = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket].keys
    return {
        name: key.value for name, key in keys.items() if name.startswith(prefix) and hasattr(key, "value")
    }


class Parts(Casebook):
    """The casebook, all parts of a case but the case itself read from inside."""

    def parts(self, case_id: str, prefix: str) -> Iterator[dict[str, Any]]:
        """As the casebook's."""
        for item in map(from_item, items(self.cases)):
            if item["case_id"] == case_id and item["part"].startswith(prefix):
                yield item


class Staged(Staging):
    """Staging, its objects read from inside."""

    def all(self) -> dict[str, str]:
        """What is staged for the case, unsealed, by name."""
        sealed = objects(self._bucket, self._prefix)
        return {
            name.removeprefix(self._prefix): unseal(self._case.case_id, self._keys, content).decode()
            for name, content in sorted(sealed.items())
        }
