"""Names that people give to themselves and to their things."""

import unicodedata
from enum import StrEnum

from shared_kernel.errors import FieldError, InvalidInput

MAXIMUM_NAME_LENGTH = 120


class Locale(StrEnum):
    """Languages that we write mails in."""

    ENGLISH = "en"
    FRENCH = "fr"


def named(text: str, *, field: str) -> str:
    """Return `text` without outer space.

    Raises `InvalidInput` for `field` when nothing is left, it is longer than 120 characters, or holds control characters.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split(" ")).strip()
    if not name or len(name) > MAXIMUM_NAME_LENGTH:
        raise InvalidInput(FieldError(field, "name_length", f"This needs 1 to {MAXIMUM_NAME_LENGTH} characters"))
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise InvalidInput(FieldError(field, "name_characters", "Control characters are not allowed"))
    return name
