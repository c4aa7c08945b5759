"""Files over HTTP: uploaded as forms, found, opened at their place, replaced, and refused well."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.identity.permissions import Role
from tests.fixtures import files
from tests.fixtures.app import Caller, Site, open_site, site_settings
from tests.integration.redis_store.valkey import Valkey


async def upload(
    caller: Caller,
    base: str,
    content: bytes,
    file_name: str = "prices.pdf",
    *,
    path: str = "",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    **fields: str,
) -> httpx.Response:
    address = f"/api/v1/knowledge-bases/{base}/sources{path}"
    sent = {**caller.headers, **(headers or {})}
    return await caller.client.request(method, address, headers=sent, files={"file": (file_name, content)}, data=fields)


async def base_of(caller: Caller) -> str:
    return str((await caller.made("/knowledge-bases", {"name": "Shop", "language": "en"}))["id"])


async def test_a_pdf_is_uploaded_found_and_opened_at_its_page(site: Site) -> None:
    owner = await site.person()
    base = await base_of(owner)
    answer = await upload(owner, base, files.pdf(), file_name="prices.txt", language="fr")
    assert answer.status_code == 202, answer.text
    source = answer.json()
    assert (source["status"], source["step"], source["type"], source["name"]) == ("pending", "stored", "file", "prices.txt")
    assert source["language"] == "fr"
    await site.deliver()
    source = (await owner("GET", f"/knowledge-bases/{base}/sources/{source['id']}")).json()
    assert (source["status"], source["step"], source["progress"], source["passages_indexed"]) == ("ready", None, 100, 2)
    found = await owner.made(f"/knowledge-bases/{base}/search", {"query": "When do we open? at nine"})
    locator = next(f["locator"] for f in found["items"] if "nine" in f["text"])
    assert (locator["page"], locator["heading"]) == (2, "Hours")
    place = f"/knowledge-bases/{base}/sources/{source['id']}/content?start={locator['start']}&end={locator['end']}"
    content = (await owner("GET", place)).json()
    assert content["page"] == 2
    assert "We open at nine." in content["text"]
    assert content["length"] >= content["end"] == locator["end"]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "file_empty"), (files.archive({"a": "b"}), "file_unsupported"), (files.old_office(password=True), "file_encrypted")],
    ids=["empty", "archive", "password"],
)
async def test_a_file_that_is_no_document_is_refused_at_once(site: Site, content: bytes, code: str) -> None:
    owner = await site.person()
    base = await base_of(owner)
    answer = await upload(owner, base, content)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["field"] == "file"
    assert not [path for path in (site.settings.home / "objects").rglob("*") if path.is_file()]


async def test_a_file_that_can_not_be_read_says_so_on_its_source(site: Site) -> None:
    owner = await site.person()
    base = await base_of(owner)
    source = (await upload(owner, base, files.scan())).json()
    await site.deliver()
    source = (await owner("GET", f"/knowledge-bases/{base}/sources/{source['id']}")).json()
    assert (source["status"], source["step"], source["error_code"]) == ("failed", "parsing", "file_without_text")
    assert "text recognition" in source["error"]
    answer = await owner("GET", f"/knowledge-bases/{base}/sources/{source['id']}/content")
    assert (answer.status_code, answer.json()["code"]) == (409, "source_not_read")


async def test_the_plan_limits_a_files_size_and_says_the_metric(site: Site) -> None:
    owner = await site.person(plan="free")
    base = await base_of(owner)
    answer = await upload(owner, base, b"x" * 5_000_001)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["metric"], problem["limit"]) == (402, "quota_exceeded", "upload_mb", 5)
    quotas = {q["metric"]: q["used"] for q in (await owner("GET", "/billing/quotas")).json()}
    assert (quotas["documents"], quotas["storage_gb"]) == (0, 0)


async def test_a_refused_upload_is_not_read_to_its_end(site: Site) -> None:
    owner = await site.person(plan="free")
    base = await base_of(owner)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        while sent < 300_000_000:
            sent += 1_000_000
            yield b"x" * 1_000_000

    headers = {**owner.headers, "content-type": "multipart/form-data; boundary=x"}
    async with site.served() as client:
        try:
            answer = await client.post(f"/api/v1/knowledge-bases/{base}/sources", content=endless(), headers=headers)
            assert answer.status_code == 402
        except (httpx.WriteError, httpx.ReadError):  # the server closed before the sender had looked at its answer
            pass
    assert sent < 60_000_000


async def test_nor_is_one_with_a_key(site: Site) -> None:
    owner = await site.person(plan="free")
    base = await base_of(owner)
    answer = await upload(owner, base, b"x" * 6_000_000, headers={"idempotency-key": "one"})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["metric"], problem["limit"]) == (402, "quota_exceeded", "upload_mb", 5)
    just = await upload(owner, base, b"x" * 4_999_999, headers={"idempotency-key": "one"})
    assert just.status_code == 202, "a refusal keeps no key"


async def test_fifty_uploads_at_once_hold_the_limit(site: Site) -> None:
    owner = await site.person(plan="free")
    base = await base_of(owner)
    answers = await asyncio.gather(*(upload(owner, base, b"Some text.", file_name=f"{i}.txt") for i in range(50)))
    assert sorted(a.status_code for a in answers) == [202] * 10 + [402] * 40
    assert {a.json()["metric"] for a in answers if a.status_code == 402} == {"documents"}


async def test_an_upload_with_a_key_is_one_upload(site: Site) -> None:
    owner = await site.person()
    base = await base_of(owner)

    async def send(text: bytes, boundary: str) -> httpx.Response:
        part = b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + text
        body = b"--%b\r\n%b\r\n--%b--\r\n" % (boundary.encode(), part, boundary.encode())
        headers = {"content_type": f"multipart/form-data; boundary={boundary}", "idempotency_key": "one"}
        return await owner("POST", f"/knowledge-bases/{base}/sources", body, **headers)

    first, again = await send(b"text " * 600_000, "x"), await send(b"text " * 600_000, "made-up-anew")
    other = await send(b"other", "x")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await owner("GET", f"/knowledge-bases/{base}/sources")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"--x--\r\n", 422, "file"),
        (b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nabc\r\n--x--\r\n', 422, "file"),
        (b'--x\r\nContent-Disposition: form-data; name="colour"\r\n\r\nabc\r\n--x--\r\n', 422, "colour"),
        (b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nab\r\n' * 2 + b"--x--\r\n", 422, "name"),
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nab', 400, ""),
        (b"nothing of a form", 400, ""),
    ],
    ids=["empty", "no-file", "unknown-field", "field-twice", "cut", "no-form"],
)
async def test_a_form_that_is_wrong_is_told_so(site: Site, body: bytes, status: int, field: str) -> None:
    owner = await site.person()
    base = await base_of(owner)
    answer = await owner("POST", f"/knowledge-bases/{base}/sources", body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code == status, answer.text
    if field:
        assert [e["field"] for e in answer.json()["errors"]] == [field]
    assert not [path for path in (site.settings.home / "objects").rglob("*") if path.is_file()]


async def test_a_language_that_there_is_not_and_a_short_name_leave_no_file(site: Site) -> None:
    owner = await site.person()
    base = await base_of(owner)
    wrong: list[dict[str, Any]] = [{"language": "xx"}, {"name": "x"}]
    for fields in wrong:
        answer = await upload(owner, base, b"text", **fields)
        assert answer.status_code == 422
        assert [e["field"] for e in answer.json()["errors"]] == list(fields)
    assert not [path for path in (site.settings.home / "objects").rglob("*") if path.is_file()]


async def test_a_source_is_renamed_and_replaced_without_a_gap(site: Site) -> None:
    owner = await site.person()
    base = await base_of(owner)
    source: dict[str, Any] = (await upload(owner, base, b"The old price is 49 euros.", file_name="a.txt")).json()
    await site.deliver()
    path = f"/knowledge-bases/{base}/sources/{source['id']}"
    assert (await owner.made(path, {"name": "Price list"}, "PATCH"))["name"] == "Price list"
    replaced = await upload(owner, base, files.docx(text="The new price is 59 euros."), path=f"/{source['id']}/content", method="PUT")
    assert (replaced.status_code, replaced.json()["status"]) == (202, "pending")
    search = {"query": "price euros"}
    [found] = (await owner.made(f"/knowledge-bases/{base}/search", search))["items"]
    assert (found["title"], found["text"]) == ("Price list", "The old price is 49 euros.")
    await site.deliver()
    [found] = (await owner.made(f"/knowledge-bases/{base}/search", search))["items"]
    assert "59 euros" in found["text"]
    assert (await owner.made(path + "/content", {"content": "Nothing costs anything."}, "PUT"))["type"] == "text"
    for wrong in ({}, {"content": "a", "pairs": []}, None):
        assert (await owner("PUT", path + "/content", wrong)).status_code == 422
    assert (await owner("DELETE", path)).status_code == 204
    assert (await owner.made(f"/knowledge-bases/{base}/search", search))["items"] == []
    await site.deliver()
    assert not [file for file in (site.settings.home / "objects").rglob("*") if file.is_file()]


async def test_a_link_saves_the_file_without_a_credential(site: Site) -> None:
    owner = await site.person()
    base = await base_of(owner)
    source = (await upload(owner, base, files.HTML, file_name="prix d’été.html")).json()
    path = f"/knowledge-bases/{base}/sources/{source['id']}/content-links"
    made = await owner("POST", path)
    assert made.status_code == 201, made.text
    link = made.json()
    assert link["url"].startswith(f"{site.settings.public_url}/api/v1/downloads/")
    answer = await site.client.get(link["url"])
    assert (answer.status_code, answer.content) == (200, files.HTML)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="prix d__t_.html"; filename*=')
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-length"] == str(len(files.HTML))
    assert "no-store" in answer.headers["cache-control"]
    token = link["url"].rpartition("/")[2]
    assert token not in str(site.logs)
    trail = (await owner("GET", "/audit-events?action=knowledge_source.linked")).json()["items"]
    assert len(trail) == 1
    for wrong in (token[:-4], token[:-4] + "AAAA", "A" * 200):
        answer = await site.client.get(f"/api/v1/downloads/{wrong}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    await owner("DELETE", f"/knowledge-bases/{base}/sources/{source['id']}")
    assert (await site.client.get(link["url"])).status_code == 404


async def test_a_link_that_has_ended_is_gone(
    database_url: str, superuser_url: str, app_valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = site_settings(database_url, app_valkey.url, tmp_path, download_link_seconds=1)
    async with open_site(settings, superuser_url, monkeypatch) as site:
        owner = await site.person()
        base = await base_of(owner)
        source = (await upload(owner, base, b"text")).json()
        link = await owner.made(f"/knowledge-bases/{base}/sources/{source['id']}/content-links", None)
        async with asyncio.timeout(5):
            while (answer := await site.client.get(link["url"])).status_code == 200:
                assert answer.content == b"text"
        assert (answer.status_code, answer.json()["code"]) == (410, "link_expired")
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_link_is_made_by_those_who_may_see_knowledge(site: Site) -> None:
    owner, stranger = await site.person(), await site.person()
    base = await base_of(owner)
    source = (await upload(owner, base, b"text")).json()
    path = f"/knowledge-bases/{base}/sources/{source['id']}/content-links"
    viewer = await site.member(owner, Role.VIEWER)
    assert (await viewer("POST", path)).status_code == 201
    assert (await stranger("POST", path)).status_code == 404
    assert (await (await site.api_key(owner, ["agents:view"]))("POST", path)).status_code == 403
    assert (await site.anonymous()("POST", path)).status_code == 401
