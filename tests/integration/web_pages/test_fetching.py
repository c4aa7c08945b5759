"""Pages fetched from servers on this machine, of which some lie about where they are, what they send and where it goes on."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest
import trustme
from aiohttp import web

from adapters.web_pages.address_guard import AddressGuard, SystemNames
from adapters.web_pages.aiohttp_web_pages import AiohttpWebPages, WebPageLimits
from adapters.web_pages.public_addresses import IPAddress, is_public
from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.unreadable_file import Unreadable
from domains.conversational_ai.model.unreadable_page import (
    EmptyPage,
    EndlessRedirects,
    MissingPage,
    OversizedPage,
    PageAway,
    RefusedAddress,
    RefusedPage,
    RobotsAway,
    RobotsRefusal,
    UnknownHost,
    UnsupportedPage,
    UntrustedCertificate,
)
from domains.conversational_ai.model.web_address import WebAddress
from domains.conversational_ai.ports.web_pages import WebPage
from tests.fixtures import files

HERE = ip_address("127.0.0.1")
PAGE = "<html><head><title>Prices</title></head><body><p>The Pro plan costs 49 euros.</p></body></html>"


@dataclass
class Hosts:
    """A name server: the answers to a name, one after the other, the last again and again."""

    answers: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def addresses(self, host: str) -> Sequence[IPAddress]:
        self.asked.append(host)
        if host not in self.answers:
            raise UnknownHost
        answers = self.answers[host]
        return [ip_address(a) for a in (answers.pop(0) if len(answers) > 1 else answers[0])]


@dataclass
class Site:
    """A server on 127.0.0.1 (or another address of this machine) whose name is shop.example, and what it was asked."""

    port: int
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[web.Request] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "shop.example") -> str:
        return f"http://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [r.path_qs for r in self.asked]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        found = self.answers.get(request.path)
        if callable(found):
            answered: web.StreamResponse = await found(request)
            return answered
        if isinstance(found, tuple):
            status, headers, body = found
            return web.Response(status=status, headers=headers, body=body)
        if found is None:
            return web.Response(status=404)
        return web.Response(text=found, content_type="text/html")


async def serve(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> tuple[Site, web.AppRunner]:
    site = Site(0)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=tls).start()
    site.port = runner.addresses[0][1]
    return site, runner


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site, runner = await serve()
    yield site
    await runner.cleanup()


@pytest.fixture
def hosts() -> Hosts:
    return Hosts({"shop.example": [["127.0.0.1"]]})


def pages(
    hosts: Hosts, *ports: int, tls: ssl.SSLContext | None = None, limits: WebPageLimits | None = None, here: str = "127.0.0.1"
) -> AiohttpWebPages:
    """What is under test, for which 127.0.0.1 alone of this machine is as public as the Internet."""
    guard = AddressGuard(hosts, frozenset({80, 443, *ports}), lambda a: is_public(a) or a == ip_address(here))
    return AiohttpWebPages(guard, agent="LuneoBot (+http://127.0.0.1)", limits=limits or WebPageLimits(seconds=5), tls=tls)


async def fetch(site: Site, hosts: Hosts, path: str = "/", most: int | None = None, **options: Any) -> WebPage:
    return await pages(hosts, site.port, **options).fetch(WebAddress.parse(site.url(path)), most_bytes=most)


async def test_a_page_is_fetched_by_a_guest_who_says_who_it_is(site: Site, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    site.answers["/prices"] = (200, {"Content-Type": "text/html; charset=utf-8", "Set-Cookie": "a=b"}, PAGE.encode())
    page = await fetch(site, hosts, "/prices?x=1")
    assert (str(page.address), page.format, page.content) == (site.url("/prices?x=1"), FileFormat.WEB_PAGE, PAGE.encode())
    assert site.paths() == ["/robots.txt", "/prices?x=1"]
    for request in site.asked:
        assert request.headers["User-Agent"] == "LuneoBot (+http://127.0.0.1)"
        assert request.headers["Host"] == f"shop.example:{site.port}"
        assert not {"Cookie", "Referer", "Authorization"} & set(request.headers)


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Content-Type": "text/html; charset=windows-1252"}, PAGE.replace("euros", "€").encode("cp1252"), FileFormat.WEB_PAGE),
        ({"Content-Type": "application/xhtml+xml"}, PAGE.replace("euros", "€").encode(), FileFormat.WEB_PAGE),
        (
            {"Content-Type": "text/html", "Content-Encoding": "gzip"},
            gzip.compress(PAGE.replace("euros", "€").encode(), mtime=0),
            FileFormat.WEB_PAGE,
        ),
        ({"Content-Type": "text/plain"}, "49 €".encode(), FileFormat.TEXT),
        ({"Content-Type": "text/plain; charset=utf-16le"}, "49 €".encode("utf-16-le"), FileFormat.TEXT),
        ({"Content-Type": "text/markdown"}, "# Prices\n\n49 €".encode(), FileFormat.MARKDOWN),
        ({"Content-Type": "text/plain"}, PAGE.replace("euros", "€").encode(), FileFormat.WEB_PAGE),
    ],
)
async def test_text_comes_in_utf_8_whatever_it_was_sent_in(
    site: Site, hosts: Hosts, headers: dict[str, str], body: bytes, expected: FileFormat
) -> None:
    site.answers["/"] = (200, headers, body)
    page = await fetch(site, hosts)
    assert page.format is expected
    assert "49 €" in page.content.decode()


async def test_a_pdf_is_a_page_too(site: Site, hosts: Hosts) -> None:
    document = files.pdf()
    site.answers["/"] = (200, {"Content-Type": "application/pdf"}, document)
    page = await fetch(site, hosts)
    assert (page.format, page.content) == (FileFormat.PDF, document)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((404, {}, b""), MissingPage),
        ((410, {}, b""), MissingPage),
        ((401, {}, b""), RefusedPage),
        ((403, {}, b""), RefusedPage),
        ((204, {}, b""), RefusedPage),
        ((302, {}, b""), RefusedPage),
        ((429, {}, b""), PageAway),
        ((500, {}, b""), PageAway),
        ((503, {}, b""), PageAway),
        ((200, {"Content-Type": "image/png"}, b"\x89PNG"), UnsupportedPage),
        ((200, {"Content-Type": "application/pdf"}, b"none"), UnsupportedPage),
        ((200, {"Content-Type": "text/plain"}, files.pdf()), UnsupportedPage),
        ((200, {"Content-Type": "text/plain"}, b"\x7fELF\0\0"), UnsupportedPage),
        ((200, {"Content-Type": "text/html", "Content-Encoding": "br"}, b"x"), UnsupportedPage),
        ((200, {"Content-Type": "text/html"}, b" \n"), EmptyPage),
        ((200, {"Content-Type": "text/html", "Content-Encoding": "gzip"}, b"not packed"), PageAway),
        ((200, {"Content-Type": "text/html", "Content-Encoding": "gzip"}, gzip.compress(bytes(20_000_000), mtime=0)), OversizedPage),
        ((200, {"Content-Type": "text/html"}, b"x" * 1_000_001), OversizedPage),
    ],
)
async def test_each_page_that_can_not_be_read_says_why(
    site: Site, hosts: Hosts, answer: tuple[int, dict[str, str], bytes], error: type[Exception]
) -> None:
    site.answers["/"] = answer
    with pytest.raises(error) as refused:
        await fetch(site, hosts, "/?token=secret", most=1_000_000)
    assert "secret" not in str(refused.value)


async def test_redirects_are_followed_and_each_is_asked_as_if_it_were_the_first(site: Site, hosts: Hosts) -> None:
    hosts.answers["other.example"] = [["127.0.0.1"]]
    site.answers["/a"] = (301, {"Location": "/b?x=1"}, b"")
    site.answers["/b"] = (307, {"Location": site.url("/c", "other.example")}, b"")
    site.answers["/c"] = PAGE
    page = await fetch(site, hosts, "/a")
    assert str(page.address) == site.url("/c", "other.example")
    assert site.paths() == ["/robots.txt", "/a", "/b?x=1", "/robots.txt", "/c"]
    assert not [r for r in site.asked if "Referer" in r.headers]


async def test_redirects_end(site: Site, hosts: Hosts) -> None:
    site.answers["/"] = (302, {"Location": "/"}, b"")
    with pytest.raises(EndlessRedirects):
        await fetch(site, hosts)
    assert len(site.asked) == 7


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://127.0.0.2/",
        "http://inside.example/",
        "http://mixed.example/",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "http://user:secret@shop.example/",
        "file:///etc/passwd",
        "http://shop.example:22/",
    ],
)
async def test_a_redirect_to_the_inside_is_refused_before_anything_connects(site: Site, hosts: Hosts, location: str) -> None:
    hosts.answers |= {"inside.example": [["10.0.0.7"]], "mixed.example": [["93.184.216.34", "fd00::1"]]}
    site.answers["/"] = (302, {"Location": location}, b"")
    with pytest.raises(RefusedAddress) as refused:
        await fetch(site, hosts)
    assert "secret" not in str(refused.value)
    assert site.paths() == ["/robots.txt", "/"]


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://127.0.0.2/", "http://[::1]/", "http://inside.example/"])
async def test_so_is_an_address_of_the_inside_itself(hosts: Hosts, url: str) -> None:
    hosts.answers["inside.example"] = [["192.168.1.1"]]
    with pytest.raises(RefusedAddress):
        await pages(hosts).fetch(WebAddress.parse(url), most_bytes=None)


async def test_a_name_that_answers_otherwise_the_second_time_reaches_nothing(site: Site, hosts: Hosts) -> None:
    """DNS rebinding: each answer is used once, for the connection that it was checked for."""
    site.answers["/"] = PAGE
    hosts.answers["shop.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    with pytest.raises(RefusedAddress):
        await fetch(site, hosts)
    assert (site.paths(), hosts.asked) == (["/robots.txt"], ["shop.example"] * 2)


async def test_the_connection_goes_to_the_address_that_was_checked(hosts: Hosts) -> None:
    """The system's own resolver knows no shop.example: whoever asked it again would reach nobody."""
    site, runner = await serve("127.0.0.3")
    try:
        site.answers["/"] = PAGE
        hosts.answers["shop.example"] = [["127.0.0.3"]]
        page = await fetch(site, hosts, here="127.0.0.3")
        assert page.content == PAGE.encode()
        assert len(hosts.asked) == len(site.asked) == 2
    finally:
        await runner.cleanup()


