"""The branch that a message is in."""

import pytest

from domains.conversational_ai.model.branch import MessageLink, branch_through
from shared_kernel.errors import NotFound
from shared_kernel.identifiers import new_id

FIRST, ANSWER, ANEW, SECOND, OTHER, ITS_ANSWER, LATER = (new_id() for _ in range(7))
LINKS = [
    MessageLink(FIRST, None),
    MessageLink(ANSWER, FIRST),
    MessageLink(SECOND, ANSWER),
    MessageLink(ANEW, FIRST),
    MessageLink(OTHER, ANSWER),
    MessageLink(ITS_ANSWER, OTHER),
    MessageLink(LATER, ANEW),
]


@pytest.mark.parametrize(
    ("message", "branch"),
    [
        (FIRST, (FIRST, ANEW, LATER)),
        (ANSWER, (FIRST, ANSWER, OTHER, ITS_ANSWER)),
        (SECOND, (FIRST, ANSWER, SECOND)),
        (ITS_ANSWER, (FIRST, ANSWER, OTHER, ITS_ANSWER)),
        (LATER, (FIRST, ANEW, LATER)),
    ],
)
def test_it_goes_up_the_one_way_and_down_as_it_last_did(message: object, branch: tuple[object, ...]) -> None:
    assert branch_through(LINKS, message) == branch  # type: ignore[arg-type]


def test_a_message_of_another_conversation_has_no_branch_here() -> None:
    with pytest.raises(NotFound):
        branch_through(LINKS, new_id())
    with pytest.raises(NotFound):
        branch_through([], FIRST)


def test_two_first_questions_are_two_branches() -> None:
    edited = new_id()
    links = [MessageLink(FIRST, None), MessageLink(ANSWER, FIRST), MessageLink(edited, None)]
    assert branch_through(links, ANSWER) == (FIRST, ANSWER)
    assert branch_through(links, edited) == (edited,)


def test_a_long_conversation_is_walked_in_one_go() -> None:
    ids = [new_id() for _ in range(20_000)]
    links = [MessageLink(one, before) for one, before in zip(ids, [None, *ids], strict=False)]
    assert branch_through(links, ids[10_000]) == tuple(ids)
