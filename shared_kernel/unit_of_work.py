"""A transaction that another context may join."""

from typing import Protocol

from shared_kernel.principal import Principal


class UnitOfWork(Protocol):
    """An open transaction of one tenant.

    Use cases hold it only to hand it to another context's commands (the closed list in the ADR on transactions), which then
    happen with it or
    not at all. What it is made of is known to the adapters alone.
    """

    principal: Principal
