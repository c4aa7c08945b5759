"""`luneo doctor`: every dependency, checked, with what to do."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from itertools import combinations
from math import fsum
from statistics import fmean
from urllib.parse import urlsplit

from adapters.clamav.clamd_file_scanning import ClamdFileScanning
from adapters.embeddings.openai_compatible import OpenAICompatibleEmbeddings
from adapters.llm.tokens import Utf8Tokenizer
from adapters.mail.smtp_mailer import SmtpMailer
from adapters.object_store.s3_object_store import S3Bucket, S3ObjectStore
from adapters.postgres.checks import DatabaseAway, DatabaseUnfit, check_database
from adapters.postgres.roles import DatabaseRole
from adapters.redis_store.connection import RedisConnection
from domains.conversational_ai.ports.generative_model import ModelRefused
from entrypoints.composition.foundation import s3_bucket, smtp_server
from entrypoints.composition.models import passage_index, provider_model, remote_embeddings
from entrypoints.settings import ProviderSettings, Settings
from shared_kernel.clock import SystemClock
from shared_kernel.errors import LuneoError
from shared_kernel.identifiers import new_id

_SECONDS = 6.0
_MAIL_SECONDS = 5.0
_UNLIKE = (
    "When does the library open on Saturdays?",
    "The invoice is paid by bank transfer within thirty days.",
    "Cats sleep most of the day.",
    "Le moteur de la voiture ne démarre plus par grand froid.",
    "Faites fondre le beurre, puis ajoutez la farine.",
    "The glacier has lost half of its ice since 1950.",
)
_UNLIKE_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, and what was found or is to be done."""

    name: str
    ok: bool
    text: str


async def examine(settings: Settings, *, of_demo: bool = False) -> list[Finding]:
    """Check everything that `settings` name, all at once, each within 6 s.

    `of_demo`: they are those of a `make run`, which starts what is missing.
    """
    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        *(
            (f"Postgres as {role.value}", lambda role=role: _postgres(settings, role, of_demo=of_demo))
            for role in (DatabaseRole.APP, DatabaseRole.RELAY, DatabaseRole.PLATFORM)
        ),
        ("Redis", lambda: _redis(settings, of_demo=of_demo)),
        ("Vector index", lambda: _index(settings, of_demo=of_demo)),
    ]
    if (embeddings := remote_embeddings(settings)) is not None:
        checks.append(("Embeddings", lambda: _embeddings(settings, embeddings)))
    for provider in settings.providers:
        short = provider.name == "openai" and settings.openai_base_url is not None
        name = "Model provider" if short else f"Model provider {provider.name}"
        checks.append((name, partial(_provider, settings, provider, short=short)))
    if (smtp_url := settings.smtp_url) is not None:
        checks.append(("Mail server", lambda: _mail(settings, smtp_url)))
    if (bucket := s3_bucket(settings)) is not None:
        checks.append(("Object store", lambda: _bucket(bucket)))
    if (clamd_url := settings.clamd_url) is not None:
        checks.append(("Virus scanner", lambda: _scanner(clamd_url)))
    return list(await asyncio.gather(*(_checked(name, check) for name, check in checks)))


