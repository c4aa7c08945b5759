"""The storage that a source's content takes of the plan. Content that is not kept yet, or no more, takes none."""

from datetime import datetime

from contracts.billing.commands import Quotas
from contracts.billing.metrics import Metric
from domains.conversational_ai.model.knowledge_source import KnowledgeSource, storage_cause
from domains.conversational_ai.ports.agents_and_knowledge import DeletedSource
from shared_kernel.unit_of_work import UnitOfWork


async def take_storage(quotas: Quotas, unit: UnitOfWork, source: KnowledgeSource, *, at: datetime) -> None:
    """Count the bytes of the current content, once. Raises `QuotaExceeded`."""
    if source.size_bytes:
        cause = storage_cause(source.id, source.content_version)
        await quotas.take(unit, metric=Metric.STORAGE_GB, quantity=source.size_bytes, cause="knowledge_source", cause_id=cause, at=at)


async def give_back_storage(quotas: Quotas, unit: UnitOfWork, source: KnowledgeSource | DeletedSource, *, at: datetime) -> None:
    """Give them back, once."""
    if source.size_bytes:
        cause = storage_cause(source.id, source.content_version)
        await quotas.give_back(unit, metric=Metric.STORAGE_GB, quantity=source.size_bytes, cause_id=cause, at=at)
