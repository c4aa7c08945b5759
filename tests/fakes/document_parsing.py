"""Reads texts in UTF-8, whatever they are said to be, or refuses what a test names."""

from collections.abc import AsyncIterator

from domains.conversational_ai.model.document import DocumentText
from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.unreadable_file import EmptyFile
from domains.conversational_ai.ports.object_store import whole


class InMemoryDocumentParsing:
    """Implements `DocumentParsing`; with `refuses` it raises that instead. What it reads has the `title` that a test gives it."""

    def __init__(self) -> None:
        self.refuses: BaseException | None = None
        self.title: str | None = None
        self.read = 0

    async def parse(self, content: AsyncIterator[bytes], file_format: FileFormat) -> DocumentText:
        self.read += 1
        if self.refuses is not None:
            raise self.refuses
        text = (await whole(content)).decode().replace("\0", " ")
        document = DocumentText.of_table(text) if file_format is FileFormat.CSV else DocumentText.of_markdown(text, title=self.title)
        if not document.blocks:
            raise EmptyFile
        return document
