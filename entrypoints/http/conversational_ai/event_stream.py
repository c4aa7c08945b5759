"""Server-sent events (WHATWG HTML, section 9.2) of a turn."""

from collections.abc import AsyncIterator

from domains.conversational_ai.ports.turn_event_log import LoggedEvent

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_KEEP_OPEN = b": keep open\n\n"


def encode(events: tuple[LoggedEvent, ...]) -> bytes:
    """Return the events as they go over the wire: those that came together leave together.

    None at all becomes a comment, which keeps the stream open.
    """
    if not events:
        return _KEEP_OPEN
    return b"".join(b"id: %d\nevent: %s\ndata: %s\n\n" % (e.sequence, e.name.encode(), e.data) for e in events)


async def wire(batches: AsyncIterator[tuple[LoggedEvent, ...]]) -> AsyncIterator[bytes]:
    """Yield a turn's events as bytes until its last one."""
    async for batch in batches:
        yield encode(batch)
