"""Pages of the web by aiohttp, asked for as a guest who may not be led astray."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from ipaddress import IPv6Address
from socket import AF_INET, AF_INET6, AI_NUMERICHOST, AddressFamily
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from protego import Protego

from adapters.web_pages.address_guard import AddressGuard
from adapters.web_pages.charsets import decoded
from adapters.web_pages.public_addresses import IPAddress
from adapters.web_pages.unpacking import ACCEPTED, unpacked
from domains.conversational_ai.model.file_format import FileFormat, FileInspection
from domains.conversational_ai.model.unreadable_file import UnsupportedFile
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
    UnreadablePage,
    UnsupportedPage,
    UntrustedCertificate,
)
from domains.conversational_ai.model.web_address import WebAddress
from domains.conversational_ai.ports.web_pages import WebPage
from shared_kernel.errors import InvalidInput

PRODUCT: Final = "LuneoBot"
"""By this name robots.txt speaks to us."""
_TEXTS: Final = {"text/plain": ".txt", "text/markdown": ".md", "text/x-markdown": ".md"}
_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_PDF: Final = "application/pdf"
_ACCEPT: Final = "text/html, application/xhtml+xml, text/markdown, text/plain;q=0.9, application/pdf;q=0.8"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_FINE: Final = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_FIRST_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPageLimits:
    """What fetching one page may take: seconds in all and of silence, bytes unpacked, redirects, bytes of a `robots.txt` that are read.

    RFC 9309 asks to read at least 500 KiB of a `robots.txt` and to follow five redirects to it.
    """

    seconds: float = 30.0
    silent_seconds: float = 10.0
    page_bytes: int = 10_000_000
    redirects: int = 5
    robots_bytes: int = 500 * 1024


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a site said: `location` when it sends elsewhere, else its body, which may have been cut."""

    status: int
    location: str | None
    media_type: str
    charset: str | None
    body: bytes
    whole: bool


class AiohttpWebPages:
    """Fetches each page with a session of its own: no cookie, no referer, no connection outlives it.

    - A host is looked up once for each request. Every address that it has is checked, and the connection goes to one of those.
    - Redirects are followed by hand, each as if it had been asked for: looked up, checked, and asked of its site's `robots.txt`.
    - TLS is verified against the name. Proxies that the environment names are not used: they would look the name up again.
    - Bodies are unpacked here, so that no more comes out of them than is allowed.
    """

    def __init__(self, guard: AddressGuard, *, agent: str, limits: WebPageLimits, tls: ssl.SSLContext | None = None) -> None:
        """`agent` names us to sites; it should begin with `PRODUCT`."""
        self._guard = guard
        self._agent = agent
        self._limits = limits
        self._tls = tls or ssl.create_default_context()

    async def fetch(self, address: WebAddress, *, most_bytes: int | None) -> WebPage:
        """Ask the site's `robots.txt`, follow redirects, look at what came."""
        most = self._limits.page_bytes if most_bytes is None else min(most_bytes, self._limits.page_bytes)
        try:
            async with asyncio.timeout(self._limits.seconds), self._visit() as visit:
                found, answer = await visit.page(address, most)
        except TimeoutError:
            raise PageAway(f"{address.host} did not send the page within {self._limits.seconds:g} s") from None
        return WebPage(found, *_read(answer, most))

    @asynccontextmanager
    async def _visit(self) -> "AsyncIterator[_Visit]":
        checked = _Checked()
        connector = aiohttp.TCPConnector(resolver=checked, ssl=self._tls, use_dns_cache=False, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._agent, "Accept": _ACCEPT, "Accept-Encoding": ACCEPTED},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.silent_seconds, sock_read=self._limits.silent_seconds),
            auto_decompress=False,
            trust_env=False,
        ) as session:
            yield _Visit(session, checked, self._guard, self._limits)


class _Checked(AbstractResolver):
    """Answers with the addresses that the guard let through, and knows no others."""

    def __init__(self) -> None:
        self.host = ""
        self.addresses: Sequence[IPAddress] = ()

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:  # noqa: ARG002 - its signature
        """Return them. Raises `OSError` for another host than the one that was checked."""
        if host != self.host:
            raise OSError(f"{host} was not checked")
        return [
            ResolveResult(
                hostname=host,
                host=str(one),
                port=port,
                family=AF_INET6 if isinstance(one, IPv6Address) else AF_INET,
                proto=0,
                flags=AI_NUMERICHOST,
            )
            for one in self.addresses
        ]

    async def close(self) -> None:
        """Forget them."""
        self.addresses = ()


