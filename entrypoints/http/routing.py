"""What every route declares: who may call it.

Each handler's `opt` holds exactly one of these; an architecture test enumerates the running app and refuses a route without one.
"""

from typing import Any

from contracts.identity.permissions import Permission

ACCESS = "access"
RATE = "rate"
ALSO_ANSWERS = "also_answers"
"""`opt[ALSO_ANSWERS]` names the statuses that a route can answer besides those that follow from its access, method and body."""


class Access:
    """How a route is authorised."""

    __slots__ = ("confirmed_inside", "permission", "reason", "when_suspended", "who")

    def __init__(
        self,
        who: str,
        *,
        permission: Permission | None = None,
        reason: str = "",
        when_suspended: bool = False,
        confirmed_inside: bool = False,
    ) -> None:
        self.who = who
        self.permission = permission
        self.reason = reason
        self.when_suspended = when_suspended
        self.confirmed_inside = confirmed_inside

    @property
    def identifies(self) -> bool:
        """Whether the caller must say who they are."""
        return self.who in {"permission", "signed_in"}

    def __repr__(self) -> str:
        return f"{self.who}({self.permission or self.reason})"


def requires(permission: Permission, *, confirmed_inside: bool = False) -> dict[str, Any]:
    """Allow callers whose role or scopes hold `permission` in the organisation they act for.

    `confirmed_inside` spares a round trip: a person whose session this process knows is let in by the signed token alone, and the route's
    first transaction confirms them (`Confirmations`) before it does anything else.
    """
    return {ACCESS: Access("permission", permission=permission, confirmed_inside=confirmed_inside)}


def signed_in(reason: str, *, when_suspended: bool = False) -> dict[str, Any]:
    """Allow every person with a session, whatever their role (`reason` says why no permission is needed); API keys are refused.

    `when_suspended` is for what concerns the person and not the organisation that they act for: it works also when that is suspended.
    """
    return {ACCESS: Access("signed_in", reason=reason, when_suspended=when_suspended)}


def public(reason: str, *, rate: str | None = None) -> dict[str, Any]:
    """Allow everybody, for `reason`, within the client's rate limit; `rate` names a stricter one (`sign_in`, `refresh`)."""
    return {ACCESS: Access("public", reason=reason), RATE: rate}


def unlimited(reason: str) -> dict[str, Any]:
    """Allow everybody without a rate limit, for `reason`: probes and metrics."""
    return {ACCESS: Access("open", reason=reason)}
