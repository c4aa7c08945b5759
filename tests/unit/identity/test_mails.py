"""The mails about signing up."""

import re
from datetime import UTC, datetime

import pytest

from adapters.crypto.hmac_mailbox_proofs import HmacMailboxProofs
from domains.identity.model.email import Email
from domains.identity.model.names import Locale
from domains.identity.model.sign_up import SignUp
from domains.identity.use_cases.sign_up_mails import account_exists_mail, verification_mail
from shared_kernel.identifiers import new_id

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PROOFS = HmacMailboxProofs([b"k" * 32])


def sign_up(locale: Locale, name: str = "Click {code} https://elsewhere.example <b>") -> SignUp:
    return SignUp.request(
        email=Email.of("ada@example.com"), password_hash="hash", full_name=name, organization_name=None, locale=locale, at=NOW
    )


@pytest.mark.parametrize("locale", list(Locale))
def test_the_mail_carries_both_proofs_and_nothing_of_the_requests_address(locale: Locale) -> None:
    wish = sign_up(locale)
    proof = PROOFS.of_sign_up(wish.id)
    mail = verification_mail(wish, proof, public_url="https://luneo.example")
    assert mail.to == "ada@example.com"
    for body in (mail.text, mail.html):
        assert f"https://luneo.example/verify-email?token={proof.token}" in body
        assert re.findall(r"\b\d{6}\b", body) == [proof.code]
    assert "<b>" not in mail.html
    assert "Click" not in mail.subject + mail.text + mail.html, "whoever asks writes nothing to an address that may be somebody else's"
    assert not re.findall(r"https?://(?!luneo\.example)", mail.text + mail.html)


@pytest.mark.parametrize("locale", list(Locale))
def test_the_mail_to_an_account_carries_no_proof(locale: Locale) -> None:
    mail = account_exists_mail(sign_up(locale), public_url="https://luneo.example")
    assert "https://luneo.example" in mail.text
    assert "token" not in mail.text + mail.html
    assert not re.findall(r"\b\d{6}\b", mail.text)


def test_proofs_outlive_the_rotation_of_the_key() -> None:
    old, new = b"o" * 32, b"n" * 32
    sign_up_id = new_id()
    proof = HmacMailboxProofs([old]).of_sign_up(sign_up_id)
    rotated = HmacMailboxProofs([new, old])
    assert rotated.read_token(proof.token) == sign_up_id
    assert rotated.is_code_of(sign_up_id, f" {proof.code[:3]} {proof.code[3:]} ")
    assert rotated.of_sign_up(sign_up_id) != proof
    assert HmacMailboxProofs([new]).read_token(proof.token) is None


def test_a_changed_token_is_not_genuine() -> None:
    token = PROOFS.of_sign_up(new_id()).token
    for position in range(len(token)):
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        assert PROOFS.read_token(changed) is None
    for other in (token[:-1], token + "A", token + "=", "", "é"):
        assert PROOFS.read_token(other) is None
    assert not PROOFS.is_code_of(new_id(), "é12345")


def test_keys_must_be_long_enough() -> None:
    for keys in ([], [b"short"]):
        with pytest.raises(ValueError, match="32 bytes"):
            HmacMailboxProofs(keys)
