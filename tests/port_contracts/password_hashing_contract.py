"""What every `PasswordHashing` does."""

from domains.identity.ports.password_hashing import PasswordHashing


class PasswordHashingContract:
    """Subclass and say how to make one."""

    def make(self) -> PasswordHashing:
        """Return the adapter."""
        raise NotImplementedError

    async def test_a_hash_matches_its_password_only(self) -> None:
        hashing = self.make()
        first, second = await hashing.hash("pass phrase"), await hashing.hash("pass phrase")
        assert first != second
        assert await hashing.verify(first, "pass phrase")
        assert await hashing.verify(second, "pass phrase")
        assert not await hashing.verify(first, "pass phrase ")
        assert not hashing.needs_rehash(first)

    async def test_a_damaged_hash_is_nobodys_and_is_replaced(self) -> None:
        hashing = self.make()
        assert not await hashing.verify("damaged", "pass phrase")
        assert hashing.needs_rehash("damaged")
        await hashing.verify_nothing("pass phrase")