async def test_a_name_in_any_script_is_asked_for_in_ascii(site: Site, hosts: Hosts) -> None:
    hosts.answers = {"xn--bcher-kva.example": [["127.0.0.1"]]}
    site.answers["/préface"] = PAGE
    address = WebAddress.parse(site.url("/préface?q=é", "bücher.example."))
    page = await pages(hosts, site.port).fetch(address, most_bytes=None)
    assert page.content == PAGE.encode()
    assert site.asked[1].headers["Host"] == f"xn--bcher-kva.example:{site.port}"
    assert site.paths()[1] == "/pr%C3%A9face?q=%C3%A9"


async def test_an_ipv6_address_is_asked_as_it_is_written(hosts: Hosts) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    site, runner = await serve("::1")
    try:
        site.answers["/"] = PAGE
        page = await pages(hosts, site.port, here="::1").fetch(WebAddress.parse(f"http://[::1]:{site.port}/"), most_bytes=None)
        assert (page.content, hosts.asked) == (PAGE.encode(), [])
    finally:
        await runner.cleanup()


async def test_a_name_that_nobody_has_says_so() -> None:
    guard = AddressGuard(SystemNames())
    with pytest.raises((UnknownHost, PageAway)):  # the second where this machine has no name server at all
        await guard.addresses(WebAddress.parse("http://no-such-name.invalid/"))
    with pytest.raises(RefusedAddress):
        await guard.addresses(WebAddress.parse("http://localhost/"))


