"""The lease that a worker has on a delivery."""

from typing import Protocol

from shared_kernel.events import Delivery


class WorkLease(Protocol):
    """Keeps a delivery from being given to another worker while its effect is still being made."""

    async def extend(self, delivery: Delivery) -> None:
        """Start the delivery's lease anew. To be called at least every few seconds during long work."""
        ...
