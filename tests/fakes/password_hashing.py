"""`PasswordHashing` without the cost."""

import hashlib
import secrets


class InMemoryPasswordHashing:
    """A salted SHA-256: instant, and different at each call as the real one. `checked` counts the checks, real or for nobody."""

    def __init__(self) -> None:
        self.checked = 0

    async def hash(self, password: str) -> str:
        """Return a salted hash."""
        return self._hash(secrets.token_hex(8), password)

    async def verify(self, password_hash: str, password: str) -> bool:
        """Tell whether the hash is that of `password`."""
        self.checked += 1
        return self._hash(password_hash.partition("$")[0], password) == password_hash

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether the hash is not one of ours."""
        return "$" not in password_hash

    async def verify_nothing(self, password: str) -> None:
        """Count as a check."""
        await self.verify("", password)

    @staticmethod
    def _hash(salt: str, password: str) -> str:
        return f"{salt}${hashlib.sha256((salt + password).encode()).hexdigest()}"
