"""`luneo doctor`: every dependency, checked, with what to do."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from adapters.postgres.checks import DatabaseUnfit, check_database
from adapters.postgres.roles import DatabaseRole
from adapters.qdrant_index.passage_index import QdrantPassageIndex
from adapters.redis_store.connection import RedisConnection
from entrypoints.settings import Settings
from shared_kernel.errors import LuneoError
from shared_kernel.identifiers import new_id

_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, and what was found or is to be done."""

    name: str
    ok: bool
    text: str


async def examine(settings: Settings) -> list[Finding]:
    """Check everything that `settings` name, all at once, each within 6 s."""
    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        *(
            (f"Postgres as {role.value}", lambda role=role: check_database(settings.database_url, role))
            for role in (DatabaseRole.APP, DatabaseRole.RELAY, DatabaseRole.PLATFORM)
        ),
        ("Redis", lambda: _redis(settings)),
        ("Vector index", lambda: _index(settings)),
    ]
    if settings.openai_base_url:
        checks.append(("Model provider", lambda: _reachable(settings.openai_base_url or "", 443)))
    if settings.smtp_url:
        checks.append(("Mail server", lambda: _reachable(settings.smtp_url or "", 587)))
    return list(await asyncio.gather(*(_checked(name, check) for name, check in checks)))


async def _checked(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with asyncio.timeout(_SECONDS):
            return Finding(name, ok=True, text=await check())
    except TimeoutError:
        return Finding(name, ok=False, text=f"does not answer within {_SECONDS:.0f} s: is it running, and may this machine reach it?")
    except (LuneoError, DatabaseUnfit, OSError) as error:
        return Finding(name, ok=False, text=str(error))


async def _redis(settings: Settings) -> str:
    connection = RedisConnection(settings.redis_url, environment=settings.mode.value, timeout_seconds=3)
    try:
        await connection.run(lambda redis: redis.ping())
    except LuneoError as error:
        raise OSError(f"{_place(settings.redis_url)} does not answer: start it, or correct LUNEO_REDIS_URL and its password") from error
    finally:
        await connection.aclose()
    return "answers"


async def _index(settings: Settings) -> str:
    index = QdrantPassageIndex(settings.qdrant_url, settings.qdrant_api_key, settings.qdrant_collection)
    try:
        await index.prepare()
        await index.count(new_id())
    except LuneoError as error:
        hint = "start it (`luneo index`, or a Qdrant server), or correct LUNEO_QDRANT_URL and LUNEO_QDRANT_API_KEY"
        raise OSError(f"{_place(settings.qdrant_url)} does not answer: {hint}") from error
    finally:
        await index.close()
    return "answers"


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


async def _reachable(url: str, port: int) -> str:
    parts = urlsplit(url)
    host, number = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else port)
    try:
        connection = await asyncio.to_thread(socket.create_connection, (host, number), 5)
    except OSError as error:
        raise OSError(f"{host}:{number} cannot be reached ({error})") from error
    connection.close()
    return f"{host}:{number} accepts connections"
