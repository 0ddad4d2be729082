"""What the front door remembers: codes, links, sessions, sign-ins under way, throttles.

One table (`id`, TTL `expires`). Whatever is secret or names somebody is in it only as an
HMAC-SHA-256 under a KMS key that cannot be read out: a copy of the table lets nobody guess a code
(10^8 of them are quickly tried against a plain hash), an address or a source. TTL removes late,
so every read and every condition looks at `expires` itself.

    code#<case>#<contact>       the newest code and link of one contact, attempts counted
    link#<mac>                  which contact a link belongs to
    session#<mac>               which cases a browser may see, and how far
    desk-session#<mac>          who of the desk a browser belongs to, and their roles
    sign-in#<mac>               a sign-in begun: single use, bound to the session
    throttle#<kind>#<mac>#<n>   how often in window n
"""

import base64
import hmac
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dsr.aws import client
from dsr.identity import (
    CODE_ATTEMPTS,
    CODE_SECONDS,
    LINK_BYTES,
    SESSION_SECONDS,
    SIGN_IN_SECONDS,
    THROTTLE_SECONDS,
    Grant,
    Level,
    challenge,
    new_code,
    new_token,
    proven,
    window,
)
from dsr.items import from_item, to_item

_MOST_CASES = 20  # of one session; those proven longest ago go first


@lru_cache(maxsize=256)
def _mac(key: str, message: str) -> str:
    # 256 are kept per worker so that following a case does not ask KMS for the same session again.
    answer = client("kms").generate_mac(KeyId=key, Message=message.encode(), MacAlgorithm="HMAC_SHA_256")
    return base64.urlsafe_b64encode(answer["Mac"]).rstrip(b"=").decode()


@dataclass(frozen=True)
class Session:
    """A browser we have seen: `id` is the MAC of its cookie, `grants` what it may do, by case id."""

    id: str
    expires: int
    grants: dict[str, Grant] = field(default_factory=dict)


@dataclass(frozen=True)
class Begun:
    """A sign-in under way."""

    case_id: str
    then: str
    verifier: str
    nonce: str


