"""The door of the desk: who of the company a browser belongs to, and for how long.

    desk-session#<mac>     who signed in (their subject id), in which roles, until when at the latest

The cookie is a random word, of which the table holds only the keyed hash. An item's `expires` is the
end of the idle time; a look at any page moves it on, at most once a minute.
"""

import time
from dataclasses import dataclass

from dsr.front_door import Begun, Expiring
from dsr.identity import new_token, read_token
from dsr.web.desk.roles import Role, roles_in
from dsr.web.http import Cookie

SESSION_SECONDS = 8 * 3600  # a working day; then one signs in again
IDLE_SECONDS = 30 * 60
_RENEW_SECONDS = 60

COOKIE = Cookie("__Host-dsr-desk", SESSION_SECONDS)


@dataclass(frozen=True)
class Agent:
    """Somebody signed in. `sub` is their subject id at the sign-in, `session` the MAC of their cookie."""

    sub: str
    roles: frozenset[Role]
    session: str


@dataclass(frozen=True)
class DeskDoor(Expiring):
    """The door for agents, approvers and auditors."""

    def leave(self, cookie: str, then: str) -> tuple[str, str, str, str]:
        """Remember a sign-in begun; returns the browser's cookie, and state, nonce and code challenge."""
        # The browser keeps the word it has, so that two tabs can sign in at once. It opens nothing:
        # whoever has signed in gets another.
        kept = read_token(cookie) or new_token()
        return kept, *self.begin_sign_in(self._browser(kept), "", then)

    def come_back(self, cookie: str, state: str) -> Begun | None:
        """The sign-in that this very browser began under `state`, once; or None."""
        return self.finish_sign_in(self._browser(cookie), state) if read_token(cookie) else None

    def open_session(self, sub: str, roles: frozenset[Role]) -> str:
        """A new cookie for who signed in."""
        cookie, at = new_token(), int(time.time())
        self._put(
            self._session(cookie),
            at + IDLE_SECONDS,
            sub=sub,
            roles=sorted(role.value for role in roles),
            until=at + SESSION_SECONDS,
        )
        return cookie

    def agent(self, cookie: str) -> Agent | None:
        """Who the browser belongs to, or None."""
        if not read_token(cookie):
            return None
        session = self._session(cookie)
        found = self._get(session)
        if found is None:
            return None
        fresh = min(int(time.time()) + IDLE_SECONDS, found["until"])
        if fresh - found["expires"] >= _RENEW_SECONDS:
            # Of a session that ended meanwhile nothing comes back.
            self._update(
                session, "SET expires = :fresh", "expires > :now", {":fresh": fresh, ":now": int(time.time())}
            )
        return Agent(found["sub"], roles_in(frozenset(found["roles"])), session)

    def close_session(self, agent: Agent) -> None:
        """Sign out."""
        self._delete(agent.session)

    def _session(self, cookie: str) -> str:
        return f"desk-session#{self.mac('desk-session', cookie)}"

    def _browser(self, cookie: str) -> str:
        return self.mac("desk-browser", cookie)
