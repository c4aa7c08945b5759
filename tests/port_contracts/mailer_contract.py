"""What every `Mailer` that is also its own `MailboxStore` does."""

from collections.abc import Sequence
from typing import Protocol

from domains.identity.ports.mailer import Mail, MailboxEntry


class Mailbox(Protocol):
    """Both ports in one."""

    async def send(self, mail: Mail) -> None: ...

    async def list(self) -> Sequence[MailboxEntry]: ...


class MailboxContract:
    """Subclass and say how to make one."""

    def make(self) -> Mailbox:
        """Return the adapter, empty."""
        raise NotImplementedError

    async def test_mails_are_listed_newest_first_as_they_were_sent(self) -> None:
        mailbox = self.make()
        assert list(await mailbox.list()) == []
        for number in range(3):
            await mailbox.send(
                Mail(to="zoé@example.org", subject=f"n° {number}", text="Été\n", html="<p>É</p>", reference=f"test:{number}")
            )
        entries = await mailbox.list()
        assert [entry.subject for entry in entries] == ["n° 2", "n° 1", "n° 0"]
        assert (entries[0].to, entries[0].text, entries[0].html) == ("zoé@example.org", "Été\n", "<p>É</p>")
        assert entries[0].sent_at >= entries[1].sent_at
        assert entries[0].sent_at.tzinfo is not None
