"""Health, metrics and, in development, the mailbox."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Response, get
from litestar.types import ControllerRouterHandler

from contracts.http.base import Response as Body
from entrypoints.http.routing import public, unlimited
from entrypoints.observability.metrics import CONTENT_TYPE, Metrics


class LiveAnswer(Body, frozen=True):
    """The process runs."""

    status: str


class ReadyAnswer(Body, frozen=True):
    """Whether requests can be served, and which dependency is in the way (`ok`, `degraded` or `down` each)."""

    status: str
    checks: dict[str, str]


class MailBody(Body, frozen=True):
    """One mail that was not sent but kept, because this is development."""

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


@get("/health/ready", opt=unlimited("a probe"))
@inject
async def ready(readiness: FromDishka[Readiness]) -> Response[ReadyAnswer]:
    """Tell whether requests can be served. 503 when a required dependency is down."""
    checks = await readiness.check()
    down = any(c.required and not c.ok for c in checks)
    degraded = any(not c.ok for c in checks)
    answer = ReadyAnswer(
        status="down" if down else "degraded" if degraded else "ok",
        checks={c.name: "ok" if c.ok else "down" if c.required else "degraded" for c in checks},
    )
    return Response(answer, status_code=503 if down else 200)


@get("/metrics", opt=unlimited("scraped by Prometheus"), include_in_schema=False)
@inject
async def prometheus(metrics: FromDishka[Metrics]) -> Response[bytes]:
    """Return the process's metrics in Prometheus' text format."""
    return Response(metrics.render(), media_type=CONTENT_TYPE)


@get("/dev/mailbox", opt=public("exists in development only"))
@inject
async def mailbox(kept: FromDishka[Mailbox]) -> MailboxBody:
    """Return the mails that would have been sent, newest first."""
    return MailboxBody(items=await kept.list())


route_handlers: list[ControllerRouterHandler] = [live, ready, prometheus]
development_handlers: list[ControllerRouterHandler] = [mailbox]
