"""Why a file can't be answered from: each reason has its code, and words that say what to do."""

from typing import ClassVar

from shared_kernel.errors import FieldError, InvalidInput


class Unreadable(InvalidInput):
    """Something that no new attempt would read. `field` is where it was given."""

    field: ClassVar[str]
    words: ClassVar[str]

    def __init__(self, words: str = "") -> None:
        said = words or self.words
        super().__init__(FieldError(self.field, self.code.partition("_")[2], said), detail=said)


class UnreadableFile(Unreadable):
    """A file that no new attempt would read."""

    title = "The file can't be read"
    words = "The file can't be read"
    field = "file"


class UnsupportedFile(UnreadableFile):
    """Its content is of none of the formats."""

    code = "file_unsupported"
    words = "This is none of the formats that can be read: PDF, DOCX, PPTX, XLSX, HTML, Markdown, CSV and text. Save it as one of them"


class EmptyFile(UnreadableFile):
    """It has no bytes, or blanks alone."""

    code = "file_empty"
    words = "The file has no content"


class EncryptedFile(UnreadableFile):
    """It needs a password."""

    code = "file_encrypted"
    words = "The file is protected by a password. Save a copy without one"


class DamagedFile(UnreadableFile):
    """It is not what its beginning says, or broken."""

    code = "file_damaged"
    words = "The file is damaged: it can't be read to its end. Open it in the program that made it and save it again"


class ExplodingFile(UnreadableFile):
    """Unpacked it is enormous."""

    code = "file_exploding"
    words = "The file unpacks to far more than its size. Save it again, or split it"


class ScannedFile(UnreadableFile):
    """It shows pictures of pages, without text."""

    code = "file_without_text"
    words = "The file holds pictures of pages and no text. Run text recognition (OCR) on it first"


class TooLongFile(UnreadableFile):
    """It has more pages or more text than one source may have."""

    code = "file_too_long"
    words = "The document is too long for one source. Split it"


class SlowFile(UnreadableFile):
    """Reading it takes too long."""

    code = "file_timed_out"
    words = "Reading the file took too long. Split it, or save it in a simpler form"


class InfectedFile(UnreadableFile):
    """A scanner found malicious software in it."""

    code = "file_infected"
    words = "Malicious software was found in the file. It was removed"


class UnscannedFile(UnreadableFile):
    """It can't be looked at for malicious software."""

    code = "file_not_scanned"
    words = "The file could not be looked at for malicious software: it is larger than the scanner takes. Split it"


REASONS: tuple[type[UnreadableFile], ...] = (
    UnsupportedFile,
    EmptyFile,
    EncryptedFile,
    DamagedFile,
    ExplodingFile,
    ScannedFile,
    TooLongFile,
    SlowFile,
)
"""What reading a file may come to."""
