"""Every format, and everything that can be wrong with a file, through the process that reads it."""

import contextlib
import os

import pytest

from adapters.documents.limits import ParsingLimits
from adapters.documents.subprocess_parsing import SubprocessDocumentParsing
from domains.conversational_ai.model.chunking import chunks_of_document
from domains.conversational_ai.model.document import BlockKind, DocumentText
from domains.conversational_ai.model.file_format import FileFormat, FileInspection
from domains.conversational_ai.model.unreadable_file import (
    DamagedFile,
    EmptyFile,
    EncryptedFile,
    ExplodingFile,
    ScannedFile,
    SlowFile,
    TooLongFile,
    UnreadableFile,
    UnsupportedFile,
)
from domains.conversational_ai.ports.document_parsing import DocumentParsing
from domains.conversational_ai.ports.object_store import pieces
from tests.fixtures import files
from tests.port_contracts.document_parsing import DocumentParsingContract

ARABIC = "# الأسعار\n\nتكلف الخطة الاحترافية ٤٩ يورو."
FRENCH = "Le forfait Pro coûte 49 € — déjà payé, à l’année."


class TestSubprocess(DocumentParsingContract):
    @pytest.fixture
    def parsing(self) -> DocumentParsing:
        return SubprocessDocumentParsing(ParsingLimits())


async def read(content: bytes, name: str = "file", limits: ParsingLimits | None = None) -> DocumentText:
    inspection = FileInspection()
    for start in range(0, len(content), 1_000_000):
        inspection.see(content[start : start + 1_000_000])
    return await SubprocessDocumentParsing(limits or ParsingLimits()).parse(pieces(content), inspection.format(name))


@pytest.mark.parametrize("content", [files.docx(), files.pptx(), files.pdf(), files.HTML], ids=["docx", "pptx", "pdf", "html"])
async def test_what_a_document_says_is_read_under_its_heading(content: bytes) -> None:
    document = await read(content)
    [chunk] = [c for c in chunks_of_document(document) if "The Pro plan costs 49 euros." in c.text]
    assert chunk.locator.heading == "Prices"
    assert document.text[chunk.locator.start : chunk.locator.end] == chunk.text
    assert "alert" not in document.text


async def test_the_pages_of_a_pdf_are_kept() -> None:
    document = await read(files.pdf())
    assert [(c.locator.page, c.locator.heading) for c in chunks_of_document(document)] == [(1, "Prices"), (2, "Hours")]


async def test_the_sentences_of_a_pdf_are_whole_however_its_page_breaks_them() -> None:
    said = (
        "Annulation. Si vous annulez plus de trente jours avant votre arrivée, tout est remboursé, moins 15 euros de frais."
        " Entre trente et sept jours avant votre arrivée, la moitié de cet acompte vous est rendue sans que vous ayez à dire pourquoi."
    )
    document = await read(files.pdf([("Annulation", f"{said}\n- les chiens sont admis\n- les chats aussi\n\nMerci.")]))
    lines = document.text.split("\n")
    assert said in lines
    assert [line for line in lines if line.startswith("-")] == ["- les chiens sont admis", "- les chats aussi"]


async def test_the_slides_of_a_presentation_are_its_pages() -> None:
    document = await read(files.pptx())
    assert [(c.locator.page, c.locator.heading) for c in chunks_of_document(document)] == [(1, "Prices"), (2, "Hours")]
    assert document.text == "## Prices\n\nThe Pro plan costs 49 euros.\n\n## Hours\n\nWe open at nine."


async def of_the_web(page: str) -> DocumentText:
    return await SubprocessDocumentParsing(ParsingLimits()).parse(pieces(page.encode()), FileFormat.WEB_PAGE)


async def test_of_a_web_page_the_main_text_is_read_under_its_headings() -> None:
    document = await of_the_web(
        "<html><head><title>Prices – Shop</title><meta charset=koi8-r><meta property=og:title content='Nos prix d’été'></head><body>"
        "<nav><ul><li><a href=/>Home</a></li><li><a href=/about>About us</a></li></ul></nav>"
        "<main><article><h1>Prices</h1><p>Le forfait Pro coûte 49 € par mois. On peut le résilier à tout moment, sans raison.</p>"
        "<h2>Free plan</h2><p>The free plan costs nothing, for ever. It has one agent and ten documents.</p>"
        "<table><tr><th>Plan</th><th>Price</th></tr><tr><td>Pro</td><td>49</td></tr></table></article></main>"
        "<script>alert(1)</script><footer>Imprint. All rights reserved.</footer></body></html>"
    )
    assert document.title == "Nos prix d’été"
    assert "coûte 49 €" in document.text
    assert BlockKind.TABLE in {b.kind for b in document.blocks}
    [free] = [c for c in chunks_of_document(document) if "for ever" in c.text]
    assert free.locator.heading == "Free plan"
    assert not [word for word in ("About us", "Imprint", "alert") if word in document.text]


async def test_a_web_page_without_a_main_part_is_read_whole() -> None:
    assert "We open at nine." in (await of_the_web("<div>We open at nine.</div>")).text
    assert "Hi." in (await of_the_web("<p>Hi.</p>")).text


@pytest.mark.parametrize("page", ["<html><body></body></html>", "<script>x()</script>", "<div id=app></div><noscript></noscript>"])
async def test_a_web_page_that_scripts_would_fill_is_empty(page: str) -> None:
    with pytest.raises(EmptyFile):
        await of_the_web(page)


