"""What the system routes need: readiness and the development mailbox."""

import asyncio
from collections.abc import Awaitable, Callable

from dishka import Provider, Scope, provide

from adapters.mail.folder_mailbox import FolderMailbox
from adapters.postgres.database import Database
from adapters.redis_store.connection import RedisConnection
from domains.conversational_ai.ports.passage_index import PassageIndex
from entrypoints.http.system import DependencyCheck, MailBody, Mailbox, Readiness
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal

_CHECK_SECONDS = 1.0


class CheckedDependencies:
    """Implements `Readiness`: without Postgres nothing works; Redis and the index only degrade."""

    def __init__(self, database: Database, redis: RedisConnection, index: PassageIndex) -> None:
        self._database = database
        self._redis = redis
        self._index = index

    async def check(self) -> list[DependencyCheck]:
        """Ask all at once, each within a second."""
        database, redis, index = await asyncio.gather(
            _answers(lambda: self._database.rows(Principal.system(None), "select 1")),
            _answers(lambda: self._redis.run(lambda client: client.ping())),
            _answers(lambda: self._index.count(new_id())),
        )
        return [
            DependencyCheck("postgres", database, required=True),
            DependencyCheck("redis", redis, required=False),
            DependencyCheck("index", index, required=False),
        ]


class ReadableMailbox:
    """Implements `Mailbox`."""

    def __init__(self, mailbox: FolderMailbox) -> None:
        self._mailbox = mailbox

    async def list(self) -> list[MailBody]:
        """Return the kept mails, newest first."""
        return [MailBody(to=m.to, subject=m.subject, text=m.text, html=m.html, sent_at=m.sent_at) for m in await self._mailbox.list()]


class SystemProvider(Provider):
    """Health and mailbox."""

    scope = Scope.APP

    @provide
    def readiness(self, database: Database, redis: RedisConnection, index: PassageIndex) -> Readiness:
        """Dependencies, asked."""
        return CheckedDependencies(database, redis, index)

    @provide
    def mailbox(self, mailbox: FolderMailbox) -> Mailbox:
        """The kept mails."""
        return ReadableMailbox(mailbox)


async def _answers(ask: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await ask()
    except Exception:  # noqa: BLE001 - down is down, whatever it raised
        return False
    return True
