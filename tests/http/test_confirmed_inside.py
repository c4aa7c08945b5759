"""A caller whom the app knows is let in by the signed token; the turn's first transaction confirms them before it does anything else."""

from typing import Any

import httpx
import pytest

from contracts.identity.permissions import Permission, Role, roles_with
from domains.identity.model.session import SessionKind
from domains.identity.use_cases.facade import KnownSessions
from entrypoints.http.routing import ACCESS
from shared_kernel.identifiers import new_id
from tests.fixtures.app import Caller, Site


async def ask(caller: Caller, conversation: str, content: str = "How much?") -> httpx.Response:
    """Ask the question as JSON."""
    return await caller("POST", f"/conversations/{conversation}/messages", {"content": content})


async def known(site: Site, role: Role = Role.OWNER) -> tuple[Caller, str]:
    """Return a caller whose session has answered a turn, and their conversation."""
    owner = await site.person()
    conversation = await site.conversation(owner, await site.agent(owner))
    if role is Role.OWNER:
        caller = owner
    else:
        member = await site.member(owner, role)
        switched = await member.made(f"/organizations/{owner.organization_id}/switch", {"session": "token"})
        caller = Caller(site.client, owner.organization_id, {"authorization": f"Bearer {switched['access_token']}"}, user_id=member.user_id)
    site.model._scripts = [["Nine euros."], ["Ten euros."]]
    assert (await ask(caller, conversation)).status_code == 200
    return caller, conversation


async def stored(site: Site, conversation: str) -> int:
    [row] = await site.run("select count(*) from conversational_ai.messages where conversation_id = %s", (conversation,))
    return int(row["count"])


_REVOKED: list[tuple[str, Any, int, str]] = [
    (
        "update identity.sessions set revoked_at = now(), revoked_reason = 'logout' where user_id = %(user)s",
        Role.OWNER,
        401,
        "unauthenticated",
    ),
    (
        "delete from identity.memberships where user_id = %(user)s and organization_id = %(organization)s",
        Role.MEMBER,
        401,
        "unauthenticated",
    ),
    (
        "update identity.memberships set role = 'viewer' where user_id = %(user)s and organization_id = %(organization)s",
        Role.MEMBER,
        403,
        "permission_denied",
    ),
    ("update identity.organizations set status = 'suspended' where id = %(organization)s", Role.OWNER, 403, "organization_suspended"),
]


@pytest.mark.parametrize(("statement", "role", "status", "code"), _REVOKED, ids=["session", "member", "role", "organization"])
async def test_what_was_taken_away_is_refused_on_the_very_next_turn_and_nothing_is_stored(
    site: Site, statement: str, role: Role, status: int, code: str
) -> None:
    caller, conversation = await known(site, role)
    before = await stored(site, conversation)
    await site.run(statement, {"user": caller.user_id, "organization": caller.organization_id})
    refused = await ask(caller, conversation)
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    if code == "permission_denied":
        assert Permission.CONVERSATIONS_REPLY in refused.json()["detail"]
    assert await stored(site, conversation) == before
    reserved = await site.run(
        "select id from billing.reservations where organization_id = %s and state = 'open'", (caller.organization_id,)
    )
    assert reserved == []


async def test_another_tenants_conversation_is_not_there(site: Site) -> None:
    caller, _ = await known(site)
    _, theirs = await known(site)
    assert (await ask(caller, theirs)).status_code == 404


async def test_who_chose_another_organisation_is_asked_for_as_before(site: Site) -> None:
    caller, conversation = await known(site)
    stranger = await site.person()
    refused = await caller(
        "POST", f"/conversations/{conversation}/messages", {"content": "?"}, luneo_organization=str(stranger.organization_id)
    )
    assert refused.status_code == 403


def test_only_the_turn_is_confirmed_inside(site: Site) -> None:
    inside = {
        (method, route.path)
        for route in site.app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods
        if getattr(handler.opt.get(ACCESS), "confirmed_inside", False)
    }
    assert inside == {("POST", "/api/v1/conversations/{conversation_id:uuid}/messages")}, (
        "each must confirm its caller before it does anything"
    )


def test_roles_are_those_that_hold_the_permission() -> None:
    assert roles_with(Permission.CONVERSATIONS_REPLY) == (Role.OWNER, Role.ADMIN, Role.MEMBER)
    assert roles_with(Permission.BILLING_MANAGE) == (Role.OWNER,)


def test_a_session_is_known_for_what_carries_it_and_the_oldest_is_forgotten() -> None:
    sessions = KnownSessions(most=2)
    first, second, third, user = new_id(), new_id(), new_id(), new_id()
    for session in (first, second, third):
        sessions.remember(session, user, SessionKind.TOKEN)
    assert [sessions.user_of(s, SessionKind.TOKEN) for s in (first, second, third)] == [None, user, user]
    assert sessions.user_of(third, SessionKind.COOKIE) is None
