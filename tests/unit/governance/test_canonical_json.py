"""The vectors are those of RFC 8785: sections 3.2.2 to 3.2.4 and appendix B."""

import json
import struct
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.governance.model.canonical_json import NotCanonical, as_json, canonical_json, number_text, time_text

APPENDIX_B = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), APPENDIX_B.items())
def test_a_number_is_written_as_in_appendix_b(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert number_text(value) == text


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"])
def test_what_is_no_json_number_is_refused(bits: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    with pytest.raises(NotCanonical):
        canonical_json(value)


def test_the_sample_of_section_3_2_2() -> None:
    source = r"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    expected = (
        "7b 22 6c 69 74 65 72 61 6c 73 22 3a 5b 6e 75 6c 6c 2c 74 72 75 65 2c 66 61 6c 73 65 5d 2c 22 6e 75 6d 62 65 72 73 22 3a 5b "
        "33 33 33 33 33 33 33 33 33 2e 33 33 33 33 33 33 33 2c 31 65 2b 33 30 2c 34 2e 35 2c 30 2e 30 30 32 2c 31 65 2d 32 37 5d 2c "
        "22 73 74 72 69 6e 67 22 3a 22 e2 82 ac 24 5c 75 30 30 30 66 5c 6e 41 27 42 5c 22 5c 5c 5c 5c 5c 22 2f 22 7d"
    )
    assert canonical_json(json.loads(source)) == bytes.fromhex(expected)


def test_keys_are_ordered_by_utf_16_code_units_as_in_section_3_2_3() -> None:
    source = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    assert list(json.loads(canonical_json(source)).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


@pytest.mark.parametrize("value", [2**53, -(2**53), "\ud800", {1: "a"}, {1, 2}, object(), [float("nan")], b"bytes"])
def test_what_has_no_canonical_text_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical_json(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_canonical_text_says_the_same_value_and_is_its_own_canonical_text(value: object) -> None:
    text = canonical_json(value)
    again = json.loads(text)
    assert again == value
    assert canonical_json(again) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_the_same_double(value: float) -> None:
    assert float(number_text(value)) == value


@given(
    st.recursive(
        json_values | st.integers() | st.floats() | st.text(st.characters()), lambda inner: st.lists(inner, max_size=3), max_leaves=6
    )
)
def test_what_is_recorded_always_has_a_canonical_text_and_recording_twice_changes_nothing(value: object) -> None:
    recorded = as_json(value)
    text = canonical_json(recorded)
    assert as_json(recorded) == recorded
    assert canonical_json(as_json(json.loads(text))) == text


class _Colour(StrEnum):
    RED = "red"


def test_identifiers_times_enumerations_and_what_json_cannot_hold_become_strings() -> None:
    at = datetime(2026, 11, 22, 11, 0, tzinfo=timezone(timedelta(hours=1)))
    value = {
        "id": UUID(int=1),
        "at": at,
        "colour": _Colour.RED,
        "big": 2**60,
        "nul": "a\0b",
        "lone": "\ud800",
        "set": {"b", "a"},
        "inf": float("inf"),
    }
    assert as_json(value) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "at": "2026-11-22T10:00:00.000000Z",
        "colour": "red",
        "big": "1152921504606846976",
        "nul": "a\ufffdb",
        "lone": "\ufffd",
        "set": ["a", "b"],
        "inf": "inf",
    }


def test_one_moment_has_one_text() -> None:
    utc = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert time_text(utc) == time_text(utc.astimezone(timezone(timedelta(hours=-5)))) == "2026-01-02T03:04:05.000006Z"