@pytest.mark.parametrize(
    ("robots", "error"),
    [
        ("User-agent: *\nDisallow: /private", RobotsRefusal),
        ("User-agent: LuneoBot\nDisallow: /\n\nUser-agent: *\nAllow: /", RobotsRefusal),
        ("User-agent: *\nDisallow: /*?token=", RobotsRefusal),
        ((500, {}, b""), RobotsAway),
        ((503, {}, b""), RobotsAway),
        ((302, {"Location": "http://169.254.169.254/"}, b""), RefusedAddress),
        ((200, {"Content-Encoding": "br"}, b"x"), RobotsAway),
    ],
)
async def test_what_robots_txt_does_not_allow_is_not_fetched(site: Site, hosts: Hosts, robots: Any, error: type[Exception]) -> None:
    site.answers |= {"/robots.txt": robots, "/private/page": PAGE}
    with pytest.raises(error):
        await fetch(site, hosts, "/private/page?token=x")
    assert "/private/page?token=x" not in site.paths()


@pytest.mark.parametrize(
    "robots",
    [
        "User-agent: Other\nDisallow: /",
        "User-agent: *\nDisallow: /\nAllow: /public",
        "\0\xff<html>not what it should be",
        (404, {}, b""),
        (403, {}, b""),
        (302, {"Location": "/robots.txt"}, b""),
        (200, {}, b"User-agent: *\nAllow: /\n" + b"#" * 600_000 + b"\nDisallow: /"),
    ],
)
async def test_what_it_allows_or_says_nothing_about_is(site: Site, hosts: Hosts, robots: Any) -> None:
    site.answers |= {"/robots.txt": robots, "/public": PAGE}
    assert (await fetch(site, hosts, "/public")).content == PAGE.encode()