async def test_a_hostile_web_page_ends_within_its_limits() -> None:
    for page in ("<div>" * 200_000 + "deep", "<p>word" * 300_000, "<a href=x>" * 100_000, "<table><tr>" + "<td>x" * 200_000):
        with contextlib.suppress(UnreadableFile):
            await SubprocessDocumentParsing(ParsingLimits(seconds=3)).parse(pieces(page.encode()), FileFormat.WEB_PAGE)


@pytest.mark.parametrize("content", [files.docx(), files.xlsx(), files.HTML], ids=["docx", "xlsx", "html"])
async def test_tables_stay_tables(content: bytes) -> None:
    document = await read(content)
    [table] = [b for b in document.blocks if b.kind is BlockKind.TABLE]
    assert "Pro" in document.text[table.start : table.end].splitlines()[-1]
    assert "49" in document.text[table.start : table.end].splitlines()[-1]


async def test_a_csv_is_a_table_and_markdown_is_read_as_it_stands() -> None:
    table = await read(b"Plan;Price\r\nPro;49\r\n", "prices.csv")
    assert table.text == "Plan;Price\nPro;49\n"
    assert [b.kind for b in table.blocks] == [BlockKind.TABLE]
    text = await read(b"# Prices\n\n| Plan | Price |\n|---|---|\n| Pro | 49 |\n", "prices.md")
    assert [b.kind for b in text.blocks] == [BlockKind.HEADING, BlockKind.TABLE]


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
async def test_letters_are_read_in_whatever_charset_they_are_written(charset: str) -> None:
    assert (await read(FRENCH.encode(charset))).text == FRENCH


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "cp1252"])
async def test_so_are_those_of_a_page_whatever_it_says_of_itself(charset: str) -> None:
    page = f"<html><head><meta charset=koi8-r></head><body><p>{FRENCH}</p></body></html>"
    assert FRENCH in (await read(page.encode(charset))).text


async def test_right_to_left_text_keeps_its_order() -> None:
    document = await read(ARABIC.encode(), "prices.md")
    assert document.text == ARABIC
    assert (await read(files.docx(text=ARABIC.splitlines()[2]))).text.count(ARABIC.splitlines()[2]) == 1


async def test_two_thousand_pages_are_read_each_with_its_number() -> None:
    document = await read(files.pdf([(f"Chapter {i}", f"Item {i} is number {i} of the list.") for i in range(1, 2_001)]))
    at = document.text.index("Item 1987 is")
    assert document.page_at(at) == 1_987


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", EmptyFile, id="nothing"),
        pytest.param(b" \n\r\n ", EmptyFile, id="blanks"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", UnsupportedFile, id="png"),
        pytest.param(b"\x7fELF\x02\x01\x01\0", UnsupportedFile, id="elf"),
        pytest.param(b"{\\rtf1 text}", UnsupportedFile, id="rtf"),
        pytest.param(files.archive({"readme.txt": "hello"}), UnsupportedFile, id="archive"),
        pytest.param(files.old_office(password=False), UnsupportedFile, id="old-office"),
        pytest.param(files.old_office(password=True), EncryptedFile, id="office-password"),
        pytest.param(files.pdf(password="secret"), EncryptedFile, id="pdf-password"),
        pytest.param(files.docx()[:-400], DamagedFile, id="cut-docx"),
        pytest.param(b"%PDF-1.7\n" + b"nothing of a PDF follows " * 40, DamagedFile, id="no-pdf"),
        pytest.param(b"PK\x03\x04" + b"word/document.xml" + b"\0" * 500, DamagedFile, id="no-zip"),
        pytest.param(files.bomb(), ExplodingFile, id="bomb"),
        pytest.param(files.scan(), ScannedFile, id="scan"),
        pytest.param(b"<html><body><script>nothing()</script></body></html>", EmptyFile, id="script-alone"),
    ],
)
async def test_each_file_that_can_not_be_read_says_why(content: bytes, reason: type[UnreadableFile]) -> None:
    with pytest.raises(UnreadableFile) as refused:
        await read(content, "file.pdf")
    assert refused.value.code == reason.code
    assert [e.field for e in refused.value.errors] == ["file"]


async def test_a_bomb_whose_directory_lies_is_damaged() -> None:
    """It is not empty, as what can be read of it would say."""
    with pytest.raises(DamagedFile):
        await read(files.hidden_bomb(), limits=ParsingLimits(seconds=20))


async def test_too_many_pages_and_too_much_text_are_too_long() -> None:
    with pytest.raises(TooLongFile):
        await read(files.pdf(), limits=ParsingLimits(pages=1))
    with pytest.raises(TooLongFile):
        await read(b"word " * 30_000, limits=ParsingLimits(characters=100_000))


async def test_what_takes_too_long_is_killed() -> None:
    with pytest.raises(SlowFile):
        await read(files.pdf(), limits=ParsingLimits(seconds=0.01))


async def test_what_takes_too_much_memory_is_refused() -> None:
    with pytest.raises(ExplodingFile):
        await read(os.urandom(60_000_000).hex().encode(), limits=ParsingLimits(memory_bytes=150_000_000, characters=10**9))


async def test_the_format_is_the_one_that_the_bytes_say() -> None:
    inspection = FileInspection()
    for byte in files.docx():
        inspection.see(bytes([byte]))
    assert inspection.format("prices.pdf") is FileFormat.DOCX
