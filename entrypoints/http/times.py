"""Times that a client gives."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar.params import QueryParameter

from shared_kernel.errors import FieldError, InvalidInput

#: Times of a period in a query. They come as texts, since the framework would take a number for seconds since 1970.
FromTime = Annotated[str | None, QueryParameter(name="from", schema_extra={"format": "date-time"})]
ToTime = Annotated[str | None, QueryParameter(name="to", schema_extra={"format": "date-time"})]


def time_of(field: str, text: str | None) -> datetime | None:
    """Return the RFC 3339 time of `text`, in UTC. Raises `InvalidInput` for anything else, also without a zone."""
    if text is None:
        return None
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        raise InvalidInput(FieldError(field, "invalid", "must be a time such as 2030-01-31T12:00:00Z")) from None
    return in_utc(field, moment)


def in_utc(field: str, moment: datetime | None) -> datetime | None:
    """Return `moment` in UTC, which all times within and in answers are. Raises `InvalidInput` without a zone or out of range."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InvalidInput(FieldError(field, "no_time_zone", "give the time with its offset, such as 2030-01-31T12:00:00Z"))
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(FieldError(field, "out_of_range", "must be between the years 1 and 9999, in UTC")) from None
