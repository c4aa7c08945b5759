"""Files scanned by ClamAV's daemon, in the protocol that `man clamd` describes under INSTREAM."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from domains.conversational_ai.model.unreadable_file import InfectedFile, UnscannedFile
from shared_kernel.errors import Unavailable

DEFAULT_PORT: Final = 3310
_PIECE: Final = 64 * 1024
_LENGTH_BYTES: Final = 4
_LONGEST_ANSWER: Final = 4_096
_CLEAN: Final = "stream: OK"
_FOUND: Final = " FOUND"
_TOO_LARGE: Final = "size limit exceeded"


@dataclass(frozen=True, slots=True)
class ClamdFileScanning:
    """Sends each file over a connection of its own; neither side keeps it.

    `url` is `tcp://host:port` or `unix:///path/of/the/socket`; `seconds` is how long the daemon may be silent.
    """

    url: str
    seconds: float = 60.0

    async def scan(self, content: AsyncIterator[bytes]) -> None:
        """Stream it while listening: a daemon that refuses a file in the middle says so, hangs up, and what it said is lost soon after."""
        async with self._connected() as (reader, writer):
            answering = asyncio.create_task(self._said(reader))
            try:
                with suppress(ConnectionError):  # it hung up on us: what it said tells why
                    await self._send(writer, content, answering)
                async with asyncio.timeout(self.seconds):
                    answer = await answering
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
        if answer == _CLEAN:
            return
        if answer.endswith(_FOUND):
            raise InfectedFile
        if _TOO_LARGE in answer:
            raise UnscannedFile
        raise Unavailable("The scanner for malicious software did not say whether the file is clean")

    async def check(self) -> None:
        """Ask whether it is there. Raises `Unavailable`."""
        async with self._connected() as (reader, writer):
            writer.write(b"zPING\0")
            await writer.drain()
            async with asyncio.timeout(self.seconds):
                answer = await self._said(reader)
            if answer != "PONG":
                raise Unavailable("What answers is no clamd")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            async with asyncio.timeout(self.seconds):
                reader, writer = await self._connect()
            try:
                yield reader, writer
            finally:
                writer.transport.abort()
                with suppress(OSError):
                    await writer.wait_closed()
        except (OSError, TimeoutError, EOFError) as error:
            raise Unavailable(f"The scanner for malicious software does not answer ({type(error).__name__})") from error

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(parts.path, limit=_LONGEST_ANSWER)
        return await asyncio.open_connection(parts.hostname, parts.port or DEFAULT_PORT, limit=_LONGEST_ANSWER)

    async def _send(self, writer: asyncio.StreamWriter, content: AsyncIterator[bytes], answering: asyncio.Task[str]) -> None:
        """Send it up to its end, or until the daemon has heard enough."""
        writer.write(b"zINSTREAM\0")
        async for piece in content:
            if answering.done():
                return
            for start in range(0, len(piece), _PIECE):
                part = piece[start : start + _PIECE]
                writer.write(len(part).to_bytes(_LENGTH_BYTES) + part)
                async with asyncio.timeout(self.seconds):
                    await writer.drain()
        writer.write(bytes(_LENGTH_BYTES))
        await writer.drain()

    async def _said(self, reader: asyncio.StreamReader) -> str:
        """Return what it says, up to the zero that ends it. Raises `EOFError` when it hangs up without a word."""
        try:
            said = await reader.readuntil(b"\0")
        except asyncio.LimitOverrunError:
            raise Unavailable("What answers is no clamd") from None
        return said[:-1].decode("utf-8", "replace").strip()
