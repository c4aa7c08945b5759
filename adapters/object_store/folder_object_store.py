"""Objects as files in a folder."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from domains.conversational_ai.ports.object_store import ObjectKey
from shared_kernel.errors import NotFound, Unavailable
from shared_kernel.identifiers import new_id

T = TypeVar("T")
_PIECE: Final = 256 * 1024
_FILES: Final = 1_000
_UNFINISHED: Final = ".unfinished"


class FolderObjectStore:
    """Keeps each object in a file that only this user may read.

    Files appear whole: they are written in a folder beside, flushed to the disk, and renamed. Keys can't name a place outside the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: ObjectKey, content: AsyncIterator[bytes], *, saved_as: str | None = None) -> int:  # noqa: ARG002 - no links
        """Write beside, rename."""
        path = self._path(key)
        unfinished, file = await _told(self._begin)
        size = 0
        try:
            try:
                async for piece in content:
                    await _told(file.write, piece)
                    size += len(piece)
                await _told(_flush, file)
            finally:
                file.close()
            await _told(_move, unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return size

    async def get(self, key: ObjectKey) -> AsyncIterator[bytes]:
        """Open it now, read it as it is asked for."""
        try:
            file = await asyncio.to_thread(self._path(key).open, "rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound("There is no such object") from None
        except OSError as error:
            raise Unavailable(f"The folder of objects can't be read ({error.strerror})") from error
        return _read(file)

    async def size(self, key: ObjectKey) -> int | None:
        """Ask the file system."""
        path = self._path(key)
        try:
            return (await asyncio.to_thread(path.stat)).st_size if await asyncio.to_thread(path.is_file) else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    async def link(self, key: ObjectKey, lifetime: timedelta) -> str | None:  # noqa: ARG002 - for nobody
        """Return none: nobody else reaches the folder."""
        return None

    async def older(self, before: datetime) -> AsyncIterator[ObjectKey]:
        """Walk through the folder, some files at a time."""
        limit = before.timestamp()
        files = iter(self._files())
        while found := await _told(lambda: list(islice(files, _FILES))):
            for path in found:
                if not await _told(_is_older, path, limit):
                    continue
                name = path.relative_to(self._folder)
                if name.parts[0] == _UNFINISHED:
                    await _told(lambda path=path: path.unlink(missing_ok=True))
                elif (key := ObjectKey.parse(name.as_posix())) is not None:
                    yield key

    def _files(self) -> Iterator[Path]:
        for folder, _, names in os.walk(self._folder):
            for name in names:
                yield Path(folder, name)

    async def delete(self, key: ObjectKey) -> None:
        """Unlink it."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            await asyncio.to_thread(self._path(key).unlink)

    async def delete_below(self, key: ObjectKey) -> None:
        """Remove the folder of that name."""
        path = self._path(key)
        if await asyncio.to_thread(path.is_dir):
            await _told(lambda: shutil.rmtree(path, ignore_errors=False, onerror=_gone_is_fine))

    def _path(self, key: ObjectKey) -> Path:
        return self._folder / str(key.organization_id) / key.name

    def _begin(self) -> tuple[Path, BinaryIO]:
        folder = self._folder / _UNFINISHED
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / str(new_id())
        return path, os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


def _is_older(path: Path, limit: float) -> bool:
    try:
        return path.stat().st_mtime < limit
    except FileNotFoundError:  # moved or deleted meanwhile
        return False


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _move(unfinished: Path, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished.rename(path)


def _gone_is_fine(_function: object, _path: object, failure: tuple[type[BaseException], BaseException, object]) -> None:
    """Let two who delete the same things both succeed."""
    if not isinstance(failure[1], FileNotFoundError):
        raise failure[1]


async def _told(work: Callable[..., T], *arguments: object) -> T:
    """Return what `work` returns, done in a thread. Raises `Unavailable` for a disk that is full, read-only or away."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as error:
        raise Unavailable(f"The folder of objects can't be written ({error.strerror})") from error
