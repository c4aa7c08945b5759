"""The blocks of a document."""

import time

import pytest

from domains.conversational_ai.model.document import BlockKind, DocumentText


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("# Delivery", "Delivery"),
        ("   ###### Delivery \t", "Delivery"),
        ("## Delivery ##", "Delivery"),
        ("## Delivery ## \t", "Delivery"),
        ("# Delivery # 2 #", "Delivery # 2"),
        ("# C#", "C"),
        ("# ###", "#"),
        ("#\t#", "#"),
    ],
)
def test_a_heading_says_its_words_without_its_marks(line: str, title: str) -> None:
    document = DocumentText.of_markdown(f"{line}\n\nText.")
    [heading, _] = document.blocks
    assert heading.kind is BlockKind.HEADING
    assert document.title_of(heading) == title


@pytest.mark.parametrize("line", ["#Delivery", "    # Delivery", "####### Delivery", "# ", "#"])
def test_what_is_no_heading_is_text(line: str) -> None:
    assert BlockKind.HEADING not in {block.kind for block in DocumentText.of_markdown(f"{line}\n\nText.").blocks}


@pytest.mark.parametrize("line", ["# a" + " " * 50_000 + "b", "# a" + "# " * 50_000 + "b", "#" + " " * 50_000, "# " + "#" * 50_000 + "b"])
def test_no_line_takes_long(line: str) -> None:
    """A heading with ten thousand blanks in it took ten minutes."""
    began = time.perf_counter()
    document = DocumentText.of_markdown(f"{line}\n\nText.")
    for block in document.blocks:
        document.title_of(block)
    assert time.perf_counter() - began < 1
