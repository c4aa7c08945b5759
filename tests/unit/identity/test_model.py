"""Rules that stand in identity's model."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from contracts.identity.permissions import Permission
from domains.identity.model.api_key import DEFAULT_SCOPES, ApiKey, checked_scopes
from domains.identity.model.email import Email
from domains.identity.model.names import Locale, named
from domains.identity.model.organization import Organization
from domains.identity.model.password import Password
from domains.identity.model.sign_up import SignUp, VerificationAlreadyUsed, VerificationExpired
from shared_kernel.errors import InvalidInput
from shared_kernel.identifiers import new_id

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("  ada@example.com\n", "ada@example.com"),
        ("ａｄａ@ｅｘａｍｐｌｅ.com", "ada@example.com"),  # noqa: RUF001 - the look-alikes are the point
        ("ADA+tag@example.co.uk", "ada+tag@example.co.uk"),
        ("jo@Bücher.example", "jo@xn--bcher-kva.example"),
        ("Zoë@example.com", "zoë@example.com"),
        ("Zoe\u0308@example.com", "zoë@example.com"),
        ("o'neil.x@mail.example.com", "o'neil.x@mail.example.com"),
    ],
)
def test_one_mailbox_has_one_spelling(text: str, normal: str) -> None:
    assert Email.of(text).value == normal
    assert Email.of(normal) == Email.of(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "a@b",
        "ada@example..com",
        ".ada@example.com",
        "ada.@example.com",
        "a da@example.com",
        "ada@exa mple.com",
        "ada@-x.com",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        '"a"@example.com',
        "ada@example.com\r\nBcc: x@y.zz",
        "a,b@example.com",
        "Ada <ada@example.com>",
        "x" * 65 + "@example.com",
        "ada@" + "x" * 250 + ".com",
        "ada@example.com\0",
        "ada@xn--.com\ud800",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidInput):
        Email.of(text)


@pytest.mark.parametrize(
    "text", ["correct horse battery", "ünïcödé-9", "x1!y2?z3", "日本語のパスワード", "a b c d e f g h", "q" * 63 + "w" * 65]
)
def test_good_passwords(text: str) -> None:
    assert Password.chosen(text, personal=("ada@example.com", "Ada Lovelace")).text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("seven77", "password_length"),
        ("x" * 129, "password_length"),
        ("password", "password_too_common"),
        ("PassWord", "password_too_common"),
        ("pass word", "password_too_common"),
        ("aaaaaaaaaaaa", "password_too_common"),
        ("          ", "password_too_common"),
        ("ada.l@example.com", "password_personal"),
        ("ADA LOVELACE", "password_personal"),
        ("adalovelace", "password_personal"),
    ],
)
def test_bad_passwords(text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Password.chosen(text, personal=("ada.l@example.com", "Ada Lovelace"))
    assert [error.code for error in refused.value.errors] == [code]


def test_a_password_is_the_same_from_every_keyboard_and_never_shown() -> None:
    assert Password.chosen("Ame\u0301lie-2026").text == Password.given("Amélie-2026").text
    assert "Amélie" not in repr(Password.given("Amélie-2026"))


@pytest.mark.parametrize("text", ["", "   ", "x" * 121, "a\nb", "a\0b", "\ud800"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(InvalidInput):
        named(text, field="name")


def sign_up(at: datetime = NOW) -> SignUp:
    return SignUp.request(
        email=Email.of("ada@example.com"), password_hash="hash", full_name="Ada", organization_name=None, locale=Locale.FRENCH, at=at
    )


def test_a_wish_is_proven_once_within_a_day() -> None:
    wish = sign_up()
    wish.verify(NOW + timedelta(hours=23, minutes=59))
    assert wish.password_hash == ""
    with pytest.raises(VerificationAlreadyUsed):
        wish.verify(NOW + timedelta(hours=23, minutes=59))
    with pytest.raises(VerificationExpired):
        sign_up().verify(NOW + timedelta(hours=24))


def test_a_code_has_five_attempts() -> None:
    wish = sign_up()
    assert [wish.try_code(right=False, at=NOW) for _ in range(4)] == [False] * 4
    assert wish.try_code(right=True, at=NOW)
    assert not wish.try_code(right=True, at=NOW)
    assert not sign_up().try_code(right=True, at=NOW + timedelta(hours=24))


@pytest.mark.parametrize(
    ("name", "begins"), [("Été & Fils", "ete-fils-"), ("日本", "organization-"), ("--", "organization-"), ("x" * 90, "x" * 40)]
)
def test_a_slug_is_an_organisations_own(name: str, begins: str) -> None:
    def found() -> Organization:
        return Organization.found(organization_id=new_id(), name=name, locale=Locale.ENGLISH, founder_id=new_id(), plan="free", at=NOW)

    assert found().slug.startswith(begins)
    assert found().slug != found().slug


def test_scopes_are_known_permissions_in_their_order() -> None:
    assert checked_scopes(None) == list(DEFAULT_SCOPES)
    assert checked_scopes(["team:view", "agents:view", "team:view"]) == ["agents:view", "team:view"]
    for wrong in ([], ["junk"], ["agents:view", "agents:fly"], [Permission.AGENTS_VIEW] * 101):
        with pytest.raises(InvalidInput):
            checked_scopes(wrong)
    with pytest.raises(InvalidInput) as error:
        checked_scopes(["junk", "a:b", "agents:view"])
    [told] = error.value.errors
    assert told.detail.startswith("There is no permission 'a:b', 'junk'; choose from ")
    assert all(permission.value in told.detail for permission in Permission)


def test_a_key_that_has_ended_stays_as_it_is() -> None:
    key = ApiKey.create(
        key_id=new_id(),
        organization_id=new_id(),
        name="Site",
        prefix_shown="lun_live_…abcdef",
        digest=b"d" * 32,
        scopes=None,
        sandbox=False,
        created_by=new_id(),
        expires_at=None,
        at=NOW,
    )
    key.take_events()
    key.revoke(NOW)
    key.revoke(NOW + timedelta(days=1))
    assert key.revoked_at == NOW
    assert len(key.take_events()) == 1
    assert [note.action for note in key.take_notes()] == ["api_key.created", "api_key.revoked"]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (NOW, "not_in_future"),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12))), "too_far"),
        (datetime(9999, 1, 1, tzinfo=UTC), "too_far"),
    ],
)
def test_a_key_ends_in_the_future_and_within_the_calendar(end: datetime, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ApiKey.create(
            key_id=new_id(),
            organization_id=new_id(),
            name="Site",
            prefix_shown="lun_live_…abcdef",
            digest=b"d" * 32,
            scopes=None,
            sandbox=False,
            created_by=new_id(),
            expires_at=end,
            at=NOW,
        )
    assert [(error.field, error.code) for error in refused.value.errors] == [("expires_at", code)]
