"""`?cursor=&limit=` of every list."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.pagination import MAXIMUM_LIMIT, ForeignCursor, Page, PageRequest

T = TypeVar("T")


def page_request(cursor: str | None, limit: int) -> PageRequest:
    """Return the page asked for. Raises `InvalidInput` for a limit outside 1–100."""
    if not 1 <= limit <= MAXIMUM_LIMIT:
        raise InvalidInput(FieldError("limit", "out_of_range", f"must be between 1 and {MAXIMUM_LIMIT}"))
    return PageRequest(cursor or None, limit)


def page_of(items: Sequence[T], page: PageRequest, *, key: Callable[[T], str]) -> Page[T]:
    """Return a page of a short list that is known whole; its cursors are keys. Raises `InvalidInput` for one that is not in the list."""
    first = 0
    if page.cursor is not None:
        first = next((position for position, item in enumerate(items, 1) if key(item) == page.cursor), 0)
        if not first:
            raise ForeignCursor
    shown = tuple(items[first : first + page.limit])
    return Page(shown, key(shown[-1]) if first + page.limit < len(items) else None)
