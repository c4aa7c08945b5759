"""Argon2id (RFC 9106) with the parameters of OWASP's password storage cheat sheet: 19 MiB, two passes, one lane."""

import asyncio
import base64
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from domains.identity.ports.password_hashing import TooManyPasswordChecks

T = TypeVar("T")

_MEMORY_KIB = 19 * 1024
_PASSES = 2
_LANES = 1
_SALT_BYTES = 16
_HASH_BYTES = 32


class Argon2PasswordHashing:
    """Hashes in its own small pool of threads.

    `threads` hashes run at once and `queue` more wait; the next one is refused at once with `TooManyPasswordChecks`. So a storm of
    sign-ins takes at most `threads` cores and 19 MiB for each, and leaves the rest to the turns. The slot of a caller that goes away is
    given back when its hash is finished, not before: what is bounded is the work. A hash fills `memory_kib` and goes over it `passes`
    times.
    """

    def __init__(self, *, threads: int = 2, queue: int = 32, memory_kib: int = _MEMORY_KIB, passes: int = _PASSES) -> None:
        self._hasher = PasswordHasher(passes, memory_kib, _LANES, _HASH_BYTES, _SALT_BYTES, type=Type.ID)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._slots = threading.BoundedSemaphore(threads + queue)
        self._nobody = _hash_of_nothing(memory_kib, passes)

    async def hash(self, password: str) -> str:
        """Return the encoded hash (`$argon2id$…`) of `password`."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str, password: str) -> bool:
        """Tell whether `password_hash` was made of `password`."""
        return await self._run(lambda: self._matches(password_hash, password))

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether `password_hash` is damaged or was made with other parameters."""
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    async def verify_nothing(self, password: str) -> None:
        """Compute one full hash of `password` and throw it away."""
        await self._run(lambda: self._matches(self._nobody, password))

    def close(self) -> None:
        """Let the running hashes end and refuse new ones."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except VerificationError:
            return False
        except InvalidHashError:
            # a damaged hash must not be told apart by how fast it is refused
            if password_hash != self._nobody:
                self._matches(self._nobody, password)
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._slots.acquire(blocking=False):
            raise TooManyPasswordChecks
        try:
            future: Future[T] = self._pool.submit(work)
        except RuntimeError as closed:
            self._slots.release()
            raise TooManyPasswordChecks from closed
        future.add_done_callback(lambda _: self._slots.release())
        return await asyncio.wrap_future(future)


def _hash_of_nothing(memory_kib: int, passes: int) -> str:
    # random bytes in place of a hash: checking costs the full computation and no password can match
    salt, digest = (base64.b64encode(os.urandom(size)).rstrip(b"=").decode() for size in (_SALT_BYTES, _HASH_BYTES))
    return f"$argon2id$v=19$m={memory_kib},t={passes},p={_LANES}${salt}${digest}"
