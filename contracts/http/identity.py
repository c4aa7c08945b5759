"""Sign-up, sign-in, organisations, members and API keys over HTTP."""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from contracts.http.base import Example, Request, Response
from contracts.identity.permissions import Role

SessionKindName = Literal["cookie", "token"]
LocaleName = Literal["en", "fr"]


class SignUpBody(Request, frozen=True):
    """A wish for an account.

    `locale` is the language of mails (`en`, `fr`, or such as `fr-CA`); `referral_code` is accepted and has no effect yet.
    """

    EXAMPLE: ClassVar[Example] = {
        "email": "ada@example.com",
        "password": "a quiet river at dawn",
        "full_name": "Ada Lovelace",
        "organization_name": "Analytical Engines",
        "locale": "en",
    }

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

    EXAMPLE: ClassVar[Example] = {"email": "ada@example.com", "code": "482913", "session": "token"}

    token: str | None = None
    email: str | None = None
    code: str | None = None
    session: SessionKindName = "cookie"


class LogInBody(Request, frozen=True):
    """Sign in. `session` says how the client keeps its tokens: a browser in cookies, an application itself."""

    EXAMPLE: ClassVar[Example] = {"email": "ada@example.com", "password": "a quiet river at dawn", "session": "token"}

    email: str
    password: str
    remember: bool = False
    session: SessionKindName = "cookie"


class RefreshBody(Request, frozen=True):
    """A refresh token, of clients without cookies."""

    EXAMPLE: ClassVar[Example] = {"refresh_token": "lrt_example"}

    refresh_token: str | None = None


class UserBody(Response, frozen=True):
    """A person, as they see themselves."""

    EXAMPLE: ClassVar[Example] = {"email": "ada@example.com", "full_name": "Ada Lovelace", "locale": "en"}

    id: UUID
    email: str
    full_name: str
    locale: str


class SessionOrganizationBody(Response, frozen=True):
    """The organisation that a session acts for, and as what; in a suspended one nothing may be done."""

    EXAMPLE: ClassVar[Example] = {"name": "Analytical Engines", "slug": "analytical-engines"}

    id: UUID
    name: str
    slug: str
    role: Role
    status: Literal["active", "suspended"]


class TokenSessionBody(Response, frozen=True):
    """A session whose client keeps the tokens. `expires_in` is the access token's remaining life in seconds."""

    EXAMPLE: ClassVar[Example] = {"access_token": "lat_example", "refresh_token": "lrt_example", "expires_in": 900}

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

    EXAMPLE: ClassVar[Example] = {"csrf_token": "example", "expires_in": 900}

    csrf_token: str
    expires_in: int
    user: UserBody
    organization: SessionOrganizationBody | None


class MeBody(Response, frozen=True):
    """Who is calling, for which organisation, and what they may do there. `csrf_token` is there for sessions in cookies."""

    EXAMPLE: ClassVar[Example] = {"permissions": ["agents:view", "conversations:reply"], "plan": "pro"}

    user: UserBody
    organization: SessionOrganizationBody | None
    role: Role | None
    permissions: list[str]
    plan: str | None
    csrf_token: str | None


class DeviceBody(Response, frozen=True):
    """A signed-in device. `last_seen_at` is exact to within the life of an access token."""

    EXAMPLE: ClassVar[Example] = {"kind": "token", "user_agent": "Mozilla/5.0"}

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

    EXAMPLE: ClassVar[Example] = {"name": "Analytical Engines", "locale": "en"}

    name: str
    locale: LocaleName = "en"


class UpdateOrganizationBody(Request, frozen=True):
    """What is to change."""

    EXAMPLE: ClassVar[Example] = {"name": "Analytical Engines"}

    name: str | None = None
    locale: LocaleName | None = None


class OrganizationBody(Response, frozen=True):
    """The organisation acted for. `version` counts saves and is the `ETag`."""

    EXAMPLE: ClassVar[Example] = {"name": "Analytical Engines", "slug": "analytical-engines", "locale": "en", "version": 3}

    id: UUID
    name: str
    slug: str
    locale: str
    status: Literal["active", "suspended"]
    created_at: datetime
    version: int


class PlaceBody(Response, frozen=True):
    """One of one's own organisations, and one's role there."""

    EXAMPLE: ClassVar[Example] = {"name": "Analytical Engines", "slug": "analytical-engines", "locale": "en"}

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

    EXAMPLE: ClassVar[Example] = {"email": "ada@example.com", "full_name": "Ada Lovelace", "version": 1}

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

    EXAMPLE: ClassVar[Example] = {"role": "admin"}

    role: Role


class CreateApiKeyBody(Request, frozen=True):
    """A new API key.

    `scopes` are permissions; without them the key gets those that a client of agents needs. `sandbox` keys never spend money.
    """

    EXAMPLE: ClassVar[Example] = {"name": "website", "scopes": ["agents:view"], "sandbox": False}

    name: str
    scopes: list[str] | None = None
    expires_at: datetime | None = None
    sandbox: bool = False


class ApiKeyBody(Response, frozen=True):
    """An API key without its secret."""

    EXAMPLE: ClassVar[Example] = {
        "name": "website",
        "prefix_shown": "lun_live_Ab3d",
        "scopes": ["agents:view"],
        "sandbox": False,
        "expires_at": None,
        "last_used_at": None,
        "revoked_at": None,
    }

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

    EXAMPLE: ClassVar[Example] = {"key": "lun_live_example"}

    key: str


class ApiKeyList(Response, frozen=True):
    """API keys, newest first, revoked ones too."""

    items: list[ApiKeyBody]
    next_cursor: str | None
