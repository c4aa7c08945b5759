"""Tables of identity.

Tenant tables, under forced row-level security: `organizations` (its own `id` is the tenant), `memberships`, `api_keys`.

Personal tables, which belong to a person and to no organisation, so that no policy of a tenant fits them:

- `users`: a person has one account for all their organisations, and is found by e-mail before any of them is known.
- `sessions`: belongs to a person; `active_organization_id` is where they act, not who owns the row. Found by the id inside a signed token.
- `sign_ups`: exists before any organisation does. Found by the id inside a signed token, or by e-mail.

What is asked across tenants goes through two look-up functions of the role `luneo_platform`: `identity.places_of` (a person's
organisations) and
`identity.organization_with_slug`.
"""

from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Boolean, CheckConstraint, Column, Dialect, ForeignKey, Index, Integer, LargeBinary, Table, Text, TypeDecorator, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from adapters.postgres.mapping import identifier, mappings, metadata, moment
from contracts.identity.permissions import Role
from domains.identity.model.api_key import ApiKey
from domains.identity.model.membership import Membership
from domains.identity.model.names import Locale
from domains.identity.model.organization import Organization, OrganizationStatus
from domains.identity.model.session import EndReason, Session, SessionKind
from domains.identity.model.sign_up import SignUp
from domains.identity.model.user import User

SCHEMA = "identity"
E = TypeVar("E", bound=StrEnum)


class Choice(TypeDecorator[E]):
    """A `StrEnum` in a text column."""

    impl = Text
    cache_ok = True

    def __init__(self, choices: type[E]) -> None:
        super().__init__()
        self.choices = choices

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the text to store."""
        return None if value is None else str(value.value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> E | None:  # noqa: ANN401, ARG002 - same
        """Return the member that was stored."""
        return None if value is None else self.choices(value)


def _version() -> Column[int]:
    return Column("version", Integer, nullable=False)


users = Table(
    "users",
    metadata,
    identifier(primary_key=True),
    Column("email", Text, nullable=False),
    Column("full_name", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("locale", Choice(Locale), nullable=False),
    moment("created_at"),
    moment("email_verified_at"),
    Column("platform_admin", Boolean, nullable=False),
    _version(),
    schema=SCHEMA,
)
Index("uq_users_email", users.c.email, unique=True)

sign_ups = Table(
    "sign_ups",
    metadata,
    identifier(primary_key=True),
    Column("email", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("full_name", Text, nullable=False),
    Column("organization_name", Text),
    Column("locale", Choice(Locale), nullable=False),
    moment("requested_at"),
    moment("expires_at"),
    Column("code_attempts", Integer, nullable=False),
    moment("mailed_at", nullable=True),
    moment("verified_at", nullable=True),
    _version(),
    CheckConstraint("code_attempts between 0 and 5", name="code_attempts_bounded"),
    schema=SCHEMA,
)
Index("ix_sign_ups_email", sign_ups.c.email, sign_ups.c.id)
Index("ix_sign_ups_expires_at", sign_ups.c.expires_at)

sessions = Table(
    "sessions",
    metadata,
    identifier(primary_key=True),
    Column("user_id", ForeignKey("identity.users.id", ondelete="CASCADE"), nullable=False),
    identifier("active_organization_id", nullable=True),
    Column("kind", Choice(SessionKind), nullable=False),
    Column("remembered", Boolean, nullable=False),
    moment("started_at"),
    moment("rotated_at"),
    moment("expires_at"),
    Column("user_agent", Text),
    Column("generation", Integer, nullable=False),
    Column("recent_rotations", ARRAY(TIMESTAMP(timezone=True), as_tuple=True), nullable=False, server_default=text("'{}'")),
    moment("revoked_at", nullable=True),
    Column("revoked_reason", Choice(EndReason)),
    _version(),
    CheckConstraint("kind in ('cookie', 'token')", name="kind_known"),
    CheckConstraint("(revoked_at is null) = (revoked_reason is null)", name="revoked_for_a_reason"),
    schema=SCHEMA,
)
Index("ix_sessions_user_id", sessions.c.user_id, sessions.c.rotated_at)
Index("ix_sessions_expires_at", sessions.c.expires_at)

organizations = Table(
    "organizations",
    metadata,
    identifier(primary_key=True),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("locale", Choice(Locale), nullable=False),
    Column("status", Choice(OrganizationStatus), nullable=False),
    moment("created_at"),
    _version(),
    CheckConstraint("status in ('active', 'suspended')", name="status_known"),
    schema=SCHEMA,
)
Index("uq_organizations_slug", organizations.c.slug, unique=True)

memberships = Table(
    "memberships",
    metadata,
    Column("organization_id", ForeignKey("identity.organizations.id", ondelete="CASCADE"), primary_key=True),
    identifier(primary_key=True),
    Column("user_id", ForeignKey("identity.users.id", ondelete="CASCADE"), nullable=False),
    Column("role", Choice(Role), nullable=False),
    moment("joined_at"),
    _version(),
    CheckConstraint("role in ('owner', 'admin', 'member', 'viewer')", name="role_known"),
    schema=SCHEMA,
)
Index("uq_memberships_organization_id_user_id", memberships.c.organization_id, memberships.c.user_id, unique=True)
Index("ix_memberships_user_id", memberships.c.user_id)

api_keys = Table(
    "api_keys",
    metadata,
    Column("organization_id", ForeignKey("identity.organizations.id", ondelete="CASCADE"), primary_key=True),
    identifier(primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix_shown", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("sandbox", Boolean, nullable=False),
    Column("created_by", ForeignKey("identity.users.id"), nullable=False),
    moment("created_at"),
    moment("expires_at", nullable=True),
    moment("last_used_at", nullable=True),
    moment("revoked_at", nullable=True),
    _version(),
    CheckConstraint(text("cardinality(scopes) between 1 and 100"), name="scopes_counted"),
    schema=SCHEMA,
)
Index("uq_api_keys_digest", api_keys.c.digest, unique=True)

mappings.map_imperatively(User, users, version_id_col=users.c.version)
mappings.map_imperatively(SignUp, sign_ups, version_id_col=sign_ups.c.version)
mappings.map_imperatively(Session, sessions, version_id_col=sessions.c.version)
mappings.map_imperatively(Organization, organizations, version_id_col=organizations.c.version)
mappings.map_imperatively(Membership, memberships, version_id_col=memberships.c.version)
# when a key was last used is written beside the aggregate, by the request that used it
mappings.map_imperatively(ApiKey, api_keys, version_id_col=api_keys.c.version, exclude_properties=["last_used_at"])
