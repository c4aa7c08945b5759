"""Mail goes over a real SMTP conversation, protected, and failures say whether trying again helps."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from adapters.mail.smtp_mailer import SmtpMailer, SmtpSecurity, SmtpServer
from domains.identity.ports.mailer import Mail, MailRefused
from shared_kernel.clock import SystemClock
from shared_kernel.errors import Unavailable

MAIL = Mail(
    to="zoe@example.org",
    subject="Confirmez votre adresse — été",
    text="Votre code : 123456",
    html="<p>Votre code</p>",
    reference="verify_email:1",
)


class Inbox:
    """Takes mail as an SMTP server does, or refuses it with `answer`."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.received.append(envelope)
        return "250 taken"


def _only_luneo(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword) -> AuthResult:
    right = data.login == b"luneo" and data.password == b"right"
    return AuthResult(success=right, handled=right)  # what is not handled is refused by the server with 535


@contextmanager
def served(inbox: Inbox, **options: Any) -> Iterator[int]:
    """Serve `inbox` on a free port for the length of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def server(port: int, **changes: object) -> SmtpServer:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "sender": "no-reply@luneo.example",
        "sender_name": "Lunéo",
        "security": SmtpSecurity.NONE,
        "timeout_seconds": 2.0,
    }
    return SmtpServer(**(settings | changes))  # type: ignore[arg-type]


async def test_a_mail_arrives_with_both_texts_and_one_message_id() -> None:
    inbox = Inbox()
    with served(inbox) as port:
        mailer = SmtpMailer(server(port), SystemClock())
        await mailer.send(MAIL)
        await mailer.send(MAIL)
        mailer.close()
    first, second = (message_from_bytes(envelope.original_content or b"", EmailMessage, policy=default) for envelope in inbox.received)
    assert inbox.received[0].rcpt_tos == ["zoe@example.org"]
    assert first["Subject"] == "Confirmez votre adresse — été"
    assert first["From"] == "Lunéo <no-reply@luneo.example>"
    assert first["Message-ID"] == second["Message-ID"]
    assert [part.get_content().strip() for part in first.iter_parts()] == ["Votre code : 123456", "<p>Votre code</p>"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    of_server, of_client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(of_server)
    authority.configure_trust(of_client)
    return of_server, of_client


async def test_starttls_protects_the_login(authority: trustme.CA) -> None:
    of_server, of_client = contexts(authority)
    inbox = Inbox()
    with served(inbox, tls_context=of_server, auth_required=True, authenticator=_only_luneo) as port:
        settings = server(port, security=SmtpSecurity.STARTTLS, username="luneo", password="right")
        await SmtpMailer(settings, SystemClock(), tls=of_client).send(MAIL)
        assert len(inbox.received) == 1
        assert "right" not in repr(settings)
        with pytest.raises(Unavailable):
            await SmtpMailer(
                server(port, security=SmtpSecurity.STARTTLS, username="luneo", password="wrong"), SystemClock(), tls=of_client
            ).send(MAIL)
        with pytest.raises(Unavailable):  # an unknown authority
            await SmtpMailer(settings, SystemClock()).send(MAIL)


async def test_a_check_goes_up_to_the_login_and_names_the_step_that_fails(authority: trustme.CA) -> None:
    of_server, of_client = contexts(authority)
    inbox, starttls = Inbox(), {"security": SmtpSecurity.STARTTLS, "username": "luneo"}
    with served(inbox, tls_context=of_server, auth_required=True, authenticator=_only_luneo) as port:
        right = server(port, **starttls, password="right")
        assert await SmtpMailer(right, SystemClock(), tls=of_client).check() == "connection, EHLO, STARTTLS, login"
        with pytest.raises(Unavailable, match=r"^login failed \(535 "):
            await SmtpMailer(replace(right, password="wrong"), SystemClock(), tls=of_client).check()
        with pytest.raises(Unavailable, match=r"^STARTTLS failed \(.*certificate verify failed"):
            await SmtpMailer(right, SystemClock()).check()
    with pytest.raises(Unavailable, match=r"^connection failed \("):
        await SmtpMailer(right, SystemClock()).check()
    with served(inbox) as port:
        with pytest.raises(Unavailable, match=r"^STARTTLS failed \(STARTTLS extension not supported"):
            await SmtpMailer(server(port, **starttls, password="right"), SystemClock()).check()
        with pytest.raises(Unavailable, match=r"^TLS connection failed \("):
            await SmtpMailer(server(port, security=SmtpSecurity.TLS), SystemClock()).check()
        assert await SmtpMailer(server(port), SystemClock()).check() == "connection, EHLO"
    assert inbox.received == []


async def test_without_the_promised_protection_nothing_is_sent() -> None:
    inbox = Inbox()
    with served(inbox) as port:
        with pytest.raises(Unavailable):
            await SmtpMailer(server(port, security=SmtpSecurity.STARTTLS), SystemClock()).send(MAIL)
        with pytest.raises(Unavailable):
            await SmtpMailer(server(port, security=SmtpSecurity.TLS), SystemClock()).send(MAIL)
    assert inbox.received == []


@pytest.mark.parametrize(
    ("answer", "error"), [("550 no such person", MailRefused), ("451 later", Unavailable), ("530 who are you", Unavailable)]
)
async def test_a_refusal_says_whether_trying_again_helps(answer: str, error: type[Exception]) -> None:
    inbox = Inbox()
    inbox.answer = answer
    with served(inbox) as port, pytest.raises(error):
        await SmtpMailer(server(port), SystemClock()).send(MAIL)


async def test_an_international_address_is_sent_where_it_is_taken_and_refused_elsewhere() -> None:
    international = replace(MAIL, to="zoé@example.org")
    inbox = Inbox()
    with served(inbox, enable_SMTPUTF8=True) as port:
        await SmtpMailer(server(port), SystemClock()).send(international)
    assert inbox.received[0].rcpt_tos == ["zoé@example.org"]
    with served(inbox, enable_SMTPUTF8=False) as port, pytest.raises(MailRefused):
        await SmtpMailer(server(port), SystemClock()).send(international)


async def test_a_silent_or_absent_server_is_unavailable_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port: int = silent.getsockname()[1]
        with pytest.raises(Unavailable):
            await SmtpMailer(server(port, timeout_seconds=0.1), SystemClock()).send(MAIL)
    with pytest.raises(Unavailable):
        await SmtpMailer(server(port), SystemClock()).send(MAIL)
