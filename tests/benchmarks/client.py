"""A client that costs little, so that on two cores it does not become what is measured."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, and how long its first byte that holds `marker` took, in seconds."""

    status: int
    body: bytes
    seconds_to_marker: float | None


class Connection:
    """One HTTP/1.1 connection that is kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    @classmethod
    async def open(cls, base_url: str) -> Self:
        parts = urlsplit(base_url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        return cls(reader, writer, parts.netloc)

    async def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str], *, marker: bytes = b"") -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}", "content-type: application/json", f"content-length: {len(body)}"]
        lines.extend(f"{name}: {value}" for name, value in headers.items())
        started = time.perf_counter()
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        seen: float | None = None
        parts: list[bytes] = []
        if b"transfer-encoding: chunked" in head:
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                parts.append((await self._reader.readexactly(size + 2))[:-2])
                if seen is None and marker and marker in parts[-1]:
                    seen = time.perf_counter() - started
            await self._reader.readexactly(2)
        else:
            length = int(head.partition(b"content-length: ")[2].split(b"\r", 1)[0])
            parts.append(await self._reader.readexactly(length))
        return Answer(status, b"".join(parts), seen)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


@dataclass(frozen=True, slots=True)
class Target:
    """Where turns are sent: one conversation, path and body for each client, so that no two turns meet in one conversation."""

    base_url: str
    paths: Sequence[str]
    body: bytes
    headers: Mapping[str, str]

    def streaming(self) -> "Target":
        return Target(self.base_url, self.paths, self.body, {**self.headers, "accept": "text/event-stream"})


async def run_turns(target: Target, turns: int, clients: int) -> float:
    """Send `turns` turns from `clients` connections at once and return the seconds it took. Raises `RuntimeError` when one fails."""
    left = iter(range(turns))

    async def client(path: str) -> None:
        connection = await Connection.open(target.base_url)
        for _ in left:
            answer = await connection.send("POST", path, target.body, target.headers)
            if answer.status != 200 or b"turn.failed" in answer.body:
                raise RuntimeError(f"{path} answered {answer.status}: {answer.body[:500]!r}")
        await connection.close()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for path in target.paths[:clients]:
            group.create_task(client(path))
    return time.perf_counter() - started


async def first_tokens(target: Target, turns: int) -> list[float]:
    """Return the seconds to the first piece of the answer of `turns` streams, one after the other."""
    connection = await Connection.open(target.base_url)
    seconds = []
    for _ in range(turns):
        answer = await connection.send("POST", target.paths[0], target.body, target.headers, marker=b"word")
        assert answer.seconds_to_marker is not None, answer.body[:500]
        seconds.append(answer.seconds_to_marker)
    await connection.close()
    return seconds
