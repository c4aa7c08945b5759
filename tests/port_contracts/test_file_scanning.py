import pytest

from domains.conversational_ai.ports.file_scanning import FileScanning
from tests.fakes.file_scanning import InMemoryFileScanning
from tests.port_contracts.file_scanning import FileScanningContract


class TestInMemoryFileScanning(FileScanningContract):
    @pytest.fixture
    def scanning(self) -> FileScanning:
        return InMemoryFileScanning()
