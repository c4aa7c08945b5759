"""Lists by cursor."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from shared_kernel.errors import FieldError, InvalidInput

T = TypeVar("T")

DEFAULT_LIMIT = 20
MAXIMUM_LIMIT = 100


class ForeignCursor(InvalidInput):
    """A cursor that the list did not give."""

    def __init__(self) -> None:
        super().__init__(FieldError("cursor", "invalid", "is not a next_cursor that this list gave"))


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: `limit` items (1–100) after the opaque `cursor` that the previous page gave."""

    cursor: str | None = None
    limit: int = DEFAULT_LIMIT

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAXIMUM_LIMIT:
            raise ValueError(f"limit must be between 1 and {MAXIMUM_LIMIT}")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` is `None` on the last."""

    items: tuple[T, ...]
    next_cursor: str | None
