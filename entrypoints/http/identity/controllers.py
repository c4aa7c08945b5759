"""Sign-up, sign-in, organisations, members and API keys."""

from typing import Any
from uuid import UUID

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler

from contracts.billing.queries import Entitlements
from contracts.http.identity import (
    ApiKeyBody,
    ApiKeyList,
    ChangeMemberBody,
    CookieSessionBody,
    CreateApiKeyBody,
    CreatedApiKeyBody,
    CreateOrganizationBody,
    DeviceBody,
    DeviceList,
    LogInBody,
    MeBody,
    MemberBody,
    MemberList,
    OrganizationBody,
    PlaceBody,
    PlaceList,
    RefreshBody,
    SessionOrganizationBody,
    SignUpAccepted,
    SignUpBody,
    TokenSessionBody,
    UpdateOrganizationBody,
    UserBody,
    VerifyEmailBody,
)
from contracts.identity.permissions import Permission, Role
from contracts.identity.queries import Authentication
from domains.identity.model.names import Locale
from domains.identity.model.session import SessionKind
from domains.identity.ports.directory import Directory, Place
from domains.identity.ports.reading import ApiKeyRow, IdentityReading, MemberRow, OrganizationRow
from domains.identity.use_cases.change_member_role import ChangeMemberRole, ChangeMemberRoleHandler
from domains.identity.use_cases.create_api_key import CreateApiKey, CreateApiKeyHandler
from domains.identity.use_cases.create_organization import CreateOrganization, CreateOrganizationHandler
from domains.identity.use_cases.end_session import EndSession, EndSessionHandler
from domains.identity.use_cases.log_in import LogIn, LogInHandler
from domains.identity.use_cases.refresh_session import RefreshSession, RefreshSessionHandler
from domains.identity.use_cases.remove_member import RemoveMember, RemoveMemberHandler
from domains.identity.use_cases.request_sign_up import RequestSignUp, RequestSignUpHandler
from domains.identity.use_cases.revoke_api_key import RevokeApiKey, RevokeApiKeyHandler
from domains.identity.use_cases.switch_organization import SwitchOrganization, SwitchOrganizationHandler
from domains.identity.use_cases.update_organization import UpdateOrganization, UpdateOrganizationHandler
from domains.identity.use_cases.verify_email import VerifyEmail, VerifyEmailHandler
from entrypoints.http.etags import IfMatch, etag, expected_version
from entrypoints.http.idempotency import KEY_OF_A_PERSON, NO_IDEMPOTENCY
from entrypoints.http.identity.sessions import SessionAnswers
from entrypoints.http.paging import page_of, page_request
from entrypoints.http.routing import public, requires, signed_in
from entrypoints.http.times import in_utc
from shared_kernel.clock import Clock
from shared_kernel.errors import FieldError, InvalidInput, Unauthenticated
from shared_kernel.pagination import DEFAULT_LIMIT
from shared_kernel.principal import Principal

_SIGN_IN = ["Sign-in"]
_ORGANIZATIONS = ["Organisations"]
_API_KEYS = ["API keys"]
SessionAnswer = Response[TokenSessionBody | CookieSessionBody]


@post("/auth/signup", status_code=202, opt=public("has no account yet", rate="sign_in"), tags=_SIGN_IN)
@inject
async def sign_up(
    data: JSONBody[SignUpBody], principal: NamedDependency[Principal], handler: FromDishka[RequestSignUpHandler]
) -> SignUpAccepted:
    """Ask for an account. The answer never tells whether there is one; the mail does."""
    await handler(
        RequestSignUp(
            email=data.email,
            password=data.password,
            full_name=data.full_name,
            organization_name=data.organization_name,
            locale=_language(data.locale),
            requested_by=principal,
        )
    )
    return SignUpAccepted(status="check_your_mailbox")


