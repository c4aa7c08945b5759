"""An upstream that sends exactly the bytes of the test, for faults that no stand-in has."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

Step = bytes | asyncio.Event


def event(text: str | None = None, *, finish: str | None = None, usage: tuple[int, int] | None = None) -> bytes:
    """Return one event of a chat completion's stream."""
    chunk: dict[str, object] = {"id": "c", "object": "chat.completion.chunk", "model": "m-2026", "choices": []}
    if text is not None or finish is not None:
        chunk["choices"] = [{"index": 0, "delta": {"content": text} if text is not None else {}, "finish_reason": finish}]
    if usage is not None:
        chunk["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


DONE = b"data: [DONE]\n\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunked(*events: bytes) -> bytes:
    """Return the events as one HTTP chunk."""
    body = b"".join(events)
    return b"%x\r\n%s\r\n" % (len(body), body)


def status(line: str, *headers: str, body: bytes = b"{}") -> bytes:
    """Return a whole response that is not a stream."""
    head = "\r\n".join([f"HTTP/1.1 {line}", "content-type: application/json", f"content-length: {len(body)}", *headers])
    return f"{head}\r\n\r\n".encode() + body


@dataclass(slots=True)
class RawUpstream:
    """What the upstream saw."""

    port: int = 0
    connections: int = 0
    bodies: list[dict[str, object]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/v1"


@asynccontextmanager
async def raw_upstream(*answers: Sequence[Step], hangs_up: bool = False) -> AsyncIterator[RawUpstream]:
    """Serve one answer per request, the last one for all others; an answer's events are waited for. It may hang up after each."""
    upstream = RawUpstream()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                upstream.headers.append(headers)
                upstream.bodies.append(msgspec.json.decode(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}"))
                for step in answers[min(len(upstream.bodies), len(answers)) - 1]:
                    if isinstance(step, asyncio.Event):
                        await step.wait()
                    else:
                        writer.write(step)
                        await writer.drain()
                if hangs_up:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
