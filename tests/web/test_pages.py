"""The page that a verification mail leads to."""

import re
from collections.abc import AsyncIterator

import pytest

from tests.http.test_identity import Site, open_site
from tests.port_contracts.identity_contract import PASSWORD

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def site(database_url: str, superuser_url: str) -> AsyncIterator[Site]:
    async with open_site(database_url, superuser_url, "http://127.0.0.1:8000") as opened:
        yield opened


async def token_of(site: Site, email: str) -> str:
    await site.post("/auth/signup", {"email": email, "password": PASSWORD, "full_name": "Ada"})
    return await site.house.newest_token()


async def test_opening_the_link_changes_nothing_and_the_button_makes_the_account(site: Site) -> None:
    token = await token_of(site, "ada.page@example.com")
    for _ in range(2):
        page = await site.client.get(f"/verify-email?token={token}")
        assert page.status_code == 200
        assert f'value="{token}"' in page.text
    done = await site.client.post("/verify-email", content=f"token={token}", headers=FORM)
    assert done.status_code == 200
    assert "Your address is confirmed" in done.text
    assert (await site.client.get("/api/v1/auth/me")).json()["user"]["email"] == "ada.page@example.com"


async def test_a_used_link_is_refused_in_words(site: Site) -> None:
    token = await token_of(site, "used.page@example.com")
    await site.client.post("/verify-email", content=f"token={token}", headers=FORM)
    again = await site.client.post("/verify-email", content=f"token={token}", headers=FORM)
    assert again.status_code in {409, 422}
    assert "This link cannot be used" in again.text


async def test_what_the_address_says_is_never_markup(site: Site) -> None:
    page = await site.client.get('/verify-email?token="><script>alert(1)</script>')
    assert "<script>" not in page.text


async def test_the_page_speaks_french_to_those_who_do(site: Site) -> None:
    page = await site.client.get("/verify-email?token=x", headers={"accept-language": "fr-FR,fr;q=0.9"})
    assert '<html lang="fr">' in page.text
    assert "Confirmez votre adresse e-mail" in page.text


@pytest.mark.parametrize("path", ["/", "/verify-email"])
async def test_a_page_runs_no_script_and_fetches_nothing(site: Site, path: str) -> None:
    page = await site.client.get(path)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "<script" not in page.text
    assert not re.search(r'(src|href)="https?://', page.text)
