"""Reading the text of files."""

from collections.abc import AsyncIterator
from typing import Protocol

from domains.conversational_ai.model.document import DocumentText
from domains.conversational_ai.model.file_format import FileFormat


class DocumentParsing(Protocol):
    """Reads files, which may be hostile: within limits of time, memory and length."""

    async def parse(self, content: AsyncIterator[bytes], file_format: FileFormat) -> DocumentText:
        """Return the file's text, never blank, without characters that can't be stored.

        Raises an `UnreadableFile` that says why not.
        """
        ...
