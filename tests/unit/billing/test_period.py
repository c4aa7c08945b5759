"""Periods tile time, and the 31st stays the 31st."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.billing.model.period import BillingPeriod

ANCHORS = st.integers(1, 31)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds without zone
INSTANT = timedelta(microseconds=1)


@given(ANCHORS, MOMENTS)
def test_a_period_contains_its_moment_and_starts_at_midnight(anchor: int, at: datetime) -> None:
    period = BillingPeriod.containing(anchor, at)
    assert period.start <= at < period.end
    assert period.start.time() == period.end.time() == datetime.min.time()
    assert timedelta(days=28) <= period.end - period.start <= timedelta(days=31)


@given(ANCHORS, MOMENTS)
def test_periods_follow_each_other_without_gap(anchor: int, at: datetime) -> None:
    period = BillingPeriod.containing(anchor, at)
    assert BillingPeriod.containing(anchor, period.start) == period
    assert BillingPeriod.containing(anchor, period.end - INSTANT) == period
    assert BillingPeriod.containing(anchor, period.end).start == period.end
    assert BillingPeriod.containing(anchor, period.start - INSTANT).end == period.start


@given(ANCHORS, MOMENTS)
def test_a_period_begins_on_the_anchor_or_on_the_last_day_of_a_shorter_month(anchor: int, at: datetime) -> None:
    start = BillingPeriod.containing(anchor, at).start
    last_day = (start + timedelta(days=1)).day == 1
    assert start.day == anchor or (start.day < anchor and last_day)


@given(ANCHORS, MOMENTS, st.integers(-14, 14))
def test_the_same_instant_in_another_zone_is_in_the_same_period(anchor: int, at: datetime, hours: int) -> None:
    elsewhere = at.astimezone(timezone(timedelta(hours=hours)))
    assert BillingPeriod.containing(anchor, elsewhere) == BillingPeriod.containing(anchor, at)


def test_the_31st_comes_back_after_february() -> None:
    starts = []
    at = datetime(2028, 1, 31, tzinfo=UTC)
    for _ in range(4):
        period = BillingPeriod.containing(31, at)
        starts.append((period.start.month, period.start.day))
        at = period.end
    assert starts == [(1, 31), (2, 29), (3, 31), (4, 30)]
    assert BillingPeriod.containing(31, datetime(2027, 3, 1, tzinfo=UTC)).start == datetime(2027, 2, 28, tzinfo=UTC)


@pytest.mark.parametrize("anchor", [0, 32])
def test_no_month_has_such_a_day(anchor: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 31"):
        BillingPeriod.containing(anchor, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        BillingPeriod.containing(1, datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
