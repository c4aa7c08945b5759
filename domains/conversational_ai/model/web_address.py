"""An address of the web, as people write it and as it is asked for."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import ClassVar, Final, Self
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from shared_kernel.errors import FieldError, InvalidInput

_LENGTH: Final = 2_048
_NAME_LENGTH: Final = 200
_HOST_LENGTH: Final = 253
_BLANKS: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SAFE: Final = "/%:@!$&'()*+,;=~-._?"
#: Two standards write these differently in ASCII, so that one name means two sites (RFC 5894, section 7.2).
_AMBIGUOUS: Final = re.compile("[\u00df\u03c2\u200c\u200d]")


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A scheme (`http` or `https`), a host, a port, and the path with its query, all in ASCII.

    The host is a name in lower case, an IPv4 address in four decimal numbers, or an IPv6 address.
    """

    DEFAULT_PORTS: ClassVar[dict[str, int]] = {"http": 80, "https": 443}

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str, field: str = "url") -> Self:
        """Return the address that `text` writes, without its fragment. Raises `InvalidInput` that names `field` and the rule."""
        try:
            parts = urlsplit(_written(text))
            scheme, host, port = _scheme(parts), _host(parts), _port(parts)
            target = quote(parts.path, safe=_SAFE) or "/"
            if parts.query:
                target += "?" + quote(parts.query, safe=_SAFE)
            return cls(scheme, host, port or cls.DEFAULT_PORTS[scheme], target)
        except ValueError as error:  # the standard library's own are about ports and brackets
            raise InvalidInput(FieldError(field, "invalid", str(error))) from None

    def join(self, location: str) -> Self:
        """Return the address that `location` means on this page. Raises `InvalidInput` as `parse` does."""
        try:
            meant = urljoin(str(self), location.strip())
        except ValueError as error:  # of brackets
            raise InvalidInput(FieldError("location", "invalid", str(error))) from None
        return type(self).parse(meant, "location")

    @property
    def origin(self) -> str:
        """Scheme, host and port, which one `robots.txt` speaks for."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == self.DEFAULT_PORTS[self.scheme] else f":{self.port}")

    @property
    def robots(self) -> Self:
        """Where the site says what programs may fetch (RFC 9309)."""
        return type(self)(self.scheme, self.host, self.port, "/robots.txt")

    @property
    def name(self) -> str:
        """What a source is called that has no other name: host and path, without the query, which may hold secrets."""
        path = unquote(self.target.partition("?")[0]).rstrip("/")
        return (self.host + (path if path.isprintable() else ""))[:_NAME_LENGTH]

    def __str__(self) -> str:
        return self.origin + self.target


def _written(text: str) -> str:
    found = text.strip()
    if not found:
        raise ValueError("must not be empty")
    if len(found) > _LENGTH:
        raise ValueError(f"must have at most {_LENGTH} characters, has {len(found)}")
    if _BLANKS.search(found) or not found.isprintable():
        raise ValueError("must not contain blanks, control characters or backslashes")
    return found


def _scheme(parts: SplitResult) -> str:
    if parts.scheme not in WebAddress.DEFAULT_PORTS:
        raise ValueError("must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or a password")
    return parts.scheme


def _port(parts: SplitResult) -> int | None:
    if parts.port == 0:
        raise ValueError("must not name port 0")
    return parts.port


def _host(parts: SplitResult) -> str:
    written = parts.hostname or ""
    if "[" in parts.netloc:
        return _ipv6(written)
    if _AMBIGUOUS.search(written):
        raise ValueError("has a host that two standards write differently: write it as it begins with xn--")
    try:
        name = written.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise ValueError("must name a host that there can be") from None
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(name)
    if len(name) > _HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("must name a host that there can be")
    return name


def _ipv4(written: str) -> str:
    """Octal, hexadecimal and shortened spellings mean different addresses to different programs: none is taken."""
    try:
        return str(IPv4Address(written))
    except AddressValueError:
        raise ValueError("must write an IPv4 address as four decimal numbers") from None


def _ipv6(written: str) -> str:
    try:
        address = IPv6Address(written)
    except AddressValueError:
        raise ValueError("must name a host that there can be") from None
    if address.scope_id is not None:
        raise ValueError("must not name a zone of this machine")
    return str(address)
