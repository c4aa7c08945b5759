"""Times that a client gives."""

from datetime import UTC, datetime

from shared_kernel.errors import FieldError, InvalidInput


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
