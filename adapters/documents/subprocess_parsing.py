"""Reading a file in a process of its own, which is killed when it takes too much."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from adapters.documents.limits import REFUSED, ParsingLimits
from domains.conversational_ai.model.document import DocumentText
from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.unreadable_file import REASONS, DamagedFile, ExplodingFile, SlowFile
from shared_kernel.errors import Unavailable

_REASON = {reason.code: reason for reason in REASONS}


@dataclass(frozen=True, slots=True)
class SubprocessDocumentParsing:
    """Starts `adapters.documents.reading` for each file.

    The child limits its own memory, processor time and output before it looks at the file; this side limits its time by the clock.
    It gets nothing of our environment, so that a file which takes it over finds no secret there.
    """

    limits: ParsingLimits

    async def parse(self, content: AsyncIterator[bytes], file_format: FileFormat) -> DocumentText:
        """Write the file beside, read it, take both away."""
        with tempfile.TemporaryDirectory(prefix="luneo-document-") as name:
            folder = Path(name)
            try:
                with (folder / "file").open("wb") as file:
                    async for piece in content:
                        await asyncio.to_thread(file.write, piece)
            except OSError as error:
                raise Unavailable(f"There is no room to read the file ({error.strerror})") from error
            await self._read(folder, file_format)
            return await asyncio.to_thread(lambda: DocumentText.decoded((folder / "text").read_bytes()))

    async def _read(self, folder: Path, file_format: FileFormat) -> None:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - see above; starting takes a millisecond
            [sys.executable, "-I", "-m", "adapters.documents.reading", file_format.value, str(folder), *self.limits.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"},
            cwd=folder,
            start_new_session=True,
        )
        try:
            status = await asyncio.to_thread(process.wait, self.limits.seconds)
        except subprocess.TimeoutExpired:
            raise SlowFile from None
        finally:
            process.kill()
            process.wait()
        if status == 0:
            return
        if status == REFUSED:
            raise _REASON[(folder / "reason").read_text(encoding="ascii")]
        if status < 0:  # a signal: an allocation that was refused, or too much processor time
            raise ExplodingFile
        raise DamagedFile
