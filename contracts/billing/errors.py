"""Refusals of billing that other contexts let through to the caller."""

from shared_kernel.errors import LuneoError


class QuotaExceeded(LuneoError):
    """The plan's limit for a metric is reached. `extra` holds `metric`, `limit` and `resets_at` (RFC 3339, or `None` for a capacity)."""

    code = "quota_exceeded"
    title = "The plan's limit is reached"


class FeatureNotInPlan(LuneoError):
    """The plan does not include a feature. `extra` holds `feature`."""

    code = "feature_not_in_plan"
    title = "Your plan does not include this"


class QuotaPeriodMissing(LuneoError):
    """The current period's counters do not exist yet: call `Quotas.open_periods` and try once more. Never reaches a caller."""

    code = "quota_period_missing"
    title = "The billing period has not been opened"


class ReservationNotOpen(LuneoError):
    """The reservation was settled, released or has expired: whatever wanted to settle it came too late."""

    code = "reservation_not_open"
    title = "The reservation is no longer open"
