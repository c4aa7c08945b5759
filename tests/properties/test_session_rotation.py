"""Rotation of a session as a state machine.

Two tabs and a thief refresh with whatever tokens they have ever seen, time passes, the person signs out. What holds at every moment:
the tokens handed out for one generation are always the same; the newest refresh token works while the session lives; an old one gives the
current tokens for the grace after it was rotated, however many rotations followed, and later ends the session for good; an ended or expired
session never gives a token again.
"""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from adapters.crypto.hmac_tokens import HmacSessionTokens
from contracts.identity.events import SessionRevoked
from domains.identity.model.names import Locale
from domains.identity.model.session import GRACE, MOST_ROTATIONS, EndReason, Refresh, Session, SessionKind, SessionLifetimes
from domains.identity.ports.tokens import TokenKind
from domains.identity.use_cases.signed_in import SignedInPerson, TokenIssuer
from shared_kernel.identifiers import new_id

BEGINNING = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
ISSUER = TokenIssuer(HmacSessionTokens([b"k" * 32]), SessionLifetimes())
PERSON = SignedInPerson(id=new_id(), email="ada@example.com", full_name="Ada", locale=Locale.ENGLISH)


class SessionRotation(RuleBasedStateMachine):
    """One session, everybody who holds one of its tokens, and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING
        self.session = Session.start(
            user_id=PERSON.id,
            organization_id=new_id(),
            kind=SessionKind.TOKEN,
            remembered=False,
            user_agent="tests",
            lifetimes=ISSUER.lifetimes,
            at=self.now,
        )
        self.handed_out: list[tuple[str, str]] = []
        self.rotated: list[datetime] = []  # by generation: when its token was exchanged for the next
        self.ended = False
        self._hand_out()

    def _hand_out(self) -> None:
        signed_in = ISSUER.issue(self.session, PERSON, None)
        pair = (signed_in.access_token, signed_in.refresh_token)
        if self.session.generation == len(self.handed_out):
            self.handed_out.append(pair)
        assert self.handed_out[self.session.generation] == pair, "one generation has one pair of tokens"

    @property
    def newest(self) -> int:
        return len(self.handed_out) - 1

    @property
    def living(self) -> bool:
        return not self.ended and self.now < self.session.expires_at

    def _present(self, generation: int) -> Refresh | None:
        """Refresh as the use case does: a token that is over is refused before the session is looked at."""
        claims = ISSUER.tokens.read(TokenKind.REFRESH, self.handed_out[generation][1])
        assert claims is not None
        assert (claims.session_id, claims.generation) == (self.session.id, generation)
        if claims.is_expired(self.now):
            return None
        outcome = self.session.refresh(claims.generation, lifetimes=ISSUER.lifetimes, at=self.now)
        if outcome is Refresh.ROTATED:
            self.rotated.append(self.now)
        return outcome

    @rule(data=st.data())
    def a_tab_presents_any_token_it_has_seen(self, data: st.DataObject) -> None:
        generation = data.draw(st.integers(0, self.newest))
        newest, living, expires_at = self.newest, self.living, self.session.expires_at
        in_grace = [moment for moment in self.rotated if self.now - moment <= GRACE]
        outcome = self._present(generation)
        if outcome is None:
            return
        if not living:
            assert outcome is Refresh.REFUSED
        elif generation == newest and len(in_grace) < MOST_ROTATIONS:
            assert outcome is Refresh.ROTATED
            assert self.session.expires_at >= expires_at
        elif generation == newest or self.now - self.rotated[generation] <= GRACE:
            assert outcome is Refresh.REPEATED
        else:
            assert outcome is Refresh.REVOKED
            assert self.session.revoked_reason is EndReason.REUSE
            self.ended = True
        if outcome in {Refresh.ROTATED, Refresh.REPEATED}:
            self._hand_out()

    @precondition(lambda self: self.living)
    @rule()
    def two_tabs_refresh_at_once_and_agree(self) -> None:
        generation = self.newest
        assert self._present(generation) in {Refresh.ROTATED, Refresh.REPEATED}
        self._hand_out()
        assert self._present(generation) is Refresh.REPEATED
        self._hand_out()

    @precondition(lambda self: self.living)
    @rule(
        rotations=st.integers(2, MOST_ROTATIONS + 2),
        pause=st.sampled_from([timedelta(), timedelta(milliseconds=900), timedelta(seconds=9)]),
    )
    def a_tab_comes_after_several_rotations(self, rotations: int, pause: timedelta) -> None:
        generation, begun = self.newest, None
        for _ in range(rotations):
            if self._present(self.newest) is Refresh.ROTATED and begun is None:
                begun = self.now
            self._hand_out()
            self.now += pause
        if begun is None or self.now - begun <= GRACE:
            assert self._present(generation) in {Refresh.ROTATED, Refresh.REPEATED}
            self._hand_out()
        else:
            assert self._present(generation) is Refresh.REVOKED
            self.ended = True

    @rule()
    def somebody_presents_a_token_from_a_future_that_was_lost(self) -> None:
        assert self.session.refresh(self.newest + 1, lifetimes=ISSUER.lifetimes, at=self.now) is Refresh.REFUSED

    @rule()
    def the_person_signs_out(self) -> None:
        before = (self.session.revoked_at, self.session.revoked_reason)
        self.session.revoke(EndReason.LOGOUT, at=self.now)
        if self.ended:
            assert (self.session.revoked_at, self.session.revoked_reason) == before, "an end is final"
        self.ended = True

    @rule(
        span=st.sampled_from(
            [timedelta(seconds=1), timedelta(seconds=29), GRACE, timedelta(minutes=10), timedelta(days=6), timedelta(days=8)]
        )
    )
    def time_passes(self, span: timedelta) -> None:
        self.now += span

    @invariant()
    def the_end_is_published_once(self) -> None:
        events = [event for event in self.session.__dict__.get("_events", []) if isinstance(event, SessionRevoked)]
        assert len(events) == int(self.ended)

    @invariant()
    def no_access_token_outlives_its_session(self) -> None:
        assert self.session.access_expires_at(ISSUER.lifetimes) <= self.session.expires_at
        assert self.session.revoked_at is not None or not self.ended


TestSessionRotation = SessionRotation.TestCase
TestSessionRotation.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
