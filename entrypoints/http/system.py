"""Health, metrics and, in development, the mailbox."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Response, get, head
from litestar.types import ControllerRouterHandler

from contracts.http.base import Example
from contracts.http.base import Response as Body
from entrypoints.http.routing import public, unlimited
from entrypoints.observability.metrics import CONTENT_TYPE, Metrics

_STATUS = {"ok": 200, "degraded": 200, "down": 503}


class LiveAnswer(Body, frozen=True):
    """The process runs."""

    EXAMPLE: ClassVar[Example] = {"status": "ok"}

    status: str


class ReadyAnswer(Body, frozen=True):
    """Whether requests can be served, and which dependency is in the way (`ok`, `degraded` or `down` each)."""

    EXAMPLE: ClassVar[Example] = {"status": "ok", "checks": {"postgres": "ok", "redis": "ok"}}

    status: str
    checks: dict[str, str]


class MailBody(Body, frozen=True):
    """One mail that was not sent but kept, because this is development."""

    EXAMPLE: ClassVar[Example] = {
        "to": "ada@example.com",
        "subject": "Confirm your address",
        "text": "Your code is 482913.",
        "html": "<p>Your code is 482913.</p>",
    }

    to: str
    subject: str
    text: str
    html: str
    sent_at: datetime


class MailboxBody(Body, frozen=True):
    """The development mailbox, newest first."""

    items: list[MailBody]


@dataclass(frozen=True, slots=True)
class DependencyCheck:
    """One dependency's state; `required` ones make the process unready when they are down."""

    name: str
    ok: bool
    required: bool


class Readiness(Protocol):
    """Asks every dependency, each within a second."""

    async def check(self) -> list[DependencyCheck]:
        """Return each dependency's state."""
        ...


class Mailbox(Protocol):
    """The mails that development kept."""

    async def list(self) -> list[MailBody]:
        """Return them, newest first."""
        ...


@get("/health/live", opt=unlimited("a probe"))
async def live() -> LiveAnswer:
    """Tell that the process runs."""
    return LiveAnswer(status="ok")


@head("/health/live", opt=unlimited("a probe"), include_in_schema=False)
async def live_alone() -> None:
    """Tell the same by the status alone."""


@get("/health/ready", opt=unlimited("a probe"))
@inject
async def ready(readiness: FromDishka[Readiness]) -> Response[ReadyAnswer]:
    """Tell whether requests can be served. 503 when a required dependency is down."""
    checks = await readiness.check()
    answer = ReadyAnswer(status=_state(checks), checks={c.name: "ok" if c.ok else "down" if c.required else "degraded" for c in checks})
    return Response(answer, status_code=_STATUS[answer.status])


@head("/health/ready", opt=unlimited("a probe"), include_in_schema=False)
@inject
async def ready_alone(readiness: FromDishka[Readiness]) -> Response[None]:
    """Tell the same by the status alone."""
    return Response(None, status_code=_STATUS[_state(await readiness.check())])


def _state(checks: list[DependencyCheck]) -> str:
    if any(c.required and not c.ok for c in checks):
        return "down"
    return "ok" if all(c.ok for c in checks) else "degraded"


@get("/metrics", opt=unlimited("scraped by Prometheus"), include_in_schema=False)
@inject
async def prometheus(metrics: FromDishka[Metrics]) -> Response[bytes]:
    """Return the process's metrics in Prometheus' text format."""
    return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})  # as a media type the framework would add the charset again


@get("/dev/mailbox", opt=public("exists in development only"))
@inject
async def mailbox(kept: FromDishka[Mailbox]) -> MailboxBody:
    """Return the mails that would have been sent, newest first."""
    return MailboxBody(items=await kept.list())


route_handlers: list[ControllerRouterHandler] = [live, live_alone, ready, ready_alone, prometheus]
development_handlers: list[ControllerRouterHandler] = [mailbox]
