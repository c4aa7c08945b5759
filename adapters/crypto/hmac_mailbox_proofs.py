"""Proofs of a mailbox by HMAC-SHA-256 (RFC 2104) over a sign-up's id."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from domains.identity.ports.mailbox_proofs import MailboxProof

_PREFIX: Final = "lsu_"
_TOKEN_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{64}", re.ASCII)
_TOKEN_LABEL: Final = b"luneo/sign-up/link/v1\0"
_CODE_LABEL: Final = b"luneo/sign-up/code/v1\0"
_ID_BYTES: Final = 16
_KEY_BYTES_MINIMUM: Final = 32
_CODES: Final = 10**6


class HmacMailboxProofs:
    """Derives with the first of `secret_keys` and accepts all of them, so that a key is rotated without making a mail useless.

    A token is `lsu_` and the base64url text of the sign-up's id (16 bytes) and the HMAC over the link's label and it (32). The code is
    the first eight bytes of
    the HMAC over the code's label and the id, modulo 10^6. Raises `ValueError` without keys or for a key of less than 32 bytes.
    """

    def __init__(self, secret_keys: Sequence[bytes]) -> None:
        if not secret_keys or any(len(key) < _KEY_BYTES_MINIMUM for key in secret_keys):
            raise ValueError(f"at least one secret key is needed, and each must have {_KEY_BYTES_MINIMUM} bytes or more")
        self._keys = tuple(secret_keys)

    def of_sign_up(self, sign_up_id: UUID) -> MailboxProof:
        """Return the link's token and the six digits."""
        mac = hmac.digest(self._keys[0], _TOKEN_LABEL + sign_up_id.bytes, "sha256")
        return MailboxProof(_PREFIX + urlsafe_b64encode(sign_up_id.bytes + mac).decode(), _code(self._keys[0], sign_up_id))

    def read_token(self, token: str) -> UUID | None:
        """Return the sign-up of a genuine token; in the same time whichever key made it, or none."""
        if not token.startswith(_PREFIX) or not _TOKEN_TEXT.fullmatch(token, len(_PREFIX)):
            return None
        raw = urlsafe_b64decode(token[len(_PREFIX) :])
        identifier, mac = raw[:_ID_BYTES], raw[_ID_BYTES:]
        genuine = False
        for key in self._keys:
            genuine |= hmac.compare_digest(hmac.digest(key, _TOKEN_LABEL + identifier, "sha256"), mac)
        return UUID(bytes=identifier) if genuine else None

    def is_code_of(self, sign_up_id: UUID, code: str) -> bool:
        """Compare with the code of every key, in the same time."""
        given = "".join(code.split()).encode()
        right = False
        for key in self._keys:
            right |= hmac.compare_digest(_code(key, sign_up_id).encode(), given)
        return right


def _code(key: bytes, sign_up_id: UUID) -> str:
    mac = hmac.digest(key, _CODE_LABEL + sign_up_id.bytes, "sha256")
    return f"{int.from_bytes(mac[:8]) % _CODES:06d}"
