"""Canonical JSON: one text for one value (RFC 8785, "JSON Canonicalization Scheme")."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from json.encoder import encode_basestring
from uuid import UUID

LARGEST_INTEGER = 2**53 - 1  # beyond it, neighbouring integers are one and the same IEEE 754 double (RFC 7493, section 2.2)
_LARGEST_PLAIN_EXPONENT = 21  # ECMA-262, Number::toString: from 1e21 on, scientific notation
_SMALLEST_PLAIN_EXPONENT = -6  # … and below 1e-6

_NAMES = {True: "true", False: "false"}


class NotCanonical(ValueError):
    """The value has no canonical JSON text."""


def canonical_json(value: object) -> bytes:
    """Return the canonical UTF-8 text of a JSON value (RFC 8785).

    `value` is made of dicts with string keys, lists or tuples, strings, integers, floats, booleans and `None`. Raises `NotCanonical` for
    anything else: NaN and
    infinities, integers that are not exact doubles, and lone surrogates (RFC 8785, section 3.1).
    """
    try:
        return _text(value).encode()
    except UnicodeEncodeError as error:
        raise NotCanonical("a string holds a lone surrogate") from error


def _text(value: object) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)  # type: ignore[arg-type]
    if value is None:
        return "null"
    if kind is int or kind is bool:
        return _scalar_text(value)
    if isinstance(value, dict | Mapping):
        return "{" + ",".join([f"{encode_basestring(key)}:{_text(value[key])}" for key in _sorted_keys(value)]) + "}" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([_text(item) for item in value]) + "]"
    if isinstance(value, str):
        return encode_basestring(value)
    return _scalar_text(value)


def _scalar_text(value: object) -> str:
    if value is True or value is False:
        return _NAMES[value]
    if isinstance(value, int):
        if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
            raise NotCanonical(f"{value} is not an exact JSON number")
        return int.__repr__(value)
    if isinstance(value, float):
        return number_text(value)
    raise NotCanonical(f"{type(value).__name__} is not a JSON value")


def _sorted_keys(value: Mapping[str, object]) -> list[str]:
    try:
        ascii_only = "".join(value).isascii()
    except TypeError as error:
        raise NotCanonical("every key of an object must be a string") from error
    return sorted(value) if ascii_only else sorted(value, key=_utf16)


def _utf16(key: str) -> bytes:
    """Return what keys are ordered by: UTF-16 code units, which differ from code points beyond U+FFFF (RFC 8785, section 3.2.3)."""
    return key.encode("utf-16-be")


def number_text(value: float) -> str:
    """Return a double as ECMAScript writes it (RFC 8785, section 3.2.2.3; ECMA-262, Number::toString).

    Python's `repr` finds the same shortest digits; only their layout differs. Raises `NotCanonical` for NaN and infinities.
    """
    if not math.isfinite(value):
        raise NotCanonical(f"{value} is not a JSON number")
    if value == 0:
        return "0"  # also for -0
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading_zeros = len(whole + fraction) - len(digits)
    point = len(whole) + int(exponent or 0) - leading_zeros  # the value is 0.DIGITS × 10^point
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= _LARGEST_PLAIN_EXPONENT:
        return f"{sign}{digits}{'0' * (point - count)}"
    if 0 < point <= _LARGEST_PLAIN_EXPONENT:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if _SMALLEST_PLAIN_EXPONENT < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    scientific = point - 1
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if scientific > 0 else '-'}{abs(scientific)}"


def as_json(value: object) -> object:
    """Return `value` as a JSON value that has a canonical text and that a database can keep: total, and the same when applied twice.

    Identifiers, enumerations and times become strings, as do numbers that JSON cannot hold exactly (RFC 7493, section 2.2); characters
    that are no
    Unicode scalar value, and NUL, become U+FFFD.
    """
    if type(value) is str:
        return clean_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, int | float):
        return _as_number(value)
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Mapping):
        return {clean_text(str(as_json(key))): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [as_json(item) for item in value]
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items
    return clean_text(str(value))


def _as_number(value: float) -> object:
    if not math.isfinite(value):
        return str(value)
    # a double beyond the limit has an integer's text and would be read back as one: both become the same string
    return value if -LARGEST_INTEGER <= value <= LARGEST_INTEGER else str(int(value))


def clean_text(value: str) -> str:
    """Return `value` with NUL and lone surrogates replaced by U+FFFD."""
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def time_text(value: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC with six decimals: one text for one moment."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def uuid_text(value: UUID | None) -> str | None:
    """Return an identifier's text, or `None`."""
    return None if value is None else str(value)
