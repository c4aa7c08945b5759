"""What a file is called that somebody saves, whatever its sender called it."""

import pytest

from domains.conversational_ai.model.attachment_name import attachment, attachment_name


@pytest.mark.parametrize(
    ("given", "saved"),
    [
        ("prices.pdf", "prices.pdf"),
        ("C:\\secret\\prices.pdf", "prices.pdf"),
        ("../../etc/passwd", "passwd"),
        ("", "file"),
        ("..", "file"),
        (".pdf", "pdf"),
        ("a\r\nSet-Cookie: x=y.txt", "aSet-Cookie: x=y.txt"),
        ("\u202eexe.fdp.txt", "exe.fdp.txt"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("x." + "y" * 300, "x." + "y" * 19),
    ],
)
def test_a_name_is_one_that_a_file_may_have(given: str, saved: str) -> None:
    assert attachment_name(given) == saved


def test_a_browser_saves_it_under_its_name_and_shows_nothing() -> None:
    assert attachment('l’été "49".pdf') == (
        "attachment; filename=\"l__t_ _49_.pdf\"; filename*=UTF-8''l%E2%80%99%C3%A9t%C3%A9%20%2249%22.pdf"
    )
    assert attachment("a\r\nb").isprintable()
