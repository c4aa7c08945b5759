"""The demo organisation of `luneo up`: made once, its credentials kept before it is made, so that a crash in between loses neither."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from adapters.embedded.processes import write_atomically
from domains.conversational_ai.ports.turns import AbandonedTurns
from domains.conversational_ai.use_cases.create_demo_agent import AGENT_SLUG, CreateDemoAgent, CreateDemoAgentHandler, DemoSource
from domains.identity.ports.directory import Directory
from domains.identity.ports.tokens import ApiKeyMaterial, NewApiKey
from domains.identity.use_cases.create_demo_organization import (
    DEMO_EMAIL,
    DEMO_SLUG,
    CreateDemoOrganization,
    CreateDemoOrganizationHandler,
)
from entrypoints.composition.container import make_container
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import Settings
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What `LUNEO_HOME/demo.json` tells about the demo organisation."""

    base_url: str
    email: str
    password: str
    api_key: str
    organization_id: str
    agent_id: str
    agent_slug: str

    def write(self, path: Path) -> None:
        """Write the file whole, with mode 0600."""
        write_atomically(path, json.dumps(asdict(self), indent=2) + "\n")


async def ensure_demo(settings: Settings, *, started_at: datetime, base_url: str, password: str, sources: Sequence[DemoSource]) -> Demo:
    """Make the demo organisation and its agent unless they exist; also say that what ran before `started_at` runs no more."""
    container = make_container(settings, Metrics())
    try:
        await (await container.get(AbandonedTurns)).runners_are_gone(started_at)
        kept = settings.home / "demo-credentials.json"
        if not kept.exists():
            material = await container.get(ApiKeyMaterial)
            organization_id = new_id()
            key = material.new_api_key(organization_id, sandbox=False)
            write_atomically(
                kept, json.dumps({"organization_id": str(organization_id), "api_key": key.plaintext, "shown": key.prefix_shown})
            )
        credentials = json.loads(kept.read_text(encoding="utf-8"))
        organization_id = UUID(credentials["organization_id"])
        if await (await container.get(Directory)).organization_with_slug(DEMO_SLUG) is None:
            material = await container.get(ApiKeyMaterial)
            plain = credentials["api_key"]
            claims = material.read_api_key(plain)
            if claims is None:
                raise ValueError(f"{kept} is damaged: remove it together with the data folder, or restore it")
            create = await container.get(CreateDemoOrganizationHandler)
            await create(
                CreateDemoOrganization(
                    organization_id=organization_id, password=password, key=NewApiKey(plain, credentials["shown"], claims.digest)
                )
            )
        create_agent = await container.get(CreateDemoAgentHandler)
        agent_id = await create_agent(CreateDemoAgent(sources=sources, requested_by=Principal.system(organization_id, name="luneo up")))
    finally:
        await container.close()
    return Demo(
        base_url=base_url,
        email=DEMO_EMAIL,
        password=password,
        api_key=credentials["api_key"],
        organization_id=str(organization_id),
        agent_id=str(agent_id),
        agent_slug=AGENT_SLUG,
    )
