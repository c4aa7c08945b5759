"""The names of the plans."""

from enum import StrEnum


class PlanSlug(StrEnum):
    """A plan of the catalogue. Looking one up ignores case: `BUSINESS` finds `business`."""

    FREE = "free"
    PRO = "pro"
    BUSINESS = "business"
    ENTERPRISE = "enterprise"

    @classmethod
    def _missing_(cls, value: object) -> "PlanSlug | None":
        wanted = str(value).lower()
        return next((plan for plan in cls if plan.value == wanted), None)
