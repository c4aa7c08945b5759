"""Looking for malicious software in files."""

from collections.abc import AsyncIterator
from typing import NewType, Protocol


class FileScanning(Protocol):
    """Looks at files before anything else does."""

    async def scan(self, content: AsyncIterator[bytes]) -> None:
        """Return when nothing was found.

        Raises `InfectedFile`, `UnscannedFile` for one that the scanner refuses to look at, and `Unavailable` when it does not answer.
        """
        ...


FileScanners = NewType("FileScanners", tuple[FileScanning, ...])
"""All that must find a file clean; none where no scanner is configured."""
