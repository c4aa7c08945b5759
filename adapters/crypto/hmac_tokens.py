"""Session tokens by HMAC-SHA-256 (RFC 2104), and API keys from the system's random source."""

import hashlib
import hmac
import re
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from domains.identity.ports.tokens import ApiKeyClaims, NewApiKey, TokenClaims, TokenKind

_TOKEN_PREFIXES: Final[Mapping[TokenKind, str]] = MappingProxyType(
    {TokenKind.ACCESS: "lat_", TokenKind.REFRESH: "lrt_", TokenKind.CSRF: "lct_"},
)
_CLAIMS = struct.Struct(">16s16sII")
_MAC_BYTES = 32
_UINT32_MAXIMUM = 2**32 - 1
_KEY_BYTES_MINIMUM = 32
# the size is a multiple of three bytes, so that the text has no padding and no unused bits: one token, one spelling
_TOKEN_TEXT = re.compile(r"[A-Za-z0-9_-]{96}", re.ASCII)
_API_KEY_TEXT = re.compile(r"lun_(live|sbx)_([0-9a-f]{32})[0-9a-f]{48}", re.ASCII)
_API_SECRET_BYTES = 24
_SHOWN_DIGITS = 6
_NOBODY = UUID(int=0)
_REMEMBERED = 10_000


class HmacSessionTokens:
    """Signs with the first of `secret_keys` and accepts all of them, so that a key is rotated without signing anybody out.

    A token is its kind's prefix and the base64url text of: organisation (16 bytes, zeros for none), session (16), generation (4, big
    endian), expiry in Unix seconds (4), and the HMAC-SHA-256 over the kind's label and all of that (32).
    Raises `ValueError` without keys or for a key of less than 32 bytes.
    """

    def __init__(self, secret_keys: Sequence[bytes]) -> None:
        if not secret_keys or any(len(key) < _KEY_BYTES_MINIMUM for key in secret_keys):
            raise ValueError(f"at least one secret key is needed, and each must have {_KEY_BYTES_MINIMUM} bytes or more")
        self._keys = tuple(secret_keys)
        self._labels = {kind: f"luneo/session-token/v1/{kind.value}\0".encode() for kind in TokenKind}
        self._genuine: OrderedDict[tuple[TokenKind, str], TokenClaims] = OrderedDict()

    def issue(self, kind: TokenKind, session_id: UUID, organization_id: UUID | None, generation: int, expires_at: datetime) -> str:
        """Return the token for these claims; raises `ValueError` for a naive or unrepresentable time or generation."""
        if expires_at.tzinfo is None:
            raise ValueError("expires_at must be aware")
        expiry = int(expires_at.timestamp())
        if not 0 <= generation <= _UINT32_MAXIMUM or not 0 <= expiry <= _UINT32_MAXIMUM:
            raise ValueError("generation and expiry must fit 32 bits")
        claims = _CLAIMS.pack((organization_id or _NOBODY).bytes, session_id.bytes, generation, expiry)
        mac = hmac.digest(self._keys[0], self._labels[kind] + claims, "sha256")
        return _TOKEN_PREFIXES[kind] + urlsafe_b64encode(claims + mac).decode()

    def read(self, kind: TokenKind, token: str) -> TokenClaims | None:
        """Return the claims of a genuine token of `kind`; in the same time whichever key it was signed with, or none.

        Tokens that were proved genuine are remembered, the newest 10,000: what a token says never changes.
        """
        claims = self._genuine.get((kind, token))
        if claims is None:
            claims = self._proved(kind, token)
            if claims is not None:
                self._genuine[kind, token] = claims
                if len(self._genuine) > _REMEMBERED:
                    self._genuine.popitem(last=False)
        return claims

    def _proved(self, kind: TokenKind, token: str) -> TokenClaims | None:
        prefix = _TOKEN_PREFIXES[kind]
        if not token.startswith(prefix) or not _TOKEN_TEXT.fullmatch(token, len(prefix)):
            return None
        raw = urlsafe_b64decode(token[len(prefix) :])
        claims, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        signed = self._labels[kind] + claims
        genuine = False
        for key in self._keys:
            genuine |= hmac.compare_digest(hmac.digest(key, signed, "sha256"), mac)
        if not genuine:
            return None
        organization, session, generation, expiry = _CLAIMS.unpack(claims)
        return TokenClaims(
            kind=kind,
            session_id=UUID(bytes=session),
            organization_id=_organization(organization),
            generation=generation,
            expires_at=datetime.fromtimestamp(expiry, UTC),
        )


class RandomApiKeys:
    """API keys with 24 random bytes; SHA-256 at rest."""

    def new_api_key(self, organization_id: UUID, *, sandbox: bool) -> NewApiKey:
        """Return a new key; what is shown later is its kind and its last six digits."""
        prefix = "lun_sbx_" if sandbox else "lun_live_"
        text = f"{prefix}{organization_id.hex}{secrets.token_hex(_API_SECRET_BYTES)}"
        return NewApiKey(text, f"{prefix}…{text[-_SHOWN_DIGITS:]}", hashlib.sha256(text.encode()).digest())

    def read_api_key(self, text: str) -> ApiKeyClaims | None:
        """Return the organisation, digest and kind of a well-formed key."""
        match = _API_KEY_TEXT.fullmatch(text)
        if match is None:
            return None
        return ApiKeyClaims(UUID(hex=match[2]), hashlib.sha256(text.encode()).digest(), match[1] == "sbx")


def _organization(raw: bytes) -> UUID | None:
    identifier = UUID(bytes=raw)
    return None if identifier == _NOBODY else identifier
