"""Refusals of billing that other contexts let through to the caller."""

from shared_kernel.errors import Conflict, InvalidInput, LuneoError


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


class CapacityGivenBack(Conflict):
    """The capacity of this cause was given back before; taking it again needs a new cause."""

    code = "capacity_given_back"
    title = "The capacity was given back"


class UnknownPlan(InvalidInput):
    """There is no such plan in the catalogue."""

    code = "unknown_plan"
    title = "There is no such plan"


class AddOnNotAvailable(InvalidInput):
    """There is no such add-on, the plan does not take add-ons, or the quantity is out of range."""

    code = "add_on_not_available"
    title = "This add-on cannot be added"
