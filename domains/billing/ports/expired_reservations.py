"""Reservations whose time is up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domains.billing.model.quota import OpenReservation


class ExpiredReservations(Protocol):
    """Looks across all organisations, reading only."""

    async def due(self, at: datetime, *, limit: int) -> Sequence[OpenReservation]:
        """Return at most `limit` open reservations that were to expire at or before `at`, the oldest first."""
        ...
