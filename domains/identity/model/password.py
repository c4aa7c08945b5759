"""Which passwords are good enough."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from shared_kernel.errors import FieldError, InvalidInput

MINIMUM_LENGTH = 8
MAXIMUM_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Password:
    """A password as it is hashed: NFKC, so that every keyboard writes the same one (NIST SP 800-63B, section 3.1.1.2).

    Its text never shows in a representation. Build a new one with `Password.chosen`, one that is to be compared with `Password.given`.
    """

    text: str = field(repr=False)

    @classmethod
    def given(cls, text: str) -> "Password":
        """Return what somebody typed to prove who they are; a text too long to be anybody's password is cut."""
        return cls(unicodedata.normalize("NFKC", text[: MAXIMUM_LENGTH * 4]))

    @classmethod
    def chosen(cls, text: str, *, personal: Sequence[str] = ()) -> "Password":
        """Return a new password.

        It has 8 to 128 characters, is not one of the most common ones, and is none of `personal` (the e-mail, its local part, names).
        There are no rules of composition. Raises `InvalidInput`.
        """
        password = unicodedata.normalize("NFKC", text)
        if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
            raise InvalidInput(FieldError("password", "password_length", f"A password has {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters"))
        simplified = _simplified(password)
        if simplified in _most_common() or len(set(simplified)) <= 1:
            raise InvalidInput(FieldError("password", "password_too_common", "Too many people use this password; choose another"))
        guesses = {_simplified(word) for whole in personal for word in (whole, whole.partition("@")[0])}
        if simplified in guesses - {""}:
            raise InvalidInput(FieldError("password", "password_personal", "A password must not be your e-mail or your name"))
        return cls(password)


def _simplified(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


@cache
def _most_common() -> frozenset[str]:
    """The 2,000 most common leaked passwords of eight or more characters, by frequency (from the lists of zxcvbn, MIT licence)."""
    return frozenset((Path(__file__).parent / "common_passwords.txt").read_text(encoding="utf-8").split())
