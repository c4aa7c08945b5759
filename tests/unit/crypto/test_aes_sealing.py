"""Stored answers may hold an API key: at rest they are sealed."""

import pytest

from adapters.crypto.aes_sealing import AesSealing

FIRST, SECOND = b"a" * 32, b"b" * 32


def test_what_was_sealed_opens_in_its_place_alone() -> None:
    sealing = AesSealing([FIRST])
    sealed = sealing.seal(b"lun_live_secret", b"here")
    assert b"lun_live" not in sealed
    assert sealing.open(sealed, b"here") == b"lun_live_secret"
    assert sealing.open(sealed, b"elsewhere") is None


def test_one_text_is_sealed_differently_each_time() -> None:
    sealing = AesSealing([FIRST])
    assert sealing.seal(b"same", b"") != sealing.seal(b"same", b"")


def test_a_rotated_key_still_opens_what_it_sealed() -> None:
    sealed = AesSealing([FIRST]).seal(b"answer", b"")
    assert AesSealing([SECOND, FIRST]).open(sealed, b"") == b"answer"
    assert AesSealing([SECOND]).open(sealed, b"") is None


@pytest.mark.parametrize("position", [0, 12, -1])
def test_a_changed_byte_is_refused(position: int) -> None:
    sealing = AesSealing([FIRST])
    changed = bytearray(sealing.seal(b"answer", b""))
    changed[position] ^= 1
    assert sealing.open(bytes(changed), b"") is None