class _Visit:
    """One fetch: what it connects with, and what the sites on its way said in their `robots.txt`."""

    def __init__(self, session: aiohttp.ClientSession, checked: _Checked, guard: AddressGuard, limits: WebPageLimits) -> None:
        self._session = session
        self._checked = checked
        self._guard = guard
        self._limits = limits
        self._robots: dict[str, Protego | None] = {}

    async def page(self, address: WebAddress, most: int) -> tuple[WebAddress, _Answer]:
        """Return the answer with the page, and where it was found."""
        for _ in range(self._limits.redirects + 1):
            await self._ask_robots(address)
            answer = await self._get(address, most)
            if answer.location is None:
                _check(address, answer.status)
                return address, answer
            address = _next(address, answer.location)
        raise EndlessRedirects

    async def _ask_robots(self, address: WebAddress) -> None:
        if address.origin not in self._robots:
            self._robots[address.origin] = await self._robots_of(address)
        robots = self._robots[address.origin]
        # in a thread, as its reading is: a long one made for harm takes half a second each
        if robots is not None and not await asyncio.to_thread(robots.can_fetch, str(address), PRODUCT):
            raise RobotsRefusal

    async def _robots_of(self, address: WebAddress) -> Protego | None:
        """Return what it says, or `None` for a site that says nothing: RFC 9309, section 2.3.1."""
        place = address.robots
        for _ in range(self._limits.redirects + 1):
            try:
                answer = await self._get(place, self._limits.robots_bytes)
            except (PageAway, UnsupportedPage) as error:
                raise RobotsAway(f"The robots.txt of {address.host} can't be read: {error.detail}") from None
            if answer.location is None:
                break
            place = _next(place, answer.location)
        else:
            return None
        if answer.status >= _FIRST_SERVER_ERROR:
            raise RobotsAway(f"{place.host} can't show its robots.txt now (status {answer.status})")
        if answer.status >= _FIRST_ERROR:
            return None
        return await asyncio.to_thread(Protego.parse, answer.body.decode("utf-8", "replace"))

    async def _get(self, address: WebAddress, most: int) -> _Answer:
        """Ask for it at the addresses that were checked just now."""
        self._checked.host, self._checked.addresses = address.host, await self._guard.addresses(address)
        try:
            async with self._session.get(str(address), allow_redirects=False) as response:
                location = response.headers.get("Location") if response.status in _REDIRECTS else None
                body, whole = b"", True
                if response.status in _FINE:
                    body, whole = await unpacked(response.content.iter_any(), response.headers.get("Content-Encoding", ""), most)
                said = Message()
                said["Content-Type"] = response.headers.get("Content-Type", "")
                return _Answer(response.status, location, said.get_content_type(), said.get_content_charset(), body, whole)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise UntrustedCertificate(f"{UntrustedCertificate.words} ({address.host})") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PageAway(f"{address.host} does not answer, or not well ({type(error).__name__})") from error


def _next(address: WebAddress, location: str) -> WebAddress:
    try:
        return address.join(location)
    except InvalidInput as error:
        raise RefusedAddress(f"{address.host} sends on to an address that can't be asked: {error.errors[0].detail}") from None


def _check(address: WebAddress, status: int) -> None:
    if status in _FINE:
        return
    if status in _GONE:
        raise MissingPage
    if status >= _FIRST_SERVER_ERROR or status in _LATER:
        raise PageAway(f"{address.host} can't show the page now (status {status})")
    raise RefusedPage(f"{RefusedPage.words} (status {status})")


def _read(answer: _Answer, most: int) -> tuple[FileFormat, bytes]:
    """Return the format and content of a page. Raises an `UnreadablePage` or `UnreadableFile`."""
    if not answer.whole:
        raise OversizedPage(f"{OversizedPage.words}: it has more than {most} bytes")
    if answer.media_type == _PDF:
        return _inspected(answer.body, "page.pdf", UnsupportedPage("This says that it is a PDF, and is none"), FileFormat.PDF)
    if answer.media_type in _HTML:
        return FileFormat.WEB_PAGE, _text(answer)
    if answer.media_type in _TEXTS:
        return _inspected(_text(answer), "page" + _TEXTS[answer.media_type], UnsupportedPage(), FileFormat.TEXT, FileFormat.MARKDOWN)
    raise UnsupportedPage(f"{UnsupportedPage.words}. It says that it is {answer.media_type[:100]}")


def _text(answer: _Answer) -> bytes:
    text = decoded(answer.body, answer.charset)
    if not text.strip():
        raise EmptyPage
    return text.encode("utf-8", "replace")


def _inspected(content: bytes, name: str, otherwise: UnreadablePage, *formats: FileFormat) -> tuple[FileFormat, bytes]:
    inspection = FileInspection()
    inspection.see(content)
    try:
        found = inspection.format(name)
    except UnsupportedFile:
        raise otherwise from None
    if found is FileFormat.HTML and FileFormat.TEXT in formats:
        return FileFormat.WEB_PAGE, content  # sent as text, and is a page all the same
    if found not in formats:
        raise otherwise
    return found, content