async def _checked(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with asyncio.timeout(_SECONDS):
            return Finding(name, ok=True, text=await check())
    except TimeoutError:
        return Finding(name, ok=False, text=f"does not answer within {_SECONDS:.0f} s: is it running, and may this machine reach it?")
    except (LuneoError, DatabaseUnfit, OSError) as error:
        return Finding(name, ok=False, text=str(error))


def _what_to_do(otherwise: str, *, of_demo: bool) -> str:
    return "start Luneo with `make run`" if of_demo else otherwise


async def _postgres(settings: Settings, role: DatabaseRole, *, of_demo: bool) -> str:
    try:
        return await check_database(settings.database_url, role)
    except DatabaseAway as error:
        raise DatabaseAway(f"{error}: {_what_to_do('start it, or correct LUNEO_DATABASE_URL', of_demo=of_demo)}") from error


async def _redis(settings: Settings, *, of_demo: bool) -> str:
    connection = RedisConnection(settings.redis_url, environment=settings.mode.value, timeout_seconds=3)
    try:
        await connection.run(lambda redis: redis.ping())
    except LuneoError as error:
        hint = _what_to_do("start it, or correct LUNEO_REDIS_URL and its password", of_demo=of_demo)
        raise OSError(f"{_place(settings.redis_url)} does not answer: {hint}") from error
    finally:
        await connection.aclose()
    return "answers"


async def _index(settings: Settings, *, of_demo: bool) -> str:
    index = passage_index(settings)
    try:
        await index.prepare()
        await index.count(new_id())
    except LuneoError as error:
        hint = _what_to_do(
            "start it (`luneo index`, or a Qdrant server), or correct LUNEO_QDRANT_URL and LUNEO_QDRANT_API_KEY", of_demo=of_demo
        )
        raise OSError(f"{_place(settings.qdrant_url)} does not answer: {hint}") from error
    finally:
        await index.close()
    return "answers"


async def _embeddings(settings: Settings, embeddings: OpenAICompatibleEmbeddings) -> str:
    try:
        vectors = await embeddings.embed_passages(_UNLIKE)
    except LuneoError as error:
        raise OSError(f"{_place(settings.embeddings_base_url or '')}: {error}") from error
    finally:
        await embeddings.aclose()
    unrelated = fmean(fsum(a * b for a, b in zip(one, other, strict=True)) for one, other in combinations(vectors, 2))
    said = f"{settings.embeddings_model} answers with vectors of {embeddings.dimension} numbers; texts that have nothing in common score"
    if abs(unrelated - settings.embeddings_unrelated) > _UNLIKE_TOLERANCE:
        raise OSError(f"{said} {unrelated:.2f}, not {settings.embeddings_unrelated:.2f}: correct LUNEO_EMBEDDINGS_UNRELATED")
    return f"{said} {unrelated:.2f}"


async def _provider(settings: Settings, provider: ProviderSettings, *, short: bool) -> str:
    of_list = f"of {provider.name} in LUNEO_MODEL_PROVIDERS"
    address, key = ("LUNEO_OPENAI_BASE_URL", "LUNEO_OPENAI_API_KEY") if short else (f"base_url {of_list}", f"api_key {of_list}")
    model = provider_model(settings, provider, Utf8Tokenizer())
    try:
        said = await model.check()
    except ModelRefused as error:
        raise OSError(f"{error}: correct {address if error.extra.get('status') == HTTPStatus.NOT_FOUND else key}") from error
    except LuneoError as error:
        raise OSError(f"{_place(provider.base_url)}: {error}: is {address} right, and may this machine reach it?") from error
    finally:
        await model.aclose()
    return f"{said} (not checked: that it answers a question, and its credit)"


async def _bucket(bucket: S3Bucket) -> str:
    try:
        await S3ObjectStore(bucket).check()
    except LuneoError as error:
        raise OSError(f"bucket {bucket.name}: {error}: correct LUNEO_S3_BUCKET, its endpoint, region and keys") from error
    return "answers (not checked: that it may be written)"


async def _scanner(url: str) -> str:
    try:
        await ClamdFileScanning(url, seconds=_SECONDS).check()
    except LuneoError as error:
        raise OSError(f"{url}: {error}: is clamd running there, and is LUNEO_CLAMD_URL right?") from error
    return "answers (not checked: that its signatures are of today, and its StreamMaxLength)"


async def _mail(settings: Settings, url: str) -> str:
    server = replace(smtp_server(url, settings.mail_from), timeout_seconds=_MAIL_SECONDS)
    mailer = SmtpMailer(server, SystemClock())
    try:
        steps = await mailer.check()
    except LuneoError as error:
        raise OSError(f"{server.host}:{server.port}: {error}: correct LUNEO_SMTP_URL, or the server") from error
    finally:
        mailer.close()
    return f"well so far: {steps} (not checked: that it takes {server.sender} as sender, and delivers)"


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
