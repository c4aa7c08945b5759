"""Download links say all that they lead to, and nobody else can make one."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.crypto.hmac_download_links import HmacDownloadLinks
from domains.conversational_ai.ports.download_links import Download, LinkExpired
from shared_kernel.errors import NotFound
from shared_kernel.identifiers import new_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
BASE = "https://luneo.example/api/v1/downloads"


@pytest.fixture
def download() -> Download:
    return Download(
        organization_id=new_id(),
        knowledge_base_id=new_id(),
        source_id=new_id(),
        upload_id=new_id(),
        name="prix d’été.pdf",
        expires_at=NOW + timedelta(minutes=10),
    )


def token_of(download: Download, *keys: bytes) -> str:
    return HmacDownloadLinks(keys or (NEW,), BASE).link(download).removeprefix(BASE + "/")


def test_a_link_leads_where_it_was_made_for(download: Download) -> None:
    links = HmacDownloadLinks([NEW], BASE)
    for made in (download, replace(download, upload_id=None), replace(download, name="a"), replace(download, name="é" * 200)):
        assert links.read(token_of(made), at=NOW) == made


def test_a_key_is_rotated_without_breaking_links(download: Download) -> None:
    token = token_of(download, OLD)
    assert HmacDownloadLinks([NEW, OLD], BASE).read(token, at=NOW) == download
    with pytest.raises(NotFound):
        HmacDownloadLinks([NEW], BASE).read(token, at=NOW)


def test_a_link_ends_to_the_second(download: Download) -> None:
    links = HmacDownloadLinks([NEW], BASE)
    token = token_of(download)
    assert links.read(token, at=download.expires_at - timedelta(microseconds=1)) == download
    with pytest.raises(LinkExpired):
        links.read(token, at=download.expires_at)


def test_whatever_is_changed_in_it_makes_it_nobodys(download: Download) -> None:
    links = HmacDownloadLinks([NEW], BASE)
    token = token_of(download)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        with pytest.raises(NotFound):
            links.read(base64.urlsafe_b64encode(changed).decode().rstrip("="), at=NOW)


@pytest.mark.parametrize("token", ["", "x", "A" * 139, "A" * 141, "A" * 200, "A" * 100_000, "é" * 200, "A" * 200 + "=", "A" * 199 + "\n"])
def test_what_is_no_token_is_nobodys(token: str) -> None:
    with pytest.raises(NotFound):
        HmacDownloadLinks([NEW], BASE).read(token, at=NOW + timedelta(days=9))


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b"short"]])
def test_a_key_that_could_be_guessed_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="secret key"):
        HmacDownloadLinks(keys, BASE)
