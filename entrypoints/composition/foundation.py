"""What every process stands on: settings, clock, databases, Redis, the outbox and the unit of work."""

from collections.abc import AsyncIterator, Mapping, Sequence
from email.utils import parseaddr
from typing import NewType
from urllib.parse import parse_qs, unquote, urlsplit

from dishka import Provider, Scope, from_context, provide

from adapters.crypto.aes_sealing import AesSealing
from adapters.mail.folder_mailbox import FolderMailbox
from adapters.mail.smtp_mailer import SmtpMailer, SmtpSecurity, SmtpServer
from adapters.messaging.broker import DeliveryBroker
from adapters.object_store.folder_object_store import FolderObjectStore
from adapters.object_store.s3_object_store import S3Bucket, S3ObjectStore
from adapters.postgres.database import Database
from adapters.postgres.idempotency import PostgresIdempotentEffects
from adapters.postgres.messaging.deliveries import ReceivedDeliveries, RelayedDeliveries, Ticks
from adapters.postgres.messaging.outbox import Outbox, Subscriber
from adapters.postgres.roles import DatabaseRole
from adapters.postgres.unit_of_work import Sessions, UnitsOfWork
from adapters.redis_store.connection import RedisConnection
from adapters.redis_store.leased_rate_limits import LeasedRateLimits
from adapters.redis_store.rate_limits import RedisRateLimits
from adapters.redis_store.wake_ups import RedisWakeUps
from contracts.governance.commands import AuditTrail
from contracts.idempotency import IdempotentEffects
from contracts.rate_limits import RateLimits
from contracts.wake_ups import WakeUps
from domains.conversational_ai.ports.object_store import ObjectStore
from domains.identity.ports.mailer import Mailer
from entrypoints.consumers.dispatcher import Subscription
from entrypoints.consumers.relay import RELAY_CHANNEL
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import Settings
from shared_kernel.clock import Clock, SystemClock

PlatformDatabase = NewType("PlatformDatabase", Database)
RelayDatabase = NewType("RelayDatabase", Database)
Subscriptions = NewType("Subscriptions", tuple[Subscription, ...])


def subscribers_of(subscriptions: Sequence[Subscription]) -> Mapping[str, Sequence[Subscriber]]:
    """Return who hears which event type, as the outbox wants it."""
    found: dict[str, list[Subscriber]] = {}
    for s in subscriptions:
        found.setdefault(s.event.TYPE, []).append(Subscriber(s.consumer, s.queue, s.ordered))
    return found


