"""Passwords are hashed slowly, boundedly, and without telling who exists."""

import asyncio
import time

import pytest

from adapters.crypto.argon2_hashing import Argon2PasswordHashing
from domains.identity.ports.password_hashing import TooManyPasswordChecks
from shared_kernel.errors import Unavailable

PASSWORD = "correct horse battery staple ☂"


async def test_a_password_matches_its_own_hash_only() -> None:
    hashing = Argon2PasswordHashing()
    first, second = await hashing.hash(PASSWORD), await hashing.hash(PASSWORD)
    assert first != second, "each hash has its own salt"
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hashing.verify(first, PASSWORD)
    assert not await hashing.verify(first, PASSWORD + " ")
    assert not hashing.needs_rehash(first)
    hashing.close()


async def test_hashes_of_other_parameters_or_damaged_ones_are_replaced_and_never_raise() -> None:
    hashing = Argon2PasswordHashing()
    assert hashing.needs_rehash("$argon2id$v=19$m=65536,t=3,p=4$MTIzNDU2Nzg5MDEyMzQ1Ng$a2xqaGdmZHNhcG9pdXl0cmV3cWxramhnZmRzYXBvaXU")
    for damaged in ("", "plain", "$argon2id$v=19$m=19456", "$2b$12$abcdefghijklmnopqrstuv"):
        assert hashing.needs_rehash(damaged)
        assert not await hashing.verify(damaged, PASSWORD)
    hashing.close()


async def test_an_unknown_account_costs_what_a_known_one_costs() -> None:
    hashing = Argon2PasswordHashing(threads=1)
    known = await hashing.hash(PASSWORD)
    spent: dict[str, list[float]] = {"known": [], "unknown": [], "damaged": []}
    for _ in range(7):
        for name, stored in (("known", known), ("damaged", "nonsense"), ("unknown", "")):
            started = time.perf_counter()
            await (hashing.verify(stored, "wrong") if stored else hashing.verify_nothing("wrong"))
            spent[name].append(time.perf_counter() - started)
    fastest = {name: min(times) for name, times in spent.items()}
    assert fastest["unknown"] > fastest["known"] / 2
    assert fastest["damaged"] > fastest["known"] / 2
    hashing.close()


async def test_a_storm_is_refused_past_the_queue_and_the_pool_recovers() -> None:
    hashing = Argon2PasswordHashing(threads=1, queue=2)
    outcomes = await asyncio.gather(*(hashing.verify_nothing("x") for _ in range(10)), return_exceptions=True)
    assert issubclass(TooManyPasswordChecks, Unavailable)
    refused = [outcome for outcome in outcomes if isinstance(outcome, TooManyPasswordChecks)]
    assert len(refused) == 7
    assert all(error.code == "too_busy" for error in refused)
    await hashing.verify_nothing("x")
    hashing.close()
    with pytest.raises(TooManyPasswordChecks):
        await hashing.verify_nothing("x")


async def test_a_caller_that_leaves_does_not_free_the_slot_early() -> None:
    hashing = Argon2PasswordHashing(threads=1, queue=0)
    leaving = asyncio.create_task(hashing.verify_nothing("x"))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    with pytest.raises(TooManyPasswordChecks):
        await hashing.verify_nothing("x")
    hashing.close()
