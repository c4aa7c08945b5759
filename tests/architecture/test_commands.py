"""Every command leaves its entry in the audit trail; the exceptions stand in one list."""

import importlib
import pkgutil
from dataclasses import fields, is_dataclass

import domains
from contracts.identity.permissions import Role
from shared_kernel.principal import Principal
from tests.architecture.unaudited_commands import TESTED_ELSEWHERE, UNAUDITED
from tests.fixtures.app import PASSWORD, Shop, Site
from tests.fixtures.routes import Route, described, example


def commands() -> dict[str, type]:
    """Every use case's input by its name: the dataclasses with `requested_by`."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(domains.__path__, "domains."):
        if ".use_cases." not in module.name:
            continue
        for name, kind in vars(importlib.import_module(module.name)).items():
            ours = isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.name
            if ours and any(f.name == "requested_by" and f.type is Principal for f in fields(kind)):
                found[name] = kind
    return found


def test_there_are_commands_and_each_has_a_handler() -> None:
    found = commands()
    assert {"CreateAgent", "LogIn", "AskQuestion", "ApplyPlan"} <= set(found)
    for name, kind in found.items():
        module = importlib.import_module(kind.__module__)
        assert hasattr(module, f"{name}Handler"), f"{name} has no {name}Handler beside it"


def test_the_lists_name_commands_that_exist() -> None:
    assert set(UNAUDITED) | set(TESTED_ELSEWHERE) <= set(commands())
    assert not set(UNAUDITED) & set(TESTED_ELSEWHERE)


async def test_every_command_writes_an_audit_entry(site: Site) -> None:
    shop = await site.shop()
    silent, reached = [], set()
    for route in described(site.app):
        names = {h.removesuffix("Handler") for h in route.use_case_handlers} & set(commands())
        if not names or not route.in_api or route.name in {"verify_email", "refresh"}:
            continue
        written = await _run(site, shop, route)
        reached |= names
        if names & set(UNAUDITED):
            assert written == 0, f"{route} writes entries: take it off the list"
        elif written == 0:
            silent.append(str(route))
    assert not silent, f"no audit entry from {silent}"
    missing = set(commands()) - reached - set(UNAUDITED) - set(TESTED_ELSEWHERE)
    assert not missing, f"no route's example runs {missing}"


async def test_commands_that_no_example_reaches(site: Site) -> None:
    await site.person(plan="pro")
    written = {row["action"] for row in await site.run("select action from governance.audit_entries")}
    assert {"organization.created", "member.joined", "subscription.opened", "subscription.changed"} <= written


async def _run(site: Site, shop: Shop, route: Route) -> int:
    """Run the route's example once, on an object that is there; return how many audit entries it wrote."""
    caller, ids = shop.owner, shop.ids()
    if route.name in {"log_out", "end_session", "switch_organization"}:
        body = {"email": caller.email, "password": PASSWORD, "session": "token"}
        session = await site.anonymous().made("/auth/login", body)
        caller = type(caller)(caller.client, caller.organization_id, {"authorization": f"Bearer {session['access_token']}"}, caller.email)
        devices = (await caller("GET", "/auth/sessions")).json()["items"]
        ids["session_id"] = next(d["id"] for d in devices if d["current"])
        if route.name == "switch_organization":
            ids["organization_id"] = (await caller.made("/organizations", {"name": "Third"}))["id"]
    if route.name in {"change_member", "remove_member"}:
        spare = await site.member(caller, Role.VIEWER)
        found = (await caller("GET", "/members?limit=100")).json()["items"]
        ids["member_id"] = next(m["id"] for m in found if m["email"] == spare.email)
    if route.name in {"publish_agent", "roll_back_agent"}:  # neither does anything when nothing changed
        await caller.made(f"/agents/{shop.agent_id}", {"greeting": f"For {route.name}"}, "PATCH")
    if route.name == "roll_back_agent":
        await caller.made(f"/agents/{shop.agent_id}/publish", None)
    if route.name == "attach_knowledge":
        await caller.made(f"/agents/{shop.agent_id}/knowledge-bases", {"knowledge_base_ids": []}, "PUT")
    await site.deliver()
    before = await _entries(site)
    body = example(route, shop)
    if route.name in {"edit_agent", "edit_knowledge_base"}:
        body = {"description": f"By {route.name}"}
    answer = await caller(route.method, route.path(ids), body)
    assert answer.is_success, f"{route}: {answer.text}"
    return await _entries(site) - before


async def _entries(site: Site) -> int:
    [row] = await site.run("select count(*) as n from governance.audit_entries")
    return int(row["n"])
