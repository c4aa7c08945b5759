"""The development mailbox is bounded, private, and shared between processes."""

import asyncio
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.mail.folder_mailbox import FolderMailbox
from domains.identity.ports.mailer import Mail


class SteppingClock:
    """Each look is a second later."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


def mail(number: int = 1) -> Mail:
    return Mail(
        to="zoé@example.org", subject=f"Bienvenue n° {number}", text="Votre code", html="<p>Votre code</p>", reference=f"test:{number}"
    )


async def test_what_one_process_sends_another_lists_newest_first(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    reader = FolderMailbox(folder, SteppingClock())
    assert await reader.list() == []
    writer = FolderMailbox(folder, SteppingClock())
    for number in range(3):
        await writer.send(mail(number))
    entries = await reader.list()
    assert [entry.subject for entry in entries] == ["Bienvenue n° 2", "Bienvenue n° 1", "Bienvenue n° 0"]
    assert entries[0].to == "zoé@example.org"
    assert (entries[0].text, entries[0].html) == ("Votre code", "<p>Votre code</p>")
    assert entries[0].sent_at == datetime(2026, 11, 22, 12, 0, 3, tzinfo=UTC)


async def test_only_the_owner_reads_it_and_no_half_file_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "mailbox"
    await FolderMailbox(folder, SteppingClock()).send(mail())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600]
    (folder / ".unfinished.json").write_text("{")
    assert len(await FolderMailbox(folder, SteppingClock()).list()) == 1


async def test_it_is_bounded_also_when_many_write_at_once(tmp_path: Path) -> None:
    mailbox = FolderMailbox(tmp_path, SteppingClock(), kept=5)
    await asyncio.gather(*(mailbox.send(mail(number)) for number in range(30)))
    assert len(await mailbox.list()) == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", "Hello\r\nBcc: all@example.org"),
        ("to", "a@example.org\nBcc: b@example.org"),
        ("to", "a@example.org, b@example.org"),
        ("to", "Name <a@example.org>"),
        ("to", "nobody"),
        ("reference", ""),
    ],
)
def test_a_mail_cannot_smuggle_in_headers_or_people(field: str, value: str) -> None:
    fields = {"to": "a@example.org", "subject": "s", "text": "t", "html": "h", "reference": "r"} | {field: value}
    with pytest.raises(ValueError, match=field):
        Mail(**fields)
