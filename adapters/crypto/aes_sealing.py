"""Bytes kept secret at rest: AES-256-GCM (NIST SP 800-38D) under keys derived by HKDF-SHA-256 (RFC 5869)."""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12
_KEY_BYTES = 32
_LABEL = b"luneo/sealed-answer/v1"


class AesSealing:
    """Seals with the first of `secret_keys` and opens with any of them.

    The context is bound to the text: it opens in the same place only.
    """

    def __init__(self, secret_keys: Sequence[bytes]) -> None:
        self._ciphers = tuple(AESGCM(HKDF(SHA256(), _KEY_BYTES, salt=None, info=_LABEL).derive(key)) for key in secret_keys)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Return a random nonce followed by the sealed text."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """Return what was sealed for `context`, or `None` when no key opens it."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
            except InvalidTag:
                continue
        return None
