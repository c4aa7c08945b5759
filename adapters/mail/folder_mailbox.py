"""The development mailbox: a folder that the worker writes and the API process reads."""

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from domains.identity.ports.mailer import Mail, MailboxEntry
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id

_KEPT: Final = 500


class FolderMailbox:
    """Keeps the newest 500 mails as files that only this user may read, one JSON object each, and sends nothing.

    Files are named by time, so that the names sort as the mails were sent, and appear whole: they are written beside and renamed.
    """

    def __init__(self, folder: Path, clock: Clock, *, kept: int = _KEPT) -> None:
        self._folder = folder
        self._clock = clock
        self._kept = kept

    async def send(self, mail: Mail) -> None:
        """Keep `mail`."""
        await asyncio.to_thread(self._write, mail, self._clock.now())

    async def list(self) -> Sequence[MailboxEntry]:
        """Return the mails that are kept, newest first."""
        return await asyncio.to_thread(self._read)

    def _write(self, mail: Mail, sent_at: datetime) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{sent_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{new_id()}"
        content = json.dumps(
            {"to": mail.to, "subject": mail.subject, "text": mail.text, "html": mail.html, "sent_at": sent_at.isoformat()},
            ensure_ascii=False,
        )
        unfinished = self._folder / f".{name}"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(content)
        unfinished.rename(self._folder / f"{name}.json")
        for oldest in self._names()[self._kept :]:
            oldest.unlink(missing_ok=True)

    def _read(self) -> Sequence[MailboxEntry]:
        entries: list[MailboxEntry] = []
        for path in self._names():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:  # another process made room meanwhile
                continue
            entries.append(
                MailboxEntry(
                    to=content["to"],
                    subject=content["subject"],
                    text=content["text"],
                    html=content["html"],
                    sent_at=datetime.fromisoformat(content["sent_at"]),
                ),
            )
        return entries

    def _names(self) -> tuple[Path, ...]:
        return tuple(sorted(self._folder.glob("[!.]*.json"), reverse=True))
