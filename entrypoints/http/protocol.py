"""HTTP as it comes over a connection: what is no request is answered with a problem, like every other error.

uvicorn's protocol with a measure for what a request's head may be, and without its surprises: a body that comes with an offer to change
the protocol (`Upgrade: h2c`, as Java's client and `curl --http2` send it) is read instead of thrown away, trailers are no headers, and
HTTP/1.0 gets no chunks.
"""

from http import HTTPStatus

import httptools
import msgspec
from litestar.exceptions import HTTPException
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from entrypoints.http.edge import SECURITY_HEADERS
from entrypoints.http.problems import MEDIA_TYPE, problem_of
from shared_kernel.identifiers import new_id

MAXIMUM_TARGET_BYTES = 16_384
MAXIMUM_HEAD_BYTES = 65_536
_LINGER_SECONDS = 1.0


class Protocol(HttpToolsProtocol):
    """One connection."""

    _undigested = 0
    """Bytes that came since the last head, piece of a body or end."""
    _refusal: HTTPException | None = None
    _skipped_body: tuple[bytes, bytes] | None = None
    """The header that frames a body which the parser skips, because the request offers to change the protocol."""
    _resuming = False
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Read what arrived. A head, or trailers, that go on without end are refused before they are put together.

        The parser copies what it has of a header with each piece that it appends: one connection could keep the process from all else.
        """
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._undigested += len(data)
        self._feed(data)
        if self._undigested > MAXIMUM_HEAD_BYTES:
            self._refuse(_large_head())

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._go_on(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal or HTTPException(status_code=400, detail="This is not a valid HTTP/1.1 request"))

    def _go_on(self, rest: bytes) -> None:
        """Read `rest` as HTTP/1.1 too: the offer is not taken (RFC 9110, section 7.8)."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        if self._skipped_body is not None:
            name, value = self._skipped_body
            self._skipped_body, self._resuming = None, True
            self._feed(b"POST / HTTP/1.1\r\n" + name + b": " + value + b"\r\n\r\n")
            self._resuming = False
        if rest:
            self._feed(rest)

    def on_message_begin(self) -> None:
        """Begin a request's head."""
        if not self._resuming:
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target. Raises when it is too long."""
        super().on_url(url)
        if len(self.url) > MAXIMUM_TARGET_BYTES:
            self._refusal = HTTPException(status_code=414, detail=f"Path and query together have at most {MAXIMUM_TARGET_BYTES} bytes")
            raise self._refusal

    def on_headers_complete(self) -> None:
        """Begin the request. Raises when its head is too large."""
        if self._resuming:
            return
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAXIMUM_HEAD_BYTES:
            self._refusal = _large_head()
            raise self._refusal
        self._undigested = 0
        if self.parser.should_upgrade():
            self._skipped_body = next((h for h in self.headers if h[0] in {b"content-length", b"transfer-encoding"}), None)
        super().on_headers_complete()
        self.headers = []  # trailers would be appended to the headers of a request that was already let in

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._undigested = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request; the parser also says so before a body that it skips."""
        self._undigested = 0
        if self._skipped_body is None:
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        super()._start_asgi_task(cycle, _until_closed(cycle, app) if cycle.scope["http_version"] == "1.0" else app)

    def _refuse(self, refusal: HTTPException) -> None:
        """Answer with the problem and close: nobody knows where another request would begin.

        What is still on its way is read and thrown away for a moment: a connection that is closed before it was read loses the answer
        (RFC 9112, section 9.6).
        """
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_complete:
            cycle = None
        if self.pipeline or (cycle is not None and cycle.response_started):
            self.transport.close()  # another answer is on its way: it ends here, and nothing is written into it
            return
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_answer(refusal, self.server_state.default_headers))
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def _until_closed(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """Let the connection's end be the end of an answer without a length: HTTP/1.0 knows no chunks (RFC 9112, sections 6.1 and 6.3)."""

    async def served(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        cycle.chunked_encoding = False

        async def measured(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.body":
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, measured)

    return served


def _large_head() -> HTTPException:
    return HTTPException(status_code=431, detail=f"The request line and its headers together have at most {MAXIMUM_HEAD_BYTES} bytes")


def _answer(refusal: HTTPException, headers: list[tuple[bytes, bytes]]) -> bytes:
    request_id = str(new_id())
    body = msgspec.json.encode(problem_of(refusal, request_id))
    told = (
        *headers,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        *SECURITY_HEADERS,
        (b"x-request-id", request_id.encode()),
    )
    status = HTTPStatus(refusal.status_code)
    lines = (b"HTTP/1.1 %d %s" % (status, status.phrase.encode()), *(name + b": " + value for name, value in told), b"", body)
    return b"\r\n".join(lines)
