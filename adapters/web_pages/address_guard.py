"""From a web address to the IP addresses that may be connected to."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Protocol

from adapters.web_pages.public_addresses import IPAddress, is_public, parsed
from domains.conversational_ai.model.unreadable_page import PageAway, RefusedAddress, UnknownHost
from domains.conversational_ai.model.web_address import WebAddress

_NOBODY: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class Names(Protocol):
    """Looks names up."""

    async def addresses(self, host: str) -> Sequence[IPAddress]:
        """Return the addresses of a name, at least one. Raises `UnknownHost`, and `PageAway` when nobody can tell now."""
        ...


class SystemNames:
    """Asks whatever this machine asks."""

    async def addresses(self, host: str) -> Sequence[IPAddress]:
        """Look it up, in a thread."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in _NOBODY:
                raise UnknownHost from None
            raise PageAway(f"The name {host} can't be looked up now") from None
        # a zone (`fe80::1%eth0`) is this machine's word; what is before it is refused anyway
        return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """Lets through what is public at the ports of the web.

    What it returns is what must be connected to: asked a second time, a hostile name may answer otherwise.
    """

    names: Names
    ports: frozenset[int] = frozenset({80, 443})
    permits: Callable[[IPAddress], bool] = is_public

    async def addresses(self, address: WebAddress) -> Sequence[IPAddress]:
        """Return the addresses of the host, of which each was checked: one that is not public refuses them all.

        Raises `RefusedAddress`, `UnknownHost`, `PageAway`.
        """
        if address.port not in self.ports:
            raise RefusedAddress(f"Port {address.port} of {address.host} is none of the web's: it is not asked")
        literal = parsed(address.host)
        found = [literal] if literal is not None else list(dict.fromkeys(await self.names.addresses(address.host)))
        if not all(self.permits(one) for one in found):
            raise RefusedAddress(f"{address.host} is not a public address of the web: it is not asked")
        return found
