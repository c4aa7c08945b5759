"""What a customer sees of knowledge that no worker survives."""

from datetime import timedelta

from adapters.postgres.messaging.deliveries import LEASE, MOST_ATTEMPTS, ReceivedDeliveries, RelayedDeliveries
from shared_kernel.clock import Clock
from tests.fixtures.app import PRICES, Site


async def test_a_source_whose_indexing_kills_every_worker_is_shown_as_failed(site: Site) -> None:
    owner = await site.person()
    base = await owner.made("/knowledge-bases", {"name": "Prices", "language": "en"})
    sources = f"/knowledge-bases/{base['id']}/sources"
    source = await owner.made(sources, {"type": "text", "name": "Prices", "content": PRICES})
    now = (await site.container.get(Clock)).now()
    relayed, received = await site.container.get(RelayedDeliveries), await site.container.get(ReceivedDeliveries)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        [delivery] = await relayed.claim(now)
        begun = await received.begin(delivery.id, delivery.organization_id, now)
        assert begun is not None
        assert begun.delivery.attempt == attempt
        now += LEASE + timedelta(seconds=1)
    await site.run("update messaging.deliveries set due_at = now() where state = 'running'")
    assert await site.deliver() == 1
    shown = (await owner("GET", f"{sources}/{source['id']}")).json()
    assert (shown["status"], shown["error"]) == ("failed", "Indexing was interrupted each time it was tried, for a reason on our side")
    audited = (await owner("GET", "/audit-events?action=knowledge_source.failed")).json()["items"]
    assert [entry["target_id"] for entry in audited] == [source["id"]]
    assert await site.deliver() == 0
