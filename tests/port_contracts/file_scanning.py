"""What looks for malicious software, whatever it does it with: the tests of each give a fixture `scanning`."""

from collections.abc import AsyncIterator

import pytest

from domains.conversational_ai.model.unreadable_file import InfectedFile
from domains.conversational_ai.ports.file_scanning import FileScanning

#: The test file of the European Institute for Computer Antivirus Research, in two parts so that no scanner takes this file for it.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


class FileScanningContract:
    @pytest.mark.parametrize("content", [b"", b"text", bytes(1_500_000)], ids=["empty", "text", "large"])
    async def test_a_clean_file_passes(self, scanning: FileScanning, content: bytes) -> None:
        await scanning.scan(in_pieces(content))

    @pytest.mark.parametrize("before", [0, 65_530, 99_990])
    async def test_the_test_file_is_found_wherever_it_stands(self, scanning: FileScanning, before: int) -> None:
        with pytest.raises(InfectedFile):
            await scanning.scan(in_pieces(b"x" * before + EICAR + b"y" * 200_000))
