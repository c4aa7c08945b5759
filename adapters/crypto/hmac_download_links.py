"""Download links by HMAC-SHA-256 (RFC 2104) over all that they say."""

import hmac
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from domains.conversational_ai.ports.download_links import Download, LinkExpired
from shared_kernel.errors import NotFound

_LABEL: Final = b"luneo/download/v1\0"
_FACTS: Final = struct.Struct(">16s16s16s16sQ")
"""Organisation, base, source, file (zeros for none), expiry in seconds since 1970; the name follows in UTF-8."""
_NO_FILE: Final = bytes(16)
_MAC_BYTES: Final = 32
_KEY_BYTES_MINIMUM: Final = 32
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{140,2000}", re.ASCII)


class HmacDownloadLinks:
    """Signs with the first of `secret_keys` and accepts all of them, so that a key is rotated without breaking a link.

    A link is `base_url`, a slash, and the base64url text of the facts, the name and the HMAC over a label and both. Raises `ValueError`
    without keys or for a key of less than 32 bytes.
    """

    def __init__(self, secret_keys: Sequence[bytes], base_url: str) -> None:
        if not secret_keys or any(len(key) < _KEY_BYTES_MINIMUM for key in secret_keys):
            raise ValueError(f"at least one secret key is needed, and each must have {_KEY_BYTES_MINIMUM} bytes or more")
        self._keys = tuple(secret_keys)
        self._base_url = base_url

    def link(self, download: Download) -> str:
        """Write down what it leads to, and sign it."""
        facts = _FACTS.pack(
            download.organization_id.bytes,
            download.knowledge_base_id.bytes,
            download.source_id.bytes,
            download.upload_id.bytes if download.upload_id else _NO_FILE,
            int(download.expires_at.timestamp()),
        )
        said = facts + download.name.encode()
        return f"{self._base_url}/{urlsafe_b64encode(said + _mac(self._keys[0], said)).decode().rstrip('=')}"

    def read(self, token: str, *, at: datetime) -> Download:
        """Verify it, in the same time whichever key signed it, or none; then look at the clock."""
        if not _TOKEN.fullmatch(token):
            raise NotFound
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:  # a length that no text has
            raise NotFound from None
        said, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        genuine = False
        for key in self._keys:
            genuine |= hmac.compare_digest(_mac(key, said), mac)
        if not genuine:
            raise NotFound
        organization, base, source, upload, expiry = _FACTS.unpack_from(said)
        download = Download(
            organization_id=UUID(bytes=organization),
            knowledge_base_id=UUID(bytes=base),
            source_id=UUID(bytes=source),
            upload_id=None if upload == _NO_FILE else UUID(bytes=upload),
            name=said[_FACTS.size :].decode(),
            expires_at=datetime.fromtimestamp(expiry, UTC),
        )
        if at >= download.expires_at:
            raise LinkExpired
        return download


def _mac(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, _LABEL + said, "sha256")
