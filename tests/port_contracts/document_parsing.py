"""What reads files, whatever it does it with: the tests of each give a fixture `parsing`."""

import pytest

from domains.conversational_ai.model.document import BlockKind
from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.unreadable_file import EmptyFile
from domains.conversational_ai.ports.document_parsing import DocumentParsing
from domains.conversational_ai.ports.object_store import pieces


class DocumentParsingContract:
    async def test_markdown_is_read_as_it_stands(self, parsing: DocumentParsing) -> None:
        document = await parsing.parse(pieces("# Préface\n\nmots".encode()), FileFormat.MARKDOWN)
        assert document.text == "# Préface\n\nmots"
        assert [b.kind for b in document.blocks] == [BlockKind.HEADING, BlockKind.TEXT]

    async def test_a_csv_is_a_table(self, parsing: DocumentParsing) -> None:
        document = await parsing.parse(pieces(b"a,b\n1,2\n"), FileFormat.CSV)
        assert [b.kind for b in document.blocks] == [BlockKind.TABLE]

    async def test_what_can_not_be_stored_is_a_blank(self, parsing: DocumentParsing) -> None:
        assert (await parsing.parse(pieces(b"a\0b"), FileFormat.TEXT)).text == "a b"

    async def test_nothing_to_read_is_empty(self, parsing: DocumentParsing) -> None:
        with pytest.raises(EmptyFile):
            await parsing.parse(pieces(b" \n\t "), FileFormat.TEXT)
