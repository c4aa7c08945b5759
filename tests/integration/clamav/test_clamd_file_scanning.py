"""ClamAV's protocol, against a server that speaks the daemon's side of it: it reads whole streams and knows EICAR's test file."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from adapters.clamav.clamd_file_scanning import ClamdFileScanning
from domains.conversational_ai.model.unreadable_file import InfectedFile, UnscannedFile
from shared_kernel.errors import Unavailable
from tests.port_contracts.file_scanning import EICAR, FileScanningContract, in_pieces

Daemon = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MOST = 2_000_000


async def clamd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as clamd 1.x does, with a `StreamMaxLength` of two megabytes. A client that leaves is left."""
    with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
        await _serve(reader, writer)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    command = await reader.readuntil(b"\0")
    if command == b"zPING\0":
        writer.write(b"PONG\0")
    elif command == b"zINSTREAM\0":
        found = b""
        while length := int.from_bytes(await reader.readexactly(4)):
            found += await reader.readexactly(length)
            if len(found) > MOST:
                writer.write(b"INSTREAM size limit exceeded. ERROR\0")
                await writer.drain()
                break
        else:
            writer.write(b"stream: Eicar-Test-Signature FOUND\0" if EICAR in found else b"stream: OK\0")
    else:
        writer.write(b"UNKNOWN COMMAND\0")
    await writer.drain()


@asynccontextmanager
async def listening(daemon: Daemon) -> AsyncIterator[str]:
    server = await asyncio.start_server(daemon, "127.0.0.1", 0)
    async with server:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class TestClamd(FileScanningContract):
    @pytest.fixture
    async def scanning(self) -> AsyncIterator[ClamdFileScanning]:
        async with listening(clamd) as url:
            yield ClamdFileScanning(url, seconds=5)


async def test_it_is_asked_over_a_socket_in_the_file_system_too(tmp_path: Path) -> None:
    async with await asyncio.start_unix_server(clamd, tmp_path / "clamd.ctl"):
        scanning = ClamdFileScanning(f"unix://{tmp_path}/clamd.ctl", seconds=5)
        await scanning.check()
        await scanning.scan(in_pieces(b"clean"))
        with pytest.raises(InfectedFile):
            await scanning.scan(in_pieces(EICAR))


async def test_a_file_that_it_does_not_take_is_not_passed() -> None:
    async with listening(clamd) as url:
        for size in (MOST + 1, 30_000_000):
            with pytest.raises(UnscannedFile):
                await ClamdFileScanning(url, seconds=5).scan(in_pieces(bytes(size)))


async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def says(answer: bytes) -> Daemon:
    async def daemon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\0")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return daemon


@pytest.mark.parametrize(
    "daemon",
    [
        hangs_up,
        is_silent,
        says(b"stream: OK"),  # cut before its end
        says(b"Can't allocate memory ERROR\0"),
        says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        says(b"x" * 100_000),
        says(b"\0"),
    ],
    ids=["hangs-up", "silent", "cut", "error", "http", "endless", "nothing"],
)
async def test_a_scanner_that_does_not_say_that_a_file_is_clean_does_not_pass_it(daemon: Daemon) -> None:
    async with listening(daemon) as url:
        scanning = ClamdFileScanning(url, seconds=0.3)
        with pytest.raises(Unavailable):
            await scanning.scan(in_pieces(b"text"))
        with pytest.raises(Unavailable):
            await scanning.check()


async def test_a_scanner_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await ClamdFileScanning("tcp://127.0.0.1:9", seconds=5).scan(in_pieces(b"text"))
    with pytest.raises(Unavailable, match="does not answer"):
        await ClamdFileScanning("unix:///nowhere/clamd.ctl", seconds=5).check()


async def test_content_that_breaks_is_told_as_it_is() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"the beginning"
        raise LookupError

    async with listening(clamd) as url:
        with pytest.raises(LookupError):
            await ClamdFileScanning(url, seconds=5).scan(broken())
