"""How passwords become something that may be stored."""

from typing import Protocol

from shared_kernel.errors import Unavailable


class TooManyPasswordChecks(Unavailable):
    """More passwords wait to be hashed than the bounded pool takes; the caller tries again in a moment."""

    code = "too_busy"
    title = "Too many sign-ins at once; try again in a moment"


class PasswordHashing(Protocol):
    """A slow, salted, memory-hard hash.

    Every asynchronous method costs the same time and raises `TooManyPasswordChecks` when the pool's queue is full.
    """

    async def hash(self, password: str) -> str:
        """Return the hash of `password`, with its salt and parameters in it."""
        ...

    async def verify(self, password_hash: str, password: str) -> bool:
        """Tell whether `password` is the one that `password_hash` was made of; a damaged hash is nobody's."""
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether `password_hash` was made with other parameters than today's."""
        ...

    async def verify_nothing(self, password: str) -> None:
        """Spend what `verify` spends, for an account that does not exist, so that the time does not tell."""
        ...
