"""Credentials that we hand out: derived session tokens, API keys.

Each kind has its own prefix, and none is ever accepted as another.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID


class TokenKind(StrEnum):
    """Tokens that are derived from a session and stored nowhere."""

    ACCESS = "access"
    REFRESH = "refresh"
    CSRF = "csrf"


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a genuine token says. Whether the session still stands is asked of the database, the expiry of `is_expired`."""

    kind: TokenKind
    session_id: UUID
    organization_id: UUID | None
    generation: int
    expires_at: datetime

    def is_expired(self, at: datetime) -> bool:
        """Tell whether the token is over at `at` (aware). `SessionTokens.read` does not look at the time."""
        return at >= self.expires_at


class SessionTokens(Protocol):
    """Derives tokens from a server key."""

    def issue(self, kind: TokenKind, session_id: UUID, organization_id: UUID | None, generation: int, expires_at: datetime) -> str:
        """Return the token for these claims: the same claims always give the same token while the first key stays.

        `generation` is 0 to 2^32 - 1; `expires_at` is aware and cut to whole seconds. Raises `ValueError` for others.
        """
        ...

    def read(self, kind: TokenKind, token: str) -> TokenClaims | None:
        """Return the claims of a genuine token of `kind`, `None` for anything else; the caller checks `is_expired`."""
        ...


class NewApiKey(NamedTuple):
    """An API key: `plaintext` is shown once, `prefix_shown` recognises it in lists, `digest` (32 bytes) is stored."""

    plaintext: str
    prefix_shown: str
    digest: bytes


class ApiKeyClaims(NamedTuple):
    """What a well-formed API key says of itself; only the stored digest proves it."""

    organization_id: UUID
    digest: bytes
    sandbox: bool


class ApiKeyMaterial(Protocol):
    """Makes and takes apart API keys: `lun_live_` or `lun_sbx_`, 32 hexadecimal digits of organisation, 48 of secret."""

    def new_api_key(self, organization_id: UUID, *, sandbox: bool) -> NewApiKey:
        """Return a new key with 192 random bits."""
        ...

    def read_api_key(self, text: str) -> ApiKeyClaims | None:
        """Return what `text` says, or `None` when it is not written as an API key."""
        ...
