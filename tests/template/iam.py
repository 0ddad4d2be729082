"""Whether a policy allows an action, as IAM decides it, for the few condition operators that we use."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Statement = Mapping[str, Any]


def listed(value: Any) -> list[Any]:
    """A policy element that may be one value or a list, as a list."""
    return value if isinstance(value, list) else [value]


def matches(pattern: str, value: str) -> bool:
    """IAM's wildcards: * for any characters, ? for one."""
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, value, re.DOTALL) is not None


def statements(role: Mapping[str, Any]) -> Iterator[Statement]:
    """Every statement of a role's inline policies."""
    for policy in role.get("Policies", ()):
        yield from policy["PolicyDocument"]["Statement"]


def concerns(statement: Statement, action: str, resource: str) -> bool:
    """Whether the statement is about that action on that resource, whatever its conditions."""
    actions = any(matches(a.lower(), action.lower()) for a in listed(statement["Action"]))
    return actions and any(matches(r, resource) for r in listed(statement["Resource"]))


def holds(statement: Statement, context: Mapping[str, str]) -> bool:
    """Whether the statement's conditions hold in that context."""
    for operator, wanted in statement.get("Condition", {}).items():
        plain = operator.removesuffix("IfExists")
        for key, values in wanted.items():
            if key not in context:
                if plain == operator:
                    return False
                continue
            if not any(_compare(plain, str(v), context[key]) for v in listed(values)):
                return False
    return True


def _compare(operator: str, wanted: str, given: str) -> bool:
    if operator in ("StringEquals", "Bool"):
        return wanted == given
    if operator in ("StringLike", "ArnLike"):
        return matches(wanted, given)
    raise NotImplementedError(operator)


def allows(
    policy: Iterable[Statement], action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Whether the statements allow the action; a Deny decides."""
    effects = {s["Effect"] for s in policy if concerns(s, action, resource) and holds(s, context or {})}
    return "Allow" in effects and "Deny" not in effects
