"""Sign-up, sign-in, organisations, members and API keys over HTTP."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from contracts.http.base import Request, Response
from contracts.identity.permissions import Role

SessionKindName = Literal["cookie", "token"]
LocaleName = Literal["en", "fr"]


class SignUpBody(Request, frozen=True):
    """A wish for an account.

    `locale` is the language of mails (`en`, `fr`, or such as `fr-CA`); `referral_code` is accepted and has no effect yet.
    """

    email: str
    password: str
    full_name: str
    organization_name: str | None = None
    locale: str | None = None
    referral_code: str | None = None


class SignUpAccepted(Response, frozen=True):
    """The same for everybody: what comes next is in the mail."""

    status: Literal["check_your_mailbox"]


class VerifyEmailBody(Request, frozen=True):
    """The proof of a mailbox: the link's `token`, or `email` and the six digits of `code`."""

    token: str | None = None
    email: str | None = None
    code: str | None = None
    session: SessionKindName = "cookie"


class LogInBody(Request, frozen=True):
    """Sign in. `session` says how the client keeps its tokens: a browser in cookies, an application itself."""

    email: str
    password: str
    remember: bool = False
    session: SessionKindName = "cookie"


class RefreshBody(Request, frozen=True):
    """A refresh token, of clients without cookies."""

    refresh_token: str | None = None


class UserBody(Response, frozen=True):
    """A person, as they see themselves."""

    id: UUID
    email: str
    full_name: str
    locale: str


class SessionOrganizationBody(Response, frozen=True):
    """The organisation that a session acts for, and as what; in a suspended one nothing may be done."""

    id: UUID
    name: str
    slug: str
    role: Role
    status: Literal["active", "suspended"]


class TokenSessionBody(Response, frozen=True):
    """A session whose client keeps the tokens. `expires_in` is the access token's remaining life in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    user: UserBody
    organization: SessionOrganizationBody | None


class CookieSessionBody(Response, frozen=True):
    """A session in cookies.

    `csrf_token` goes into the header `X-CSRF-Token` of every unsafe request; after `expires_in` seconds it is time to refresh.
    """

    csrf_token: str
    expires_in: int
    user: UserBody
    organization: SessionOrganizationBody | None


class MeBody(Response, frozen=True):
    """Who is calling, for which organisation, and what they may do there. `csrf_token` is there for sessions in cookies."""

    user: UserBody
    organization: SessionOrganizationBody | None
    role: Role | None
    permissions: list[str]
    plan: str | None
    csrf_token: str | None


class DeviceBody(Response, frozen=True):
    """A signed-in device. `last_seen_at` is exact to within the life of an access token."""

    id: UUID
    kind: SessionKindName
    current: bool
    remembered: bool
    user_agent: str | None
    started_at: datetime
    last_seen_at: datetime
    expires_at: datetime


class DeviceList(Response, frozen=True):
    """Signed-in devices, the newest sign-in first."""

    items: list[DeviceBody]
    next_cursor: str | None


class CreateOrganizationBody(Request, frozen=True):
    """A further organisation, which its maker will own."""

    name: str
    locale: LocaleName = "en"


class UpdateOrganizationBody(Request, frozen=True):
    """What is to change."""

    name: str | None = None
    locale: LocaleName | None = None


class OrganizationBody(Response, frozen=True):
    """The organisation acted for. `version` counts saves and is the `ETag`."""

    id: UUID
    name: str
    slug: str
    locale: str
    status: Literal["active", "suspended"]
    created_at: datetime
    version: int


class PlaceBody(Response, frozen=True):
    """One of one's own organisations, and one's role there."""

    id: UUID
    name: str
    slug: str
    locale: str
    status: Literal["active", "suspended"]
    created_at: datetime
    role: Role


class PlaceList(Response, frozen=True):
    """One's own organisations, the one joined first at the top."""

    items: list[PlaceBody]
    next_cursor: str | None


class MemberBody(Response, frozen=True):
    """A member of the organisation. `version` counts saves and is the `ETag`."""

    id: UUID
    user_id: UUID
    email: str
    full_name: str
    role: Role
    joined_at: datetime
    version: int


class MemberList(Response, frozen=True):
    """Members, in the order in which they joined."""

    items: list[MemberBody]
    next_cursor: str | None


class ChangeMemberBody(Request, frozen=True):
    """A member's new role."""

    role: Role


class CreateApiKeyBody(Request, frozen=True):
    """A new API key.

    `scopes` are permissions; without them the key gets those that a client of agents needs. `sandbox` keys never spend money.
    """

    name: str
    scopes: list[str] | None = None
    expires_at: datetime | None = None
    sandbox: bool = False


class ApiKeyBody(Response, frozen=True):
    """An API key without its secret."""

    id: UUID
    name: str
    prefix_shown: str
    scopes: list[str]
    sandbox: bool
    created_by: UUID
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class CreatedApiKeyBody(ApiKeyBody, frozen=True):
    """A new API key. `key` is the whole key, shown this once."""

    key: str


class ApiKeyList(Response, frozen=True):
    """API keys, newest first, revoked ones too."""

    items: list[ApiKeyBody]
    next_cursor: str | None