async def test_a_redirect_asks_the_robots_of_where_it_leads(site: Site, hosts: Hosts) -> None:
    other, runner = await serve()
    try:
        hosts.answers["other.example"] = [["127.0.0.1"]]
        other.answers |= {"/robots.txt": "User-agent: *\nDisallow: /", "/": PAGE}
        site.answers["/"] = (302, {"Location": other.url("/", "other.example")}, b"")
        with pytest.raises(RobotsRefusal):
            await pages(hosts, site.port, other.port).fetch(WebAddress.parse(site.url()), most_bytes=None)
        assert other.paths() == ["/robots.txt"]
    finally:
        await runner.cleanup()


async def test_a_site_that_never_ends_is_left(site: Site, hosts: Hosts) -> None:
    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        while True:
            await response.write(b"a")
            await asyncio.sleep(0.02)

    async def is_silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    site.answers |= {"/drips": drips, "/silent": is_silent}
    with pytest.raises(PageAway, match="did not send the page within"):
        await fetch(site, hosts, "/drips", limits=WebPageLimits(seconds=0.5))
    with pytest.raises(PageAway, match="does not answer"):
        await fetch(site, hosts, "/silent", limits=WebPageLimits(silent_seconds=0.2))


async def test_who_does_not_listen_is_away(hosts: Hosts) -> None:
    hosts.answers["shop.example"] = [["127.0.0.1"]]
    with pytest.raises(RobotsAway):
        await pages(hosts, 9).fetch(WebAddress.parse("http://shop.example:9/"), most_bytes=None)


async def test_tls_is_verified_against_the_name(hosts: Hosts) -> None:
    authority = trustme.CA()
    hosts.answers["other.example"] = [["127.0.0.1"]]
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("shop.example").configure_cert(server)
    authority.configure_trust(client)
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    site, runner = await serve(tls=server)
    try:
        site.answers["/"] = PAGE
        web_pages = pages(hosts, site.port, tls=client)
        page = await web_pages.fetch(WebAddress.parse(f"https://shop.example:{site.port}/"), most_bytes=None)
        assert page.content == PAGE.encode()
        assert names == ["shop.example"] * 2
        with pytest.raises(UntrustedCertificate):
            await web_pages.fetch(WebAddress.parse(f"https://other.example:{site.port}/"), most_bytes=None)
        with pytest.raises(UntrustedCertificate):
            await pages(hosts, site.port).fetch(WebAddress.parse(f"https://shop.example:{site.port}/"), most_bytes=None)
    finally:
        await runner.cleanup()


def test_every_reason_has_a_code_of_its_own() -> None:
    def below(kind: type[Unreadable]) -> list[type[Unreadable]]:
        return [found for one in kind.__subclasses__() for found in (one, *below(one))]

    codes = [kind.code for kind in below(Unreadable) if "code" in vars(kind)]
    assert len(codes) == len(set(codes)) >= 20
