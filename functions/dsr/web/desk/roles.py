"""Who may do what at the desk: one table. Pure."""

from enum import StrEnum


class Role(StrEnum):
    """A group of the desk's user pool, by its name there. One person may be in several."""

    AGENT = "agents"
    APPROVER = "approvers"
    AUDITOR = "auditors"


class May(StrEnum):
    """What a page or button asks for."""

    LOOK = "look"  # at cases, and at who they are about
    WORK = "work"  # retry, judge doubtful records, leave a store out, join accounts, ask for another sign-in
    DECIDE = "decide"  # approve, refuse, hold


PERMISSIONS: dict[May, frozenset[Role]] = {
    May.LOOK: frozenset(Role),
    May.WORK: frozenset({Role.AGENT}),
    May.DECIDE: frozenset({Role.APPROVER}),
}


def roles_in(groups: frozenset[str]) -> frozenset[Role]:
    """The roles among the names of groups."""
    return frozenset(role for role in Role if role.value in groups)


def allowed(roles: frozenset[Role], asked: May) -> bool:
    """Whether one of the roles is enough."""
    return bool(roles & PERMISSIONS[asked])
