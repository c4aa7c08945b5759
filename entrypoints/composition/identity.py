"""People, organisations, sign-in and access."""

from collections.abc import AsyncIterator
from datetime import timedelta

from dishka import Provider, Scope, provide

from adapters.crypto.argon2_hashing import Argon2PasswordHashing
from adapters.crypto.hmac_mailbox_proofs import HmacMailboxProofs
from adapters.crypto.hmac_tokens import HmacSessionTokens, RandomApiKeys
from adapters.postgres.database import Database
from adapters.postgres.identity.readers import PostgresDirectory, PostgresIdentityReading
from adapters.postgres.identity.standing import PostgresStanding
from adapters.postgres.identity.transactions import PostgresIdentityTransactions
from adapters.postgres.unit_of_work import UnitsOfWork
from contracts.billing.commands import Quotas
from contracts.identity.commands import Confirmations
from contracts.identity.queries import Authentication
from domains.identity.model.session import SessionLifetimes
from domains.identity.ports.directory import Directory
from domains.identity.ports.mailbox_proofs import MailboxProofs
from domains.identity.ports.mailer import Mailer
from domains.identity.ports.password_hashing import PasswordHashing
from domains.identity.ports.reading import IdentityReading
from domains.identity.ports.standing import Standing
from domains.identity.ports.tokens import ApiKeyMaterial, SessionTokens
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.attempts import AttemptLimits
from domains.identity.use_cases.change_member_role import ChangeMemberRoleHandler
from domains.identity.use_cases.create_admin import CreateAdminHandler
from domains.identity.use_cases.create_api_key import CreateApiKeyHandler
from domains.identity.use_cases.create_demo_organization import CreateDemoOrganizationHandler
from domains.identity.use_cases.create_organization import CreateOrganizationHandler
from domains.identity.use_cases.end_session import EndSessionHandler
from domains.identity.use_cases.facade import ConfirmationsFacade, StandingAuthentication
from domains.identity.use_cases.forget_spent import ForgetSpent
from domains.identity.use_cases.founding import Founding
from domains.identity.use_cases.log_in import LogInHandler
from domains.identity.use_cases.on_sign_up_requested import SendSignUpMail
from domains.identity.use_cases.refresh_session import RefreshSessionHandler
from domains.identity.use_cases.remove_member import RemoveMemberHandler
from domains.identity.use_cases.request_sign_up import RequestSignUpHandler
from domains.identity.use_cases.revoke_api_key import RevokeApiKeyHandler
from domains.identity.use_cases.signed_in import TokenIssuer
from domains.identity.use_cases.switch_organization import SwitchOrganizationHandler
from domains.identity.use_cases.update_organization import UpdateOrganizationHandler
from domains.identity.use_cases.verify_email import VerifyEmailHandler
from entrypoints.http.identity.sessions import SessionAnswers
from entrypoints.settings import Settings
from shared_kernel.clock import Clock


class IdentityProvider(Provider):
    """Everything of identity; nothing in it has a state but the password hashing's threads."""

    scope = Scope.APP

    request_sign_up = provide(RequestSignUpHandler)
    verify_email = provide(VerifyEmailHandler)
    log_in = provide(LogInHandler)
    refresh_session = provide(RefreshSessionHandler)
    end_session = provide(EndSessionHandler)
    create_organization = provide(CreateOrganizationHandler)
    update_organization = provide(UpdateOrganizationHandler)
    switch_organization = provide(SwitchOrganizationHandler)
    change_member_role = provide(ChangeMemberRoleHandler)
    remove_member = provide(RemoveMemberHandler)
    create_api_key = provide(CreateApiKeyHandler)
    revoke_api_key = provide(RevokeApiKeyHandler)
    create_demo_organization = provide(CreateDemoOrganizationHandler)
    create_admin = provide(CreateAdminHandler)
    forget_spent = provide(ForgetSpent)
    founding = provide(Founding)
    issuer = provide(TokenIssuer)
    confirmations = provide(ConfirmationsFacade, provides=Confirmations)

    @provide
    def authentication(self, tokens: SessionTokens, api_keys: ApiKeyMaterial, standing: Standing, clock: Clock) -> Authentication:
        """Who is behind a credential; remembers whose sessions it has seen."""
        return StandingAuthentication(tokens, api_keys, standing, clock)

    api_key_material = provide(RandomApiKeys, provides=ApiKeyMaterial)

    @provide
    def transactions(self, units: UnitsOfWork) -> IdentityTransactions:
        """Units of work that see identity's aggregates."""
        return PostgresIdentityTransactions(units)

    @provide
    async def passwords(self) -> AsyncIterator[PasswordHashing]:
        """Argon2id in its pool of threads."""
        hashing = Argon2PasswordHashing()
        yield hashing
        hashing.close()

    @provide
    def directory(self, database: Database) -> Directory:
        """Look-ups across tenants."""
        return PostgresDirectory(database)

    @provide
    def reading(self, database: Database) -> IdentityReading:
        """Readers."""
        return PostgresIdentityReading(database)

    @provide
    def standing(self, database: Database, quotas: Quotas) -> Standing:
        """Whether credentials still stand."""
        return PostgresStanding(database, quotas)

    @provide
    def tokens(self, settings: Settings) -> SessionTokens:
        """Session tokens by the server's keys."""
        return HmacSessionTokens([key.encode() for key in settings.secret_key])

    @provide
    def proofs(self, settings: Settings) -> MailboxProofs:
        """Proofs of a mailbox by the server's keys."""
        return HmacMailboxProofs([key.encode() for key in settings.secret_key])

    @provide
    def lifetimes(self, settings: Settings) -> SessionLifetimes:
        """How long tokens live."""
        return SessionLifetimes(
            access=timedelta(seconds=settings.access_token_seconds),
            refresh=timedelta(seconds=settings.refresh_token_seconds),
            remembered=timedelta(seconds=settings.remembered_refresh_token_seconds),
        )

    @provide
    def attempt_limits(self, settings: Settings) -> AttemptLimits:
        """How many attempts are let through."""
        usual, factor = AttemptLimits(), settings.rate_limit_factor
        return AttemptLimits(
            failed_logins=usual.failed_logins * factor,
            login_window=usual.login_window,
            sign_ups=usual.sign_ups * factor,
            sign_up_window=usual.sign_up_window,
        )

    @provide
    def send_sign_up_mail(
        self, transactions: IdentityTransactions, proofs: MailboxProofs, mailer: Mailer, settings: Settings, clock: Clock
    ) -> SendSignUpMail:
        """The consumer that writes to who signs up; links lead to our own address, never to one from a request."""
        return SendSignUpMail(transactions, proofs, mailer, settings.public_url, clock)

    @provide
    def session_answers(self, settings: Settings, clock: Clock) -> SessionAnswers:
        """How sessions travel."""
        return SessionAnswers(settings.secure_cookies, clock)
