"""A signed-in device."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from contracts.identity.events import SessionRevoked
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.identifiers import new_id

#: How long a refresh token that was rotated still gives the session's current tokens: several tabs, a lost answer.
GRACE = timedelta(seconds=30)
#: A session rotates at most this often within the grace; after that it hands out its current tokens again.
MOST_ROTATIONS = 16
_USER_AGENT_LENGTH = 300


class SessionKind(StrEnum):
    """How the client keeps its tokens: a browser in cookies, an application itself. A token of one is never taken from the other."""

    COOKIE = "cookie"
    TOKEN = "token"  # noqa: S105 - the name of a kind


class EndReason(StrEnum):
    """Why a session ended before its time."""

    LOGOUT = "logout"
    SWITCH = "switch"
    REVOKED = "revoked"
    REUSE = "reuse"


class Refresh(StrEnum):
    """What presenting a refresh token did."""

    ROTATED = "rotated"
    REPEATED = "repeated"
    REFUSED = "refused"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLifetimes:
    """How long tokens live: an access token, and a session that is not refreshed, plain or remembered."""

    access: timedelta = timedelta(minutes=15)
    refresh: timedelta = timedelta(days=7)
    remembered: timedelta = timedelta(days=30)


@dataclass(eq=False, kw_only=True)
class Session(Aggregate):
    """One signed-in device of one person, acting for one organisation.

    Tokens are derived from `id`, `generation` and `rotated_at`, never stored. Refreshing makes the next generation. A generation that was
    rotated is good for `GRACE` and gives the current tokens, however many rotations followed: a third tab may come last. Later than
    that, its token was copied, and the session ends.
    `recent_rotations` are the exact times of those rotations, oldest first, that the grace may still reach; the last one made `generation`.
    The time of the last rotation is also when the device was last seen, to within the life of an access token.
    """

    AGGREGATE: ClassVar[str] = "session"

    id: UUID
    user_id: UUID
    active_organization_id: UUID | None
    kind: SessionKind
    remembered: bool
    started_at: datetime
    rotated_at: datetime
    expires_at: datetime
    user_agent: str | None
    generation: int = 0
    recent_rotations: tuple[datetime, ...] = ()
    revoked_at: datetime | None = None
    revoked_reason: EndReason | None = None
    version: int = 1

    @classmethod
    def start(
        cls,
        *,
        user_id: UUID,
        organization_id: UUID | None,
        kind: SessionKind,
        remembered: bool,
        user_agent: str | None,
        lifetimes: SessionLifetimes,
        at: datetime,
    ) -> "Session":
        """Return a new session: every sign-in and every change of organisation has its own."""
        at = at.replace(microsecond=0)
        session = cls(
            id=new_id(),
            user_id=user_id,
            active_organization_id=organization_id,
            kind=kind,
            remembered=remembered,
            started_at=at,
            rotated_at=at,
            expires_at=at + (lifetimes.remembered if remembered else lifetimes.refresh),
            user_agent=None if user_agent is None else user_agent[:_USER_AGENT_LENGTH],
        )
        session._note("session.started", after={"kind": kind.value, "remembered": remembered})
        return session

    def access_expires_at(self, lifetimes: SessionLifetimes) -> datetime:
        """Return when the access token of the current generation is over: never after the session."""
        return min(self.rotated_at + lifetimes.access, self.expires_at)

    def refresh(self, generation: int, *, lifetimes: SessionLifetimes, at: datetime) -> Refresh:
        """Present the refresh token of `generation`.

        `ROTATED` and `REPEATED` mean that the tokens of the current generation are to be handed out; `REFUSED` that the session is over
        or the token is from a
        future that was lost; `REVOKED` that the token was used before and this ended the session.
        """
        if self.revoked_at is not None or at >= self.expires_at or generation > self.generation:
            return Refresh.REFUSED
        in_grace = tuple(moment for moment in self.recent_rotations if at - moment <= GRACE)
        if generation == self.generation:
            if len(in_grace) == MOST_ROTATIONS:
                return Refresh.REPEATED
            self.generation += 1
            self.recent_rotations = (*in_grace, at)
            self.rotated_at = at.replace(microsecond=0)
            self.expires_at = self.rotated_at + (lifetimes.remembered if self.remembered else lifetimes.refresh)
            return Refresh.ROTATED
        if generation >= self.generation - len(in_grace):
            return Refresh.REPEATED
        self.revoke(EndReason.REUSE, at=at)
        return Refresh.REVOKED

    def revoke(self, reason: EndReason, *, at: datetime) -> None:
        """End the session; its tokens are refused from the next request on. A session that is over stays as it is."""
        if self.revoked_at is not None:
            return
        self.revoked_at = at
        self.revoked_reason = reason
        self.record(SessionRevoked(session_id=self.id, user_id=self.user_id, reason=reason.value, at=at))
        self._note("session.revoked", after={"reason": reason.value})

    def _note(self, action: str, *, after: dict[str, object]) -> None:
        if self.active_organization_id is not None:  # a trail belongs to an organisation
            self.note(AuditNote(action=action, after={"user_id": str(self.user_id), **after}))