class FoundationProvider(Provider):
    """Everything lives as long as its process, on one event loop."""

    scope = Scope.APP
    settings = from_context(Settings, scope=Scope.APP)
    metrics = from_context(Metrics, scope=Scope.APP)
    subscriptions = from_context(Subscriptions, scope=Scope.APP)

    @provide
    def clock(self) -> Clock:
        """The machine's clock."""
        return SystemClock()

    @provide
    async def database(self, settings: Settings) -> AsyncIterator[Database]:
        """The hot way into Postgres, as the app."""
        database = Database(settings.database_url, size=settings.database_connections)
        await database.open()
        yield database
        await database.close()

    @provide
    async def platform_database(self, settings: Settings) -> AsyncIterator[PlatformDatabase]:
        """Postgres as the platform: sweepers and administration."""
        database = Database(settings.database_url, DatabaseRole.PLATFORM, size=4)
        await database.open()
        yield PlatformDatabase(database)
        await database.close()

    @provide
    async def relay_database(self, settings: Settings) -> AsyncIterator[RelayDatabase]:
        """Postgres as the relay."""
        database = Database(settings.database_url, DatabaseRole.RELAY, size=2)
        await database.open()
        yield RelayDatabase(database)
        await database.close()

    @provide
    async def sessions(self, settings: Settings) -> AsyncIterator[Sessions]:
        """The connections behind units of work."""
        sessions = Sessions(settings.database_url, size=max(settings.database_connections // 2, 2))
        yield sessions
        await sessions.close()

    @provide
    def outbox(self, subscriptions: Subscriptions) -> Outbox:
        """Events with their deliveries."""
        return Outbox(subscribers_of(subscriptions))

    @provide
    def units(self, sessions: Sessions, outbox: Outbox, trail: AuditTrail, clock: Clock, wake_ups: WakeUps) -> UnitsOfWork:
        """The unit of work behind every command."""
        return UnitsOfWork(sessions, outbox, trail, clock, lambda: wake_ups.notify(RELAY_CHANNEL))

    @provide
    def effects(self, settings: Settings, units: UnitsOfWork, clock: Clock) -> IdempotentEffects:
        """Idempotency keys."""
        return PostgresIdempotentEffects(units, AesSealing([key.encode() for key in settings.secret_key]), clock)

    @provide
    async def redis(self, settings: Settings, metrics: Metrics) -> AsyncIterator[RedisConnection]:
        """Redis, with its breaker."""
        connection = RedisConnection(settings.redis_url, environment=settings.mode.value, on_availability=metrics.redis_is)
        yield connection
        await connection.aclose()

    @provide
    def rate_limits(self, redis: RedisConnection, metrics: Metrics) -> RateLimits:
        """Rate limits that all replicas share."""
        return LeasedRateLimits(RedisRateLimits(redis, on_fallback=metrics.rate_limit_fell_back))

    @provide
    async def wake_ups(self, redis: RedisConnection) -> AsyncIterator[WakeUps]:
        """Nudges between processes."""
        wake_ups = RedisWakeUps(redis)
        yield wake_ups
        await wake_ups.aclose()

    @provide
    def broker(self, settings: Settings, subscriptions: Subscriptions) -> DeliveryBroker:
        """The queues to the workers."""
        return DeliveryBroker(settings.redis_url, sorted({s.queue for s in subscriptions}))

    @provide
    def relayed(self, relay: RelayDatabase) -> RelayedDeliveries:
        """Deliveries as the relay sees them."""
        return RelayedDeliveries(relay)

    @provide
    def received(self, database: Database) -> ReceivedDeliveries:
        """Deliveries as consumers see them."""
        return ReceivedDeliveries(database)

    @provide
    def ticks(self, platform: PlatformDatabase) -> Ticks:
        """The scheduler's claims."""
        return Ticks(platform)

    @provide
    def mailbox(self, settings: Settings, clock: Clock) -> FolderMailbox:
        """The development mailbox."""
        return FolderMailbox(settings.home / "mailbox", clock)

    @provide
    def mailer(self, settings: Settings, mailbox: FolderMailbox, clock: Clock) -> Mailer:
        """Who sends mail: SMTP when configured, else the development mailbox."""
        if settings.smtp_url is None:
            return mailbox
        return SmtpMailer(smtp_server(settings.smtp_url, settings.mail_from), clock)

    @provide
    def objects(self, settings: Settings) -> ObjectStore:
        """Where uploaded files are kept."""
        bucket = s3_bucket(settings)
        return S3ObjectStore(bucket) if bucket is not None else FolderObjectStore(settings.objects_folder or settings.home / "objects")


def s3_bucket(settings: Settings) -> S3Bucket | None:
    """Return the bucket that the settings name, if they name one."""
    if settings.s3_bucket is None:
        return None
    return S3Bucket(
        name=settings.s3_bucket,
        region=settings.s3_region,
        endpoint_url=settings.s3_endpoint_url,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key,
    )


def smtp_server(url: str, sender: str) -> SmtpServer:
    """Return the server of `smtp://user:password@host:port` (STARTTLS; `?security=none` for a relay on this machine) or `smtps://…`."""
    parts = urlsplit(url)
    name, address = parseaddr(sender)
    security = SmtpSecurity.TLS if parts.scheme == "smtps" else SmtpSecurity(parse_qs(parts.query).get("security", ["starttls"])[0])
    return SmtpServer(
        host=parts.hostname or "",
        port=parts.port or (465 if security is SmtpSecurity.TLS else 587),
        sender=address,
        sender_name=name,
        security=security,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
