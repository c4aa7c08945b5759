"""A scanner that knows one signature: that of EICAR's test file."""

from collections.abc import AsyncIterator

from domains.conversational_ai.model.unreadable_file import InfectedFile
from domains.conversational_ai.ports.object_store import whole

MALICIOUS = b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE"


class InMemoryFileScanning:
    """Implements `FileScanning`; with `refuses` it raises that instead."""

    def __init__(self) -> None:
        self.refuses: Exception | None = None
        self.scanned = 0

    async def scan(self, content: AsyncIterator[bytes]) -> None:
        self.scanned += 1
        if self.refuses is not None:
            raise self.refuses
        if MALICIOUS in await whole(content):
            raise InfectedFile
