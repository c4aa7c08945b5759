"""`Idempotency-Key` on every POST that creates or spends, enumerated from the running app."""

from entrypoints.http.idempotency import NO_IDEMPOTENCY, OWN_IDEMPOTENCY
from tests.fixtures.app import Site
from tests.fixtures.routes import described, example

OF_THEIR_OWN = {
    "ask": "a turn runs longer than a transaction: its key stands for the turn",
    "regenerate": "same",
    "switch_organization": "its answer holds tokens, and the session it replaces cannot ask twice",
}
"""Routes for people and keys that keep no answer under a key, each with its reason."""


async def test_every_post_answers_the_same_request_with_its_first_answer(site: Site) -> None:
    shop = await site.shop()
    routes = [r for r in described(site.app) if r.in_api and r.method == "POST" and r.access.who in {"permission", "signed_in"}]
    own = {r.name for r in routes if r.handler.opt.get(OWN_IDEMPOTENCY) or r.handler.opt.get(NO_IDEMPOTENCY)}
    assert own == set(OF_THEIR_OWN)
    tried = 0
    for route in routes:
        if route.name in own or route.name == "log_out":
            continue
        path, body, key = route.path(shop.ids()), example(route, shop), f"key-of-{route.name}"
        first = await shop.owner("POST", path, body, idempotency_key=key)
        assert first.is_success, f"{route}: {first.text}"
        counted = await _rows(site)
        again = await shop.owner("POST", path, body, idempotency_key=key)
        assert (again.status_code, again.content) == (first.status_code, first.content), route
        assert (first.headers.get("idempotent-replayed"), again.headers.get("idempotent-replayed")) == (None, "true"), route
        assert await _rows(site) == counted, f"{route} was run twice"
        tried += 1
    assert tried >= 8


async def _rows(site: Site) -> dict[str, int]:
    """How many rows every table holds that a request may write, but for what counts the requests themselves."""
    tables = await site.run(
        "select schemaname || '.' || tablename as name from pg_tables "
        "where schemaname in ('identity', 'conversational_ai', 'governance', 'messaging')"
    )
    counts = {}
    for table in tables:
        [row] = await site.run(f"select count(*) as n from {table['name']}")  # noqa: S608 - the catalogue's own names
        counts[table["name"]] = row["n"]
    return counts
