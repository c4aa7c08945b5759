"""Files that arrive as `multipart/form-data`: passed on piece by piece, never whole in memory."""

from collections.abc import AsyncIterator
from typing import Any, Final

from litestar import Request
from litestar.exceptions import ClientException, HTTPException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.use_cases.add_file_source import Described
from domains.conversational_ai.use_cases.store_upload import Upload
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.principal import Principal

UPLOAD: Final = "upload"
"""`opt[UPLOAD]` of a route says that it also takes a file, as a form: the names of the form's other fields."""
MAXIMUM_UPLOAD_BYTES: Final = 500_000_000
"""What the largest plan allows; smaller plans allow less."""
MOST_BESIDE: Final = 64 * 1024
"""Bytes of a form that are not its file."""
_PIECE: Final = 256 * 1024


def is_form(content_type: str | None) -> bool:
    """Tell whether a body of that type is a form with files."""
    return (content_type or "").strip().lower().startswith("multipart/form-data")


def boundary_of(content_type: str | None) -> str:
    """Return what divides the parts of a form; nothing when its type does not say."""
    _, options = parse_options_header(content_type or "")
    boundary: str = options.get("boundary", "")
    return boundary


class UploadForm:
    """A form with one file, `file`, and short fields beside it, which are known when the file has arrived."""

    def __init__(self, request: Request[Principal, Any, Any]) -> None:
        """Look at the headers alone. Raises `InvalidInput` for a form without a boundary."""
        self._boundary = boundary_of(request.headers.get("content-type"))
        if not self._boundary:
            raise InvalidInput(FieldError("body", "invalid", "is a form without a boundary"))
        self._known = frozenset(request.route_handler.opt[UPLOAD])
        self._receive = request.receive
        self._length = request.content_length
        self._fields: dict[str, bytes] = {}
        self._file_name: str | None = None
        self._events = self._parsed()

    async def upload(self) -> Upload:
        """Return the file, of which the name has arrived. Raises `InvalidInput` when the form has none."""
        first = await anext(self._events, None)
        if self._file_name is None:
            raise InvalidInput(FieldError("file", "missing", "is required: a form with the file in the field `file`"))

        async def content() -> AsyncIterator[bytes]:
            if first:
                yield first
            async for piece in self._events:
                if piece:
                    yield piece

        announced = None if self._length is None else max(self._length - MOST_BESIDE, 0)
        return Upload(name=self._file_name, announced_bytes=announced, content=content())

    def described(self) -> Described:
        """Return what the other fields say. Raises `InvalidInput` for a language that there is not."""
        language = self._text("language")
        if language is not None and language not in set(KnowledgeLanguage):
            raise InvalidInput(FieldError("language", "invalid", f"must be one of {', '.join(KnowledgeLanguage)}"))
        return Described(name=self._text("name"), language=KnowledgeLanguage(language) if language else None)

    def _text(self, field: str) -> str | None:
        value = self._fields.get(field)
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:
            raise InvalidInput(FieldError(field, "invalid", "must be UTF-8")) from None

    async def _parsed(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes, an empty piece when it begins; keep the other fields."""
        parser = PushMultipartParser(self._boundary, max_segment_count=16)
        segment: MultipartSegment | None = None
        beside = 0
        try:
            async for piece in self._pieces():
                for event in parser.parse(piece):
                    if isinstance(event, MultipartSegment):
                        segment = event
                        if self._begins(event):
                            yield b""
                    elif event and segment is not None:
                        if segment.name == "file":
                            yield bytes(event)
                            continue
                        beside += len(event)
                        if beside > MOST_BESIDE:
                            raise RequestEntityTooLarge(f"The fields beside the file have at most {MOST_BESIDE} bytes")
                        self._fields[segment.name] += bytes(event)
            parser.close()
        except MultipartError as error:
            raise HTTPException(status_code=400, detail=f"The form can't be read: {error}") from None

    def _begins(self, segment: MultipartSegment) -> bool:
        """Take note of a field; tell whether it is the file. Raises `InvalidInput` for one that is there twice, or that there is not."""
        if segment.name == "file":
            if self._file_name is not None:
                raise InvalidInput(FieldError("file", "wrong_count", "must be one file"))
            self._file_name = segment.filename or "file"
            return True
        if segment.name not in self._known:
            raise InvalidInput(FieldError(segment.name, "unknown", "there is no such field"))
        if segment.name in self._fields:
            raise InvalidInput(FieldError(segment.name, "wrong_count", "must be there once"))
        self._fields[segment.name] = b""
        return False

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; the server holds the sender back while nobody asks for more."""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientException("The request ended before it was whole")
            body = message.get("body", b"")
            for start in range(0, len(body), _PIECE):
                yield body[start : start + _PIECE]
            if not message.get("more_body"):
                return
