"""Mail to one person at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from shared_kernel.errors import LuneoError

_HEADER_MAXIMUM: Final = 998
_CONTROL_BELOW: Final = " "


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail that is ready to go.

    `reference` names what it is about in lower-case words (`verify_email:0190…`): it becomes the message's id, so that
    sending twice is seen as one mail.
    Raises `ValueError` for an address or subject that could smuggle in a header.
    """

    to: str
    subject: str
    text: str
    html: str
    reference: str

    def __post_init__(self) -> None:
        for name, value in (("to", self.to), ("subject", self.subject), ("reference", self.reference)):
            if not value or len(value) > _HEADER_MAXIMUM or any(letter < _CONTROL_BELOW or letter == "\x7f" for letter in value):
                raise ValueError(f"{name} must be one line of text")
        if self.to.count("@") != 1 or any(letter in self.to for letter in " ,;<>"):
            raise ValueError("to must be one bare e-mail address")


class MailRefused(LuneoError):
    """The mail server will never take this mail: the address does not exist or the content is not wanted."""

    code = "mail_refused"
    title = "The mail was refused"


class Mailer(Protocol):
    """Hands mails to somebody who delivers them."""

    async def send(self, mail: Mail) -> None:
        """Return when the mail was taken over. Raises `Unavailable` when trying later may help, `MailRefused` when it won't."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxEntry:
    """A mail in the development mailbox; `sent_at` is aware UTC."""

    to: str
    subject: str
    text: str
    html: str
    sent_at: datetime


class MailboxStore(Protocol):
    """The development mailbox as its reader sees it."""

    async def list(self) -> Sequence[MailboxEntry]:
        """Return the mails that are kept, newest first."""
        ...
