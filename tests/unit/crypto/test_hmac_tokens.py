"""No token is accepted as another, no changed token is accepted at all."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.crypto.hmac_tokens import HmacSessionTokens, RandomApiKeys
from domains.identity.ports.tokens import TokenKind

OLD, NEW = b"o" * 32, b"n" * 32
TOKENS = HmacSessionTokens((NEW, OLD))
KEYS = RandomApiKeys()
ORGANIZATION = UUID("0190f000-0000-7000-8000-000000000001")

kinds = st.sampled_from(TokenKind)
identifiers = st.uuids(allow_nil=False)
generations = st.integers(0, 2**32 - 1)
times = st.datetimes(datetime(1970, 1, 2), datetime(2105, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@given(kinds, identifiers, st.none() | identifiers, generations, times)
def test_what_is_issued_is_read_back_and_is_the_same_each_time(
    kind: TokenKind, session: UUID, organization: UUID | None, generation: int, expires: datetime
) -> None:
    token = TOKENS.issue(kind, session, organization, generation, expires)
    assert token == TOKENS.issue(kind, session, organization, generation, expires)
    claims = TOKENS.read(kind, token)
    assert claims is not None
    assert (claims.kind, claims.session_id, claims.organization_id, claims.generation) == (kind, session, organization, generation)
    assert claims.expires_at == expires.replace(microsecond=0)
    assert claims.is_expired(expires)
    assert not claims.is_expired(expires - timedelta(seconds=1))


@given(kinds, kinds, identifiers, generations, times)
def test_no_kind_is_accepted_as_another(kind: TokenKind, other: TokenKind, session: UUID, generation: int, expires: datetime) -> None:
    token = TOKENS.issue(kind, session, ORGANIZATION, generation, expires)
    disguised = TOKENS.issue(other, session, ORGANIZATION, generation, expires)[:4] + token[4:]
    if kind is not other:
        assert TOKENS.read(other, token) is None
        assert TOKENS.read(other, disguised) is None


@given(kinds, identifiers, generations, times, st.integers(0, 72 * 8 - 1))
def test_any_flipped_bit_is_refused(kind: TokenKind, session: UUID, generation: int, expires: datetime, bit: int) -> None:
    token = TOKENS.issue(kind, session, ORGANIZATION, generation, expires)
    raw = bytearray(urlsafe_b64decode(token[4:]))
    raw[bit // 8] ^= 1 << bit % 8
    assert TOKENS.read(kind, token[:4] + urlsafe_b64encode(raw).decode()) is None


@given(st.sampled_from(TokenKind), st.text(max_size=150))
def test_nonsense_is_refused_without_an_error(kind: TokenKind, text: str) -> None:
    assert TOKENS.read(kind, text) is None
    assert TOKENS.read(kind, "lat_" + text) is None


def test_a_token_has_one_spelling() -> None:
    token = TOKENS.issue(TokenKind.ACCESS, ORGANIZATION, None, 0, datetime(2030, 1, 1, tzinfo=UTC))
    for variant in (
        token + "=",
        token + "\n",
        " " + token,
        token.replace("l", "L", 1),
        token[:-1],
        token + "A",
        token[:20] + "\u0660" + token[21:],
    ):
        assert TOKENS.read(TokenKind.ACCESS, variant) is None


def test_keys_rotate() -> None:
    expires = datetime(2030, 1, 1, tzinfo=UTC)
    of_old = HmacSessionTokens((OLD,)).issue(TokenKind.REFRESH, ORGANIZATION, None, 3, expires)
    of_new = TOKENS.issue(TokenKind.REFRESH, ORGANIZATION, None, 3, expires)
    assert of_old != of_new
    assert TOKENS.read(TokenKind.REFRESH, of_old) == TOKENS.read(TokenKind.REFRESH, of_new) is not None
    assert HmacSessionTokens((NEW,)).read(TokenKind.REFRESH, of_old) is None, "a key that was taken away proves nothing"


@pytest.mark.parametrize("keys", [(), (b"short",), (NEW, b"")])
def test_weak_keys_are_refused(keys: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="secret key"):
        HmacSessionTokens(keys)


def test_claims_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        TOKENS.issue(TokenKind.ACCESS, ORGANIZATION, None, 0, datetime(2030, 1, 1))  # noqa: DTZ001 - what is refused
    for generation, expires in (
        (-1, datetime(2030, 1, 1, tzinfo=UTC)),
        (2**32, datetime(2030, 1, 1, tzinfo=UTC)),
        (0, datetime(2200, 1, 1, tzinfo=UTC)),
    ):
        with pytest.raises(ValueError, match="32 bits"):
            TOKENS.issue(TokenKind.ACCESS, ORGANIZATION, None, generation, expires)


@given(identifiers, st.booleans())
def test_an_api_key_says_its_organisation_and_kind(organization: UUID, sandbox: bool) -> None:
    key = KEYS.new_api_key(organization, sandbox=sandbox)
    assert len(key.plaintext) == len("lun_sbx_" if sandbox else "lun_live_") + 80
    assert key.plaintext not in key.prefix_shown
    assert KEYS.read_api_key(key.plaintext) == (organization, key.digest, sandbox)
    other = key.plaintext.replace("lun_sbx_", "lun_live_") if sandbox else key.plaintext.replace("lun_live_", "lun_sbx_")
    swapped = KEYS.read_api_key(other)
    assert swapped is not None
    assert swapped.digest != key.digest, "a sandbox key renamed to live is looked for in vain"


@given(st.text(max_size=100))
def test_what_is_not_written_as_an_api_key_is_none(text: str) -> None:
    assert KEYS.read_api_key(text) is None
    assert KEYS.read_api_key("lun_live_" + text) is None
