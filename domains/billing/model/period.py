"""Billing periods: from one anchor day to the next."""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime

LATEST_ANCHOR_DAY = 31
_MONTHS = 12


@dataclass(frozen=True, slots=True)
class BillingPeriod:
    """From `start` (included) to `end` (excluded), both midnight UTC on an anchor day."""

    start: datetime
    end: datetime

    @classmethod
    def containing(cls, anchor_day: int, at: datetime) -> "BillingPeriod":
        """Return the period around `at` for periods that begin on `anchor_day` (1–31) of each month, UTC.

        In a month that is too short the period begins on its last day; the 31st comes back in the next month that has one.
        Raises `ValueError` for a day outside 1–31 and for a naive `at`.
        """
        if not 1 <= anchor_day <= LATEST_ANCHOR_DAY:
            raise ValueError("an anchor day is between 1 and 31")
        if at.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        at = at.astimezone(UTC)
        month = at.year * _MONTHS + at.month - 1
        if at < _beginning(anchor_day, month):
            month -= 1
        return cls(_beginning(anchor_day, month), _beginning(anchor_day, month + 1))


def _beginning(anchor_day: int, month: int) -> datetime:
    year, index = divmod(month, _MONTHS)
    last_day = calendar.monthrange(year, index + 1)[1]
    return datetime(year, index + 1, min(anchor_day, last_day), tzinfo=UTC)
