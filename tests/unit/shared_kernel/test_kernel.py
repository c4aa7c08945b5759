"""What every context stands on."""

import time
from datetime import UTC
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_kernel.clock import SystemClock
from shared_kernel.errors import FieldError, InvalidInput, PermissionDenied
from shared_kernel.identifiers import id_after, new_id
from shared_kernel.money import Money
from shared_kernel.pagination import PageRequest
from shared_kernel.principal import Origin, Principal, PrincipalKind


def test_ids_are_uuid_version_7_and_sort_in_the_order_they_were_made() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert all(i.version == 7 and i.variant == "specified in RFC 4122" for i in ids)
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_an_id_tells_when_it_was_made() -> None:
    before = SystemClock().now()
    made = new_id().int >> 80
    assert abs(made - before.timestamp() * 1000) < 5_000


def test_the_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


@given(st.integers(), st.integers())
def test_money_adds_in_minor_units(a: int, b: int) -> None:
    assert Money(a, "EUR") + Money(b, "EUR") == Money(a + b, "EUR")
    assert Money(a, "EUR") - Money(b, "EUR") == Money(a - b, "EUR")


def test_two_currencies_never_meet() -> None:
    with pytest.raises(ValueError, match="cannot combine EUR with USD"):
        Money(1, "EUR") + Money(1, "USD")


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "12A"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        Money(1, currency)


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_page_has_between_1_and_100_items(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        PageRequest(limit=limit)


def test_a_principal_without_an_organisation_has_no_tenant() -> None:
    with pytest.raises(PermissionDenied):
        _ = Principal.anonymous(Origin()).tenant


def test_a_principal_may_do_what_it_holds_and_nothing_else() -> None:
    principal = Principal(PrincipalKind.USER, UUID(int=1), UUID(int=2), frozenset({"agents:view"}))
    principal.require("agents:view")
    with pytest.raises(PermissionDenied, match="agents:edit"):
        principal.require("agents:edit")


def test_invalid_input_names_every_field() -> None:
    error = InvalidInput(FieldError("name", "empty", "is required"), FieldError("slug", "taken", "is taken"))
    assert error.detail == "name: is required; slug: is taken"


@given(
    milliseconds=st.integers(0, 2**48 - 2),
    random=st.one_of(st.integers(0, 2**73 - 1), st.sampled_from([0, 2**62 - 1, 2**62, 2**73 - 1, 2**74 - 1])),
)
def test_an_id_made_after_another_sorts_after_it_whatever_clock_made_it(milliseconds: int, random: int) -> None:
    earlier = UUID(int=milliseconds << 80 | 7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (2**62 - 1))
    later = id_after(earlier)
    assert later > earlier
    assert (later.version, later.variant) == (7, RFC_4122)
    if milliseconds > time.time_ns() // 1_000_000 + 60_000:
        assert (later.int >> 80) - milliseconds in {0, 1}, "it is close to it"
