import pytest

from domains.conversational_ai.model.wrapped_lines import goes_on, unwrapped

WIDE = "What is written here is about as wide as the page that it"


@pytest.mark.parametrize(
    ("line", "following", "expected"),
    [
        ("A sentence that", "goes on", True),
        ("A sentence that ended.", "goes on", False),
        (WIDE, "15 euros are asked for", True),
        ("Tent", "15 euros", False),
        (WIDE, "Stands on", False),
        ("# A heading", "goes on", False),
        ("An announcement", "- an item", False),
        ("| a | b", "c", False),
        ("", "x", False),
        ("x", "", False),
    ],
)
def test_a_sentence_goes_on_below(line: str, following: str, *, expected: bool) -> None:
    assert goes_on(line, following) is expected


def test_a_page_is_put_together_sentence_by_sentence() -> None:
    page = [
        "# Paris and around",
        WIDE,
        "Stands on, in a good-",
        "natured way.",
        "Next.",
        "",
        "Tent 14",
        "Caravan 19",
        "",
        f"{WIDE}.",
        "After",
    ]
    whole = [f"{WIDE} Stands on, in a good-natured way.", "Next.", "", "Tent 14", "Caravan 19", "", f"{WIDE}.", "After"]
    assert list(unwrapped(page)) == ["# Paris and around", *whole]
    assert list(unwrapped([])) == []
