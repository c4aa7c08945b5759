"""The container of one process."""

from dishka import STRICT_VALIDATION, AsyncContainer, make_async_container

from entrypoints.composition.billing import BillingProvider
from entrypoints.composition.conversations import ConversationsProvider
from entrypoints.composition.foundation import FoundationProvider, Subscriptions
from entrypoints.composition.governance import GovernanceProvider
from entrypoints.composition.identity import IdentityProvider
from entrypoints.composition.knowledge import KnowledgeProvider
from entrypoints.composition.models import ModelsProvider
from entrypoints.composition.subscriptions import SUBSCRIPTIONS
from entrypoints.composition.system import SystemProvider
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import Settings

PROVIDERS = (
    FoundationProvider,
    IdentityProvider,
    BillingProvider,
    GovernanceProvider,
    KnowledgeProvider,
    ModelsProvider,
    ConversationsProvider,
    SystemProvider,
)


def make_container(settings: Settings, metrics: Metrics) -> AsyncContainer:
    """Return a container on the running event loop; nothing connects before it is asked for."""
    return make_async_container(
        *(provider() for provider in PROVIDERS),
        context={Settings: settings, Metrics: metrics, Subscriptions: SUBSCRIPTIONS},
        validation_settings=STRICT_VALIDATION,
    )
