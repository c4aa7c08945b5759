"""`Mailer` and `MailboxStore` in memory."""

from collections.abc import Sequence

from domains.identity.ports.mailer import Mail, MailboxEntry
from shared_kernel.clock import Clock
from shared_kernel.errors import Unavailable


class InMemoryMailer:
    """A list. `gone = True` makes it refuse as a dead mail server does; `sent` holds the mails, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[MailboxEntry] = []
        self.sent: list[Mail] = []
        self.gone = False

    async def send(self, mail: Mail) -> None:
        """Keep `mail`."""
        if self.gone:
            raise Unavailable
        self.sent.append(mail)
        self._entries.append(MailboxEntry(to=mail.to, subject=mail.subject, text=mail.text, html=mail.html, sent_at=self._clock.now()))

    async def list(self) -> Sequence[MailboxEntry]:
        """Return what was sent, newest first."""
        return self._entries[::-1]
