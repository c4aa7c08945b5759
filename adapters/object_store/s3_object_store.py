"""Objects in a bucket of a store that speaks S3."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from domains.conversational_ai.model.attachment_name import attachment
from domains.conversational_ai.ports.object_store import ObjectKey
from shared_kernel.errors import LuneoError, NotFound, Unavailable
from shared_kernel.identifiers import new_id

T = TypeVar("T")
_PIECE: Final = 5 * 1024 * 1024  # the least that S3 takes as a part of an upload
_KEYS: Final = 1_000
_MEDIA_TYPE: Final = "application/octet-stream"  # whatever it is: nothing that others sent is shown by a browser
_RETRIES: Final = 2
_TIMEOUT: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Bucket:
    """Where the bucket is and who may use it.

    `endpoint_url` is `None` for Amazon's own; without keys the machine's role or the environment's credentials are used.
    """

    name: str
    region: str
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None


class S3ObjectStore:
    """Keeps each object under `<organisation>/<name>` of the bucket."""

    def __init__(self, bucket: S3Bucket) -> None:
        self._store = S3Store(
            bucket.name,
            region=bucket.region,
            endpoint=bucket.endpoint_url,
            access_key_id=bucket.access_key_id,
            secret_access_key=bucket.secret_access_key,
            client_options={"allow_http": (bucket.endpoint_url or "").startswith("http://"), "timeout": _TIMEOUT},
            retry_config={"max_retries": _RETRIES, "retry_timeout": _TIMEOUT},
        )

    async def put(self, key: ObjectKey, content: AsyncIterator[bytes], *, saved_as: str | None = None) -> int:
        """Upload it in parts, which become an object when the last one has arrived. A broken upload is aborted."""
        counted = _Counted(content)
        try:
            await obstore.put_async(
                self._store,
                str(key),
                counted.pieces(),
                attributes={"Content-Type": _MEDIA_TYPE, "Content-Disposition": attachment(saved_as or "file")},
                chunk_size=_PIECE,
                max_concurrency=2,
            )
        except (BaseError, OSError) as error:
            raise counted.broken or _translated(error) from error
        return counted.size

    async def get(self, key: ObjectKey) -> AsyncIterator[bytes]:
        """Ask for it now, read it as it is asked for."""
        found = await _answered(obstore.get_async(self._store, str(key)))
        return _read(found.stream(min_chunk_size=_PIECE))

    async def size(self, key: ObjectKey) -> int | None:
        """Ask for its head."""
        try:
            return (await _answered(obstore.head_async(self._store, str(key))))["size"]
        except NotFound:
            return None

    async def link(self, key: ObjectKey, lifetime: timedelta) -> str | None:
        """Sign a query for it (Signature Version 4)."""
        return await _answered(obstore.sign_async(self._store, "GET", str(key), lifetime))

    async def older(self, before: datetime) -> AsyncIterator[ObjectKey]:
        """List the bucket a page at a time. Uploads that were never finished are for a rule of the bucket: it does not list them."""
        found = aiter(obstore.list(self._store, chunk_size=_KEYS))
        while page := await _answered(anext(found, None)):
            for entry in page:
                key = ObjectKey.parse(entry["path"])
                if key is not None and entry["last_modified"] < before:
                    yield key

    async def delete(self, key: ObjectKey) -> None:
        """Delete it."""
        await self._delete([str(key)])

    async def delete_below(self, key: ObjectKey) -> None:
        """List them a page at a time and delete each page."""
        found = aiter(obstore.list(self._store, prefix=f"{key}/"))
        while page := await _answered(anext(found, None)):
            await self._delete([entry["path"] for entry in page])

    async def check(self) -> None:
        """Ask for an object that is not there. Raises `Unavailable` for a store that is away, or keys that it does not know."""
        await self.size(ObjectKey(new_id(), "check"))

    async def _delete(self, paths: Sequence[str]) -> None:
        with contextlib.suppress(NotFound):
            await _answered(obstore.delete_async(self._store, paths))


class _Counted:
    """Content as it goes by: how much there was, and what it broke on."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content = content
        self.size = 0
        self.broken: Exception | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._content:
                self.size += len(piece)
                yield piece
        except Exception as error:
            self.broken = error
            raise


async def _read(pieces: "obstore.BytesStream") -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            yield bytes(piece)
    except (BaseError, OSError) as error:
        raise _translated(error) from error


async def _answered(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except (BaseError, OSError) as error:
        raise _translated(error) from error


def _translated(error: Exception) -> LuneoError:
    """Return it in the port's words. The vendor's own are not for people: they hold addresses and XML."""
    if isinstance(error, FileNotFoundError):
        return NotFound("There is no such object")
    return Unavailable(f"The object store does not answer ({type(error).__name__})")
