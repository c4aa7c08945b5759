"""Mail by SMTP (RFC 5321), with the standard library in threads of its own."""

import asyncio
import smtplib
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from domains.identity.ports.mailer import Mail, MailRefused
from shared_kernel.clock import Clock
from shared_kernel.errors import Unavailable

_PERMANENT: Final = range(500, 600)
_AUTHENTICATION: Final = frozenset({530, 534, 535, 538})
"""Refusals of our login, not of the mail."""


class SmtpSecurity(StrEnum):
    """How the connection is protected: `tls` from the first byte (465), `starttls` (587), or not at all (a relay on this machine)."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where mail is handed over and as whom. `sender` is the address in From, `sender_name` what people see."""

    host: str
    port: int
    sender: str
    sender_name: str
    security: SmtpSecurity = SmtpSecurity.STARTTLS
    username: str | None = None
    password: str | None = None
    timeout_seconds: float = 10.0

    def __repr__(self) -> str:
        """Leave out the password."""
        return f"SmtpServer({self.host}:{self.port}, {self.security.value})"


class SmtpMailer:
    """One connection per mail; at most `threads` at once. Certificates are checked against the system's authorities, or `tls`."""

    def __init__(self, server: SmtpServer, clock: Clock, *, tls: ssl.SSLContext | None = None, threads: int = 4) -> None:
        self._server = server
        self._clock = clock
        self._tls = tls or ssl.create_default_context()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="smtp")

    async def send(self, mail: Mail) -> None:
        """Hand `mail` to the server."""
        message = self._compose(mail)
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._deliver, message, mail.to)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise _failure(max(codes, default=0)) from error
        except smtplib.SMTPResponseException as error:
            raise _failure(error.smtp_code) from error
        except smtplib.SMTPNotSupportedError as error:
            if not mail.to.isascii():
                raise MailRefused("The mail server takes no international addresses") from error
            raise Unavailable("The mail server offers no protected connection") from error
        except (smtplib.SMTPException, OSError) as error:
            raise Unavailable("The mail server does not answer") from error

    async def check(self) -> str:
        """Do everything that comes before the first mail; return the steps. Raises `Unavailable` that names the step that failed."""
        steps: list[str] = []

        def walk() -> None:
            with self._session(steps.append):
                pass

        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, walk)
        except smtplib.SMTPResponseException as error:
            said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
            raise Unavailable(f"{steps[-1]} failed ({error.smtp_code} {' '.join(said.split())})") from error
        except (smtplib.SMTPException, OSError) as error:
            raise Unavailable(f"{steps[-1]} failed ({str(error) or type(error).__name__})") from error
        return ", ".join(steps)

    def close(self) -> None:
        """Let running deliveries end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, message: EmailMessage, recipient: str) -> None:
        with self._session(lambda _: None) as connection:
            connection.send_message(message, self._server.sender, [recipient])

    @contextmanager
    def _session(self, reached: Callable[[str], None]) -> Iterator[smtplib.SMTP]:
        """Hold a connection that is ready for mail; tell `reached` of each step before it is tried."""
        server = self._server
        reached("TLS connection" if server.security is SmtpSecurity.TLS else "connection")
        if server.security is SmtpSecurity.TLS:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout_seconds, context=self._tls)
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=server.timeout_seconds)
        with connection:
            reached("EHLO")
            connection.ehlo_or_helo_if_needed()
            if server.security is SmtpSecurity.STARTTLS:
                reached("STARTTLS")
                connection.starttls(context=self._tls)  # raises when the server does not offer it: never in clear by accident
            if server.username is not None:
                reached("login")
                connection.login(server.username, server.password or "")
            yield connection

    def _compose(self, mail: Mail) -> EmailMessage:
        # international addresses are handed over as they are only to servers that take them; send_message asks for SMTPUTF8 itself
        message = EmailMessage(policy=SMTP)
        domain = self._server.sender.rpartition("@")[2]
        message["From"] = formataddr((self._server.sender_name, self._server.sender))
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = f"<{blake2b(mail.reference.encode(), digest_size=16).hexdigest()}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message


def _failure(code: int) -> Unavailable | MailRefused:
    if code in _PERMANENT and code not in _AUTHENTICATION:
        return MailRefused(f"The mail server refused the mail for good ({code})", status=code)
    return Unavailable(f"The mail server did not take the mail ({code})", status=code)
