"""`?cursor=&limit=` of every list."""

from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.pagination import MAXIMUM_LIMIT, PageRequest


def page_request(cursor: str | None, limit: int) -> PageRequest:
    """Return the page asked for. Raises `InvalidInput` for a limit outside 1–100."""
    if not 1 <= limit <= MAXIMUM_LIMIT:
        raise InvalidInput(FieldError("limit", "out_of_range", f"must be between 1 and {MAXIMUM_LIMIT}"))
    return PageRequest(cursor or None, limit)
