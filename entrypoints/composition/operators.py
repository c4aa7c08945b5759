"""What operators do at the command line against a running installation's database."""

import getpass
import os
import secrets
import sys
from uuid import UUID

from adapters.postgres.messaging.deliveries import RelayedDeliveries
from domains.governance.ports.recorded_trail import AuditedOrganizations
from domains.governance.use_cases.verify_audit_trail import VerifyAuditTrailHandler
from domains.identity.use_cases.create_admin import CreateAdmin, CreateAdminHandler
from entrypoints.cli.audit import verify
from entrypoints.composition.container import make_container
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import Settings
from shared_kernel.clock import Clock
from shared_kernel.pagination import PageRequest

_PASSWORD_VARIABLE = "LUNEO_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable


async def create_admin(settings: Settings, *, email: str, full_name: str) -> int:
    """Create a platform administrator; the password comes from LUNEO_ADMIN_PASSWORD, else the terminal, else is made and printed."""
    password, made = _password()
    container = make_container(settings, Metrics())
    try:
        handler = await container.get(CreateAdminHandler)
        created = await handler(CreateAdmin(email=email, full_name=full_name, password=password))
    finally:
        await container.close()
    print(f"Created {created.email} with the organisation {created.organization_id}.")
    if made:
        print(f"Password: {password}")
    return 0


def _password() -> tuple[str, bool]:
    given = os.environ.get(_PASSWORD_VARIABLE)
    if given:
        return given, False
    if sys.stdin.isatty():
        typed = getpass.getpass("Password (empty: make one): ")
        if typed:
            return typed, False
    return secrets.token_urlsafe(18), True


async def verify_audit(settings: Settings, *, organization: UUID | None, head: str | None) -> int:
    """Verify one trail, or every trail, in the database."""
    container = make_container(settings, Metrics())
    try:
        return await verify(
            await container.get(VerifyAuditTrailHandler), await container.get(AuditedOrganizations), organization=organization, head=head
        )
    finally:
        await container.close()


async def list_events(settings: Settings, *, states: list[str], limit: int) -> int:
    """Print deliveries in `states`, newest first."""
    container = make_container(settings, Metrics())
    try:
        page = await (await container.get(RelayedDeliveries)).listed(PageRequest(limit=limit), states=states)
    finally:
        await container.close()
    for d in page.items:
        print(
            f"{d.id}  {d.state:7}  {d.attempts:2} attempts  {d.consumer}  {d.event_type}  {d.occurred_at:%Y-%m-%d %H:%M:%S}"
            f"  {d.last_error or ''}"
        )
    if not page.items:
        print(f"There is no delivery that is {' or '.join(states)}.")
    return 0


async def replay_events(settings: Settings, *, delivery_id: UUID | None) -> int:
    """Make one dead letter, or all of them, due again."""
    container = make_container(settings, Metrics())
    try:
        deliveries = await container.get(RelayedDeliveries)
        clock = await container.get(Clock)
        count = await deliveries.replay(delivery_id, clock.now())
    finally:
        await container.close()
    print(f"{count} {'delivery is' if count == 1 else 'deliveries are'} due again.")
    return 0