@dataclass(frozen=True)
class Expiring:
    """Items that expire by themselves, and what rests on them alone: sign-ins under way.

    `table` is the table's name, `mac_key` the KMS key (id, ARN or alias) of GenerateMac.
    """

    table: str
    mac_key: str

    def mac(self, kind: str, *parts: str) -> str:
        """The keyed hash of `parts` for one use (`kind`), so that two uses never compare."""
        return _mac(self.mac_key, "|".join((kind, *parts)))

    # -- signing in -----------------------------------------------------------------------------

    def begin_sign_in(self, session: str, case_id: str, then: str) -> tuple[str, str, str]:
        """Remember a sign-in begun in the browser `session`; returns its state, nonce and code challenge."""
        state, nonce, verifier = new_token(), new_token(), new_token(48)
        self._put(
            f"sign-in#{self.mac('state', state)}",
            int(time.time()) + SIGN_IN_SECONDS,
            session=session,
            case_id=case_id,
            then=then,
            verifier=verifier,
            nonce=nonce,
        )
        return state, nonce, challenge(verifier)

    def finish_sign_in(self, session: str, state: str) -> Begun | None:
        """The sign-in begun under `state` in this very browser, once; or None."""
        values = {":session": session, ":now": int(time.time())}
        taken = self._take(
            f"sign-in#{self.mac('state', state)}", "#session = :session AND expires > :now", values,
            {"#session": "session"},
        )  # fmt: skip
        return Begun(taken["case_id"], taken["then"], taken["verifier"], taken["nonce"]) if taken else None

    # -- the table ------------------------------------------------------------------------------

    def _put(self, item_id: str, expires: int, **values: Any) -> None:
        client("dynamodb").put_item(
            TableName=self.table, Item=to_item({"id": item_id, "expires": expires, **values})
        )

    def _get(self, item_id: str) -> dict[str, Any] | None:
        answer = client("dynamodb").get_item(
            TableName=self.table, Key=to_item({"id": item_id}), ConsistentRead=True
        )
        found = from_item(answer["Item"]) if "Item" in answer else None
        return found if found and found["expires"] > time.time() else None

    def _update(
        self,
        item_id: str,
        update: str,
        condition: str,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
    ) -> dict[str, Any] | None:
        dynamodb = client("dynamodb")
        try:
            answer = dynamodb.update_item(
                TableName=self.table,
                Key=to_item({"id": item_id}),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=to_item(values),
                ReturnValues="ALL_NEW",
                **({"ExpressionAttributeNames": names} if names else {}),
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return None
        return from_item(answer["Attributes"])

    def _take(
        self, item_id: str, condition: str, values: dict[str, Any], names: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        """Delete an item under a condition; returns what it was, so that only one of many gets it."""
        dynamodb = client("dynamodb")
        try:
            answer = dynamodb.delete_item(
                TableName=self.table,
                Key=to_item({"id": item_id}),
                ConditionExpression=condition,
                ExpressionAttributeValues=to_item(values),
                ReturnValues="ALL_OLD",
                **({"ExpressionAttributeNames": names} if names else {}),
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return None
        return from_item(answer["Attributes"])

    def _delete(self, item_id: str) -> None:
        client("dynamodb").delete_item(TableName=self.table, Key=to_item({"id": item_id}))


@dataclass(frozen=True)
class FrontDoor(Expiring):
    """The door for requesters."""

    # -- codes and links ------------------------------------------------------------------------

    def new_code(self, case_id: str, contact: int) -> tuple[str, str]:
        """A code and a link token for a contact; those before are void from now on."""
        code, link, expires = new_code(), new_token(LINK_BYTES), int(time.time()) + CODE_SECONDS
        link_mac = self.mac("link", link)
        self._put(
            f"code#{case_id}#{contact}",
            expires,
            code_mac=self._code_mac(case_id, contact, code),
            link_mac=link_mac,
            attempts=0,
        )
        self._put(f"link#{link_mac}", expires, case_id=case_id, contact=contact)
        return code, link

    def use_code(self, case_id: str, contact: int, code: str) -> bool:
        """Whether it was the contact's code; it and its link are then used up. Every try counts.

        Counting comes first and is atomic, so that guesses sent at once are no more than guesses
        sent one by one; and the count is of the code, so that the answer for a case that does not
        exist takes the same calls.
        """
        mac = self._code_mac(case_id, contact, code)
        found = self._update(
            f"code#{case_id}#{contact}",
            "SET attempts = attempts + :one",
            "attempts < :most AND expires > :now",
            {":one": 1, ":most": CODE_ATTEMPTS, ":now": int(time.time())},
        )
        if found is None or not hmac.compare_digest(found["code_mac"], mac):
            return False
        return self._take(f"code#{case_id}#{contact}", "code_mac = :is", {":is": mac}) is not None

    def find_link(self, link: str) -> tuple[str, int] | None:
        """The case and contact of a link that may still be used. Changes nothing."""
        mac = self.mac("link", link)
        found = self._get(f"link#{mac}")
        if found is None:
            return None
        code = self._get(f"code#{found['case_id']}#{found['contact']}")
        return (found["case_id"], found["contact"]) if code and code["link_mac"] == mac else None

    def use_link(self, link: str) -> tuple[str, int] | None:
        """The case and contact that the link proves; it and its code are then used up."""
        found = self.find_link(link)
        if found is None:
            return None
        condition, values = "link_mac = :is AND expires > :now", {":is": self.mac("link", link)}
        taken = self._take(f"code#{found[0]}#{found[1]}", condition, values | {":now": int(time.time())})
        return found if taken is not None else None

    def _code_mac(self, case_id: str, contact: int, code: str) -> str:
        # Not through `mac`: its cache would keep codes in memory.
        message = f"code|{case_id}|{contact}|{code}".encode()
        answer = client("kms").generate_mac(KeyId=self.mac_key, Message=message, MacAlgorithm="HMAC_SHA_256")
        return base64.urlsafe_b64encode(answer["Mac"]).rstrip(b"=").decode()

    # -- sessions -------------------------------------------------------------------------------

    def session(self, cookie: str) -> Session | None:
        """The session of a cookie, or None."""
        session_id = self.mac("session", cookie)
        found = self._get(f"session#{session_id}")
        if found is None:
            return None
        grants = {
            case_id: Grant(Level(g["level"]), g["fresh_until"], Level(g["fresh_as"]), g["account"])
            for case_id, g in found["grants"].items()
        }
        return Session(session_id, found["expires"], grants)

    def raise_session(self, was: Session | None, case_id: str, level: Level, account: str = "") -> str:
        """A new cookie for what the browser may do after a proof of `level`; the old one ends.

        `account` is the MAC of the account that signed in.

        The new name at every rise is the defence against a session planted before it (fixation).
        """
        grants = dict(was.grants) if was else {}
        grants[case_id] = proven(grants.pop(case_id, None), level, time.time(), account)
        newest = sorted(grants, key=lambda c: (c == case_id, grants[c].fresh_until))[-_MOST_CASES:]
        cookie = new_token()
        self._put(
            f"session#{self.mac('session', cookie)}",
            int(time.time()) + SESSION_SECONDS,
            grants={
                c: {
                    "level": int(g.level),
                    "fresh_until": g.fresh_until,
                    "fresh_as": int(g.fresh_as),
                    "account": g.account,
                }
                for c, g in grants.items()
                if c in newest
            },
        )
        if was:
            self._delete(f"session#{was.id}")
        return cookie

    # -- cancelling a deletion ------------------------------------------------------------------

    def new_cancel(self, case_id: str, until: int) -> str:
        """The secret of a link that cancels a deletion, good until `until` (seconds since 1970)."""
        token = new_token()
        self._put(f"cancel#{self.mac('cancel', token)}", until, case_id=case_id)
        return token

    def find_cancel(self, token: str) -> str | None:
        """The case that a link cancels, or None. Changes nothing."""
        found = self._get(f"cancel#{self.mac('cancel', token)}")
        return str(found["case_id"]) if found else None

    # -- throttles ------------------------------------------------------------------------------

    def admit(self, kind: str, who: str, limit: int, seconds: int = THROTTLE_SECONDS) -> bool:
        """Whether `who` may do it once more in this window; counted atomically, kept only as a MAC."""
        number, end = window(time.time(), seconds)
        found = self._update(
            f"throttle#{kind}#{self.mac(kind, who)}#{number}",
            "SET expires = :end ADD #count :one",
            "attribute_not_exists(#count) OR #count < :limit",
            {":end": end, ":one": 1, ":limit": limit},
            {"#count": "count"},
        )
        return found is not None
