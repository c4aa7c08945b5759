"""The process that reads one file: `python -m adapters.documents.reading FORMAT FOLDER LIMITS…`.

It reads `FOLDER/file` and writes the text to `FOLDER/text`, or why it refuses the file to `FOLDER/reason`.
"""

import re
import resource
import secrets
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.documents.limits import REFUSED, ParsingLimits
from domains.conversational_ai.model.document import DocumentText
from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.unreadable_file import (
    DamagedFile,
    EmptyFile,
    EncryptedFile,
    ExplodingFile,
    ScannedFile,
    TooLongFile,
    UnreadableFile,
)
from domains.conversational_ai.model.wrapped_lines import unwrapped

if TYPE_CHECKING:
    import kreuzberg

_BYTES_PER_CHARACTER = 8  # of the JSON, its blocks included
_MOST_XML = 150_000_000
_MOST_RATIO = 200
_TEXT_PARTS = (".xml", ".rels")
_PIECE = 1_000_000
_SMALL = 5_000_000
_LEAST_MAIN_TEXT = "20"  # characters; below it the extractor gives up on structure, and headings are lost
_OFFICE = "application/vnd.openxmlformats-officedocument."
_MEDIA_TYPE = {
    FileFormat.DOCX: _OFFICE + "wordprocessingml.document",
    FileFormat.PPTX: _OFFICE + "presentationml.presentation",
    FileFormat.XLSX: _OFFICE + "spreadsheetml.sheet",
    FileFormat.HTML: "text/html",
    FileFormat.PDF: "application/pdf",
}
_NOT_STORED = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_HTML_CHARSET = re.compile(r"<meta[^>]+charset[^>]*>", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\A---\n\n## title: (?P<title>[^\n]*)\n\n")
_TITLE = re.compile(r"^(?P<marks>#{1,6}) (?P<title>\S.*?)\s*$", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Read the file; return the exit status."""
    file_format, folder, limits = FileFormat(arguments[0]), Path(arguments[1]), ParsingLimits.of_arguments(*arguments[2:])
    _limit(limits)
    try:
        document = read(folder / "file", file_format, limits)
        (folder / "text").write_bytes(document.encoded())
    except UnreadableFile as error:
        return _refused(folder, error.code)
    except MemoryError:
        return _refused(folder, ExplodingFile.code)
    except OSError:  # the output is longer than it may be
        return _refused(folder, TooLongFile.code)
    return 0


def _refused(folder: Path, code: str) -> int:
    (folder / "reason").write_text(code, encoding="ascii")
    return REFUSED


def _limit(limits: ParsingLimits) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    seconds = int(limits.seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (2 * seconds, 2 * seconds))
    output = limits.characters * _BYTES_PER_CHARACTER
    resource.setrlimit(resource.RLIMIT_FSIZE, (output, output))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read(path: Path, file_format: FileFormat, limits: ParsingLimits) -> DocumentText:
    """Return the text of the file. Raises `UnreadableFile`."""
    if file_format is FileFormat.PDF:
        document = DocumentText.of_pages(_pages(path, limits))
    elif file_format is FileFormat.PPTX:
        document = DocumentText.of_pages(_slides(path))
    elif file_format is FileFormat.WEB_PAGE:
        document = _web_page(_decoded(path.read_bytes()))
    elif file_format in _MEDIA_TYPE:
        document = DocumentText.of_markdown(_storable(_formed(path, file_format)))
    else:
        text = _storable(_decoded(path.read_bytes()))
        document = DocumentText.of_table(text) if file_format is FileFormat.CSV else DocumentText.of_markdown(text)
    if len(document.text) > limits.characters:
        raise TooLongFile
    if not document.blocks:
        raise ScannedFile if file_format is FileFormat.PDF else EmptyFile
    return document


def _storable(text: str) -> str:
    return _NOT_STORED.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


def _decoded(content: bytes) -> str:
    """Return the text of bytes in UTF-8, UTF-16 with a byte order mark, or Windows-1252, of which Latin-1's letters are a part."""
    for mark, charset in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(charset, errors="replace")
    for charset in ("utf-8", "cp1252"):
        try:
            return content.decode(charset)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def _formed(path: Path, file_format: FileFormat) -> str:
    if file_format is FileFormat.HTML:
        return _html(_decoded(path.read_bytes()))
    _check_archive(path)
    return _extracted(path.read_bytes(), file_format).content


def _html(page: str) -> str:
    content = _HTML_CHARSET.sub("", page).encode("utf-8", "replace")
    return _FRONT_MATTER.sub("", _extracted(content, FileFormat.HTML).content)


def _web_page(page: str) -> DocumentText:
    """Return the main text of a page, without what stands on every page of its site; all of its text when no part is the main one."""
    import trafilatura  # noqa: PLC0415 - only who reads a page of the web needs it
    from trafilatura.settings import use_config  # noqa: PLC0415

    config = use_config()
    config["DEFAULT"]["MIN_EXTRACTED_SIZE"] = _LEAST_MAIN_TEXT
    text = trafilatura.extract(
        page, output_format="markdown", include_comments=False, include_formatting=True, favor_recall=True, config=config
    )
    about = trafilatura.extract_metadata(page)
    title = _storable(about.title).strip() if about.title else None
    return DocumentText.of_markdown(_storable(text or _html(page)), title=title or None)


def _slides(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the slides as Markdown, each under its number."""
    _check_archive(path)
    mark = secrets.token_hex(16)  # no presentation has it in its text
    found = _extracted(path.read_bytes(), FileFormat.PPTX, mark=f"\n\n{mark}x{{page_num}}\n\n").content
    for slide in found.split(mark)[1:]:
        number, _, text = slide.removeprefix("x").partition("\n")
        yield int(number), _storable(text).strip("\n")


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, UnicodeError):
        raise DamagedFile from None
    if any(entry.flag_bits & 1 for entry in entries):
        raise EncryptedFile
    if sum(entry.file_size for entry in entries if entry.filename.endswith(_TEXT_PARTS)) > _MOST_XML or any(
        entry.file_size > _SMALL and entry.file_size > _MOST_RATIO * entry.compress_size for entry in entries
    ):
        raise ExplodingFile
    _check_texts(path)


def _check_texts(path: Path) -> None:
    """Read the parts that hold text to their ends: one that says a size it has not, or has changed, reads as an empty document else."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(_TEXT_PARTS):
                    with archive.open(entry) as part:
                        while part.read(_PIECE):
                            pass
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError, UnicodeError):
        raise DamagedFile from None


def _extracted(content: bytes, file_format: FileFormat, *, mark: str | None = None) -> "kreuzberg.ExtractionResult":
    """Return what kreuzberg finds; `mark` is what to put before each page, `{page_num}` in it the page's number."""
    from kreuzberg import ContentFilterConfig, ExtractionConfig, KreuzbergError, PageConfig, extract_bytes_sync  # noqa: PLC0415

    # what stands at the top of every page is often a chapter's heading: it stays
    everything = ContentFilterConfig(include_headers=True, include_footers=True, strip_repeating_text=False)
    pages = PageConfig(extract_pages=file_format is FileFormat.PDF, insert_page_markers=mark is not None, marker_format=mark)
    config = ExtractionConfig(output_format="markdown", use_cache=False, content_filter=everything, pages=pages)
    try:
        return extract_bytes_sync(content, _MEDIA_TYPE[file_format], config)
    except (KreuzbergError, ValueError, RuntimeError):
        raise DamagedFile from None


def _pages(path: Path, limits: ParsingLimits) -> Iterator[tuple[int, str]]:
    """Yield the pages as Markdown: their sentences whole again, as a page breaks them at its width, and headings marked."""
    plain = _plain_pages(path, limits)
    try:
        found = _extracted(path.read_bytes(), FileFormat.PDF)
    except DamagedFile:  # one reader's limits are not the file's
        found = None
    marks = {title["title"]: title["marks"] for title in _TITLE.finditer(found.content)} if found is not None else {}
    formed = {page["page_number"]: page["content"] for page in (found.pages or ()) if page["content"].strip()} if found is not None else {}
    for number, text in enumerate(plain, start=1):
        lines = _storable(formed.get(number, text)).split("\n")
        formed_lines = [f"{marks[line.strip()]} {line.strip()}" if line.strip() in marks else line for line in lines]
        yield number, "\n".join(unwrapped(formed_lines))


def _plain_pages(path: Path, limits: ParsingLimits) -> list[str]:
    import pypdfium2  # noqa: PLC0415 - only who reads a PDF needs it

    try:
        with pypdfium2.PdfDocument(path) as document:
            if len(document) > limits.pages:
                raise TooLongFile
            return [page.get_textpage().get_text_bounded() for page in document]
    except pypdfium2.PdfiumError as error:
        raise (EncryptedFile if "password" in str(error).lower() else DamagedFile) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