@post("/auth/verify-email", status_code=200, opt=public("has no account yet", rate="sign_in"), tags=_SIGN_IN)
@inject
async def verify_email(
    data: JSONBody[VerifyEmailBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[VerifyEmailHandler],
    answers: FromDishka[SessionAnswers],
) -> SessionAnswer:
    """Prove the mailbox, which makes the account and its organisation and signs in. A proof works once."""
    if data.token is None and (data.email is None or data.code is None):
        raise InvalidInput(FieldError("token", "missing", "give the link's token, or the email and the code"))
    session = await handler(
        VerifyEmail(token=data.token, email=data.email, code=data.code, session=SessionKind(data.session), requested_by=principal)
    )
    return answers.signed_in(session)


@post("/auth/login", status_code=200, opt=public("signs in", rate="sign_in"), tags=_SIGN_IN)
@inject
async def log_in(
    data: JSONBody[LogInBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[LogInHandler],
    answers: FromDishka[SessionAnswers],
) -> SessionAnswer:
    """Sign in with e-mail and password. 401 for a wrong one and for an unknown account alike, 429 after too many attempts."""
    session = await handler(
        LogIn(
            email=data.email,
            password=data.password,
            remember=data.remember,
            session=SessionKind(data.session),
            requested_by=principal,
        )
    )
    return answers.signed_in(session)


@post("/auth/refresh", status_code=200, opt=public("the refresh token is the credential", rate="refresh"), tags=_SIGN_IN)
@inject
async def refresh(
    request: Request[Principal, Any, Any],
    principal: NamedDependency[Principal],
    handler: FromDishka[RefreshSessionHandler],
    answers: FromDishka[SessionAnswers],
    data: JSONBody[RefreshBody | None] = None,
) -> SessionAnswer:
    """Exchange a refresh token, from the body or else from the cookie, for its successors.

    For 30 seconds the same token gives the very same successors; used again later, it ends the session. The cookie alone is enough, without
    `X-CSRF-Token`: a page of another origin that was opened again could not get it, and all that a forged refresh does is rotate.
    """
    if data is not None and data.refresh_token is not None:
        token, kind = data.refresh_token, SessionKind.TOKEN
    else:
        token, kind = request.cookies.get(answers.refresh_cookie, ""), SessionKind.COOKIE
    if not token:
        raise Unauthenticated
    return answers.signed_in(await handler(RefreshSession(refresh_token=token, kind=kind, requested_by=principal)))


@post("/auth/logout", status_code=204, opt=signed_in("everybody may leave", when_suspended=True), tags=_SIGN_IN)
@inject
async def log_out(
    principal: NamedDependency[Principal], handler: FromDishka[EndSessionHandler], answers: FromDishka[SessionAnswers]
) -> Response[None]:
    """End this session. Its tokens are refused from the next request on."""
    if principal.session_id is not None:
        await handler(EndSession(session_id=principal.session_id, requested_by=principal))
    return answers.signed_out()


@get("/auth/me", opt=signed_in("shows the caller to themselves", when_suspended=True), tags=_SIGN_IN)
@inject
async def me(
    request: Request[Principal, Any, Any],
    principal: NamedDependency[Principal],
    reading: FromDishka[IdentityReading],
    entitlements: FromDishka[Entitlements],
    authentication: FromDishka[Authentication],
) -> MeBody:
    """Return who is calling, for which organisation, and what they may do there."""
    person = await reading.person(principal)
    user = UserBody(id=person.id, email=person.email, full_name=person.full_name, locale=person.locale.value)
    csrf_token = None if "authorization" in request.headers else authentication.csrf_token(principal)
    if principal.organization_id is None:
        return MeBody(user=user, organization=None, role=None, permissions=[], plan=None, csrf_token=csrf_token)
    organization = await reading.organization(principal)
    role = Role(principal.role or Role.VIEWER)
    return MeBody(
        user=user,
        organization=SessionOrganizationBody(
            id=organization.id, name=organization.name, slug=organization.slug, role=role, status=organization.status.value
        ),
        role=role,
        permissions=sorted(principal.permissions),
        plan=(await entitlements.of(principal.organization_id)).plan,
        csrf_token=csrf_token,
    )


@get("/auth/sessions", opt=signed_in("one's own devices", when_suspended=True), tags=_SIGN_IN)
@inject
async def list_sessions(
    principal: NamedDependency[Principal],
    reading: FromDishka[IdentityReading],
    clock: FromDishka[Clock],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = DEFAULT_LIMIT,
) -> DeviceList:
    """List the devices on which the caller is signed in, the newest sign-in first."""
    page = await reading.sessions(principal, page_request(cursor, limit), at=clock.now())
    return DeviceList(
        items=[
            DeviceBody(
                id=row.id,
                kind="token" if row.kind is SessionKind.TOKEN else "cookie",
                current=row.id == principal.session_id,
                remembered=row.remembered,
                user_agent=row.user_agent,
                started_at=row.started_at,
                last_seen_at=row.last_seen_at,
                expires_at=row.expires_at,
            )
            for row in page.items
        ],
        next_cursor=page.next_cursor,
    )


@delete("/auth/sessions/{session_id:uuid}", opt=signed_in("one's own devices", when_suspended=True), tags=_SIGN_IN)
@inject
async def end_session(session_id: FromPath[UUID], principal: NamedDependency[Principal], handler: FromDishka[EndSessionHandler]) -> None:
    """Sign the caller out on one device."""
    await handler(EndSession(session_id=session_id, requested_by=principal))


@post(
    "/organizations",
    status_code=201,
    opt={**signed_in("a person may found organisations", when_suspended=True), KEY_OF_A_PERSON: True},
    tags=_ORGANIZATIONS,
)
@inject
async def create_organization(
    data: JSONBody[CreateOrganizationBody], principal: NamedDependency[Principal], handler: FromDishka[CreateOrganizationHandler]
) -> PlaceBody:
    """Found an organisation that the caller owns. The session goes on for the present one until it is switched."""
    return _place(await handler(CreateOrganization(name=data.name, locale=Locale(data.locale), requested_by=principal)))


@get("/organizations", opt=signed_in("one's own organisations", when_suspended=True), tags=_ORGANIZATIONS)
@inject
async def list_organizations(
    principal: NamedDependency[Principal],
    directory: FromDishka[Directory],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = DEFAULT_LIMIT,
) -> PlaceList:
    """List the organisations that the caller is a member of."""
    if principal.id is None:
        raise Unauthenticated
    places = await directory.places(principal.id)
    page = page_of(places, page_request(cursor, limit), key=lambda place: str(place.organization_id))
    return PlaceList(items=[_place(place) for place in page.items], next_cursor=page.next_cursor)


@get("/organizations/current", opt=requires(Permission.SETTINGS_VIEW), tags=_ORGANIZATIONS)
@inject
async def get_organization(principal: NamedDependency[Principal], reading: FromDishka[IdentityReading]) -> Response[OrganizationBody]:
    """Return the organisation acted for."""
    return _organization(await reading.organization(principal))


@patch("/organizations/current", opt=requires(Permission.SETTINGS_MANAGE), tags=_ORGANIZATIONS)
@inject
async def update_organization(
    data: JSONBody[UpdateOrganizationBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[UpdateOrganizationHandler],
    reading: FromDishka[IdentityReading],
    if_match: IfMatch = None,
) -> Response[OrganizationBody]:
    """Change name or language of the organisation acted for. `If-Match` guards against overwriting somebody else's change."""
    locale = None if data.locale is None else Locale(data.locale)
    expected = expected_version(if_match)
    await handler(UpdateOrganization(name=data.name, locale=locale, expected_version=expected, requested_by=principal))
    return _organization(await reading.organization(principal))


@post(
    "/organizations/{organization_id:uuid}/switch",
    status_code=200,
    # its answer holds tokens, and the session that it ends cannot ask twice: not kept under a key
    opt={**signed_in("among one's own organisations", when_suspended=True), NO_IDEMPOTENCY: True},
    tags=_ORGANIZATIONS,
)
@inject
async def switch_organization(
    organization_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    handler: FromDishka[SwitchOrganizationHandler],
    answers: FromDishka[SessionAnswers],
) -> SessionAnswer:
    """Go on for another of the caller's organisations, in a new session that replaces this one."""
    return answers.signed_in(await handler(SwitchOrganization(organization_id=organization_id, requested_by=principal)))


@get("/members", opt=requires(Permission.TEAM_VIEW), tags=_ORGANIZATIONS)
@inject
async def list_members(
    principal: NamedDependency[Principal],
    reading: FromDishka[IdentityReading],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
) -> MemberList:
    """List the organisation's members."""
    page = await reading.members(principal, page_request(cursor, limit))
    return MemberList(items=[_member(row) for row in page.items], next_cursor=page.next_cursor)


@get("/members/{member_id:uuid}", opt=requires(Permission.TEAM_VIEW), tags=_ORGANIZATIONS)
@inject
async def get_member(
    member_id: FromPath[UUID], principal: NamedDependency[Principal], reading: FromDishka[IdentityReading]
) -> Response[MemberBody]:
    """Return one member."""
    return _one_member(await reading.member(principal, member_id))


@patch("/members/{member_id:uuid}", opt=requires(Permission.TEAM_MANAGE_ROLES), tags=_ORGANIZATIONS)
@inject
async def change_member(  # noqa: PLR0917 - Litestar passes every argument by name
    member_id: FromPath[UUID],
    data: JSONBody[ChangeMemberBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[ChangeMemberRoleHandler],
    reading: FromDishka[IdentityReading],
    if_match: IfMatch = None,
) -> Response[MemberBody]:
    """Give a member another role, from their next request on. 409 `last_owner_must_stay` for the last owner.

    `If-Match` guards against overwriting somebody else's change.
    """
    expected = expected_version(if_match)
    await handler(ChangeMemberRole(member_id=member_id, role=data.role, expected_version=expected, requested_by=principal))
    return _one_member(await reading.member(principal, member_id))


@delete("/members/{member_id:uuid}", opt=requires(Permission.TEAM_REMOVE), tags=_ORGANIZATIONS)
@inject
async def remove_member(
    member_id: FromPath[UUID], principal: NamedDependency[Principal], handler: FromDishka[RemoveMemberHandler], if_match: IfMatch = None
) -> None:
    """Remove a member. 409 `last_owner_must_stay` for the last owner."""
    await handler(RemoveMember(member_id=member_id, expected_version=expected_version(if_match), requested_by=principal))


@get("/api-keys", opt=requires(Permission.SETTINGS_MANAGE), tags=_API_KEYS)
@inject
async def list_api_keys(
    principal: NamedDependency[Principal],
    reading: FromDishka[IdentityReading],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
) -> ApiKeyList:
    """List the organisation's API keys."""
    page = await reading.api_keys(principal, page_request(cursor, limit))
    return ApiKeyList(items=[_api_key(row) for row in page.items], next_cursor=page.next_cursor)


@get("/api-keys/{api_key_id:uuid}", opt=requires(Permission.SETTINGS_MANAGE), tags=_API_KEYS)
@inject
async def get_api_key(
    api_key_id: FromPath[UUID], principal: NamedDependency[Principal], reading: FromDishka[IdentityReading]
) -> ApiKeyBody:
    """Return one API key, without its secret."""
    return _api_key(await reading.api_key(principal, api_key_id))


@post("/api-keys", status_code=201, opt=requires(Permission.SETTINGS_MANAGE), tags=_API_KEYS)
@inject
async def create_api_key(
    data: JSONBody[CreateApiKeyBody], principal: NamedDependency[Principal], handler: FromDishka[CreateApiKeyHandler]
) -> CreatedApiKeyBody:
    """Make an API key; the whole key is in this answer alone. 402 `feature_not_in_plan` when the plan has no API access."""
    expires_at = in_utc("expires_at", data.expires_at)
    made = await handler(
        CreateApiKey(name=data.name, scopes=data.scopes, expires_at=expires_at, sandbox=data.sandbox, requested_by=principal)
    )
    return CreatedApiKeyBody(
        id=made.id,
        key=made.plaintext,
        name=made.name,
        prefix_shown=made.prefix_shown,
        scopes=list(made.scopes),
        sandbox=made.sandbox,
        created_by=made.created_by,
        created_at=made.created_at,
        expires_at=made.expires_at,
        last_used_at=None,
        revoked_at=None,
    )


@delete("/api-keys/{api_key_id:uuid}", opt=requires(Permission.SETTINGS_MANAGE), tags=_API_KEYS)
@inject
async def revoke_api_key(
    api_key_id: FromPath[UUID], principal: NamedDependency[Principal], handler: FromDishka[RevokeApiKeyHandler]
) -> None:
    """End an API key; its next call is refused."""
    await handler(RevokeApiKey(api_key_id=api_key_id, requested_by=principal))


def _language(locale: str | None) -> Locale:
    """Return the language of mails for a locale such as `fr-CA`; English for those that we do not write."""
    language = (locale or "").replace("_", "-").partition("-")[0].casefold()
    return Locale(language) if language in {known.value for known in Locale} else Locale.ENGLISH


def _organization(row: OrganizationRow) -> Response[OrganizationBody]:
    body = OrganizationBody(
        id=row.id,
        name=row.name,
        slug=row.slug,
        locale=row.locale.value,
        status=row.status.value,
        created_at=row.created_at,
        version=row.version,
    )
    return Response(body, headers=etag(row.version))


def _place(place: Place) -> PlaceBody:
    return PlaceBody(
        id=place.organization_id,
        name=place.name,
        slug=place.slug,
        locale=place.locale.value,
        status=place.status.value,
        role=place.role,
        created_at=place.created_at,
    )


def _member(row: MemberRow) -> MemberBody:
    return MemberBody(
        id=row.id,
        user_id=row.user_id,
        email=row.email,
        full_name=row.full_name,
        role=row.role,
        joined_at=row.joined_at,
        version=row.version,
    )


def _one_member(row: MemberRow) -> Response[MemberBody]:
    return Response(_member(row), headers=etag(row.version))


def _api_key(row: ApiKeyRow) -> ApiKeyBody:
    return ApiKeyBody(
        id=row.id,
        name=row.name,
        prefix_shown=row.prefix_shown,
        scopes=list(row.scopes),
        sandbox=row.sandbox,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


route_handlers: list[ControllerRouterHandler] = [
    sign_up,
    verify_email,
    log_in,
    refresh,
    log_out,
    me,
    list_sessions,
    end_session,
    create_organization,
    list_organizations,
    get_organization,
    update_organization,
    switch_organization,
    list_members,
    get_member,
    change_member,
    remove_member,
    list_api_keys,
    get_api_key,
    create_api_key,
    revoke_api_key,
]
