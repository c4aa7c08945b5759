import pytest

from domains.conversational_ai.ports.document_parsing import DocumentParsing
from tests.fakes.document_parsing import InMemoryDocumentParsing
from tests.port_contracts.document_parsing import DocumentParsingContract


class TestInMemoryDocumentParsing(DocumentParsingContract):
    @pytest.fixture
    def parsing(self) -> DocumentParsing:
        return InMemoryDocumentParsing()
