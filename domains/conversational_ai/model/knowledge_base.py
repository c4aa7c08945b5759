"""A knowledge base: a named collection of sources that agents answer from."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID

from contracts.conversational_ai.events import KnowledgeBaseCreated, KnowledgeBaseDeleted
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.model.text import problem_with, refuse
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.errors import NotFound

NAME_LENGTH = 100
DESCRIPTION_LENGTH = 500


@dataclass(eq=False, kw_only=True)
class KnowledgeBase(Aggregate):
    """One knowledge base; its sources are aggregates of their own.

    From its deletion on nothing of it is found; its content is removed soon after.
    """

    AGGREGATE: ClassVar[str] = "knowledge_base"

    id: UUID
    organization_id: UUID
    name: str
    description: str
    language: KnowledgeLanguage
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    version: int = 1

    @classmethod
    def create(
        cls, base_id: UUID, *, organization_id: UUID, name: str, description: str, language: KnowledgeLanguage, at: datetime
    ) -> Self:
        """Return a new, empty knowledge base. Raises `InvalidInput`."""
        _check(name, description)
        base = cls(
            id=base_id,
            organization_id=organization_id,
            name=name.strip(),
            description=description.strip(),
            language=language,
            created_at=at,
            updated_at=at,
        )
        base.record(KnowledgeBaseCreated(knowledge_base_id=base_id, name=base.name))
        base.note(AuditNote(action="knowledge_base.created", after={"name": base.name, "language": language}))
        return base

    def edit(
        self, *, name: str | None = None, description: str | None = None, language: KnowledgeLanguage | None = None, at: datetime
    ) -> None:
        """Change what is given; `None` leaves it. The language of sources that are there stays. Raises `InvalidInput`."""
        before = self._facts()
        after = {
            "name": self.name if name is None else name.strip(),
            "description": self.description if description is None else description.strip(),
            "language": language or self.language,
        }
        _check(after["name"], after["description"])
        changed = [k for k in after if after[k] != before[k]]
        if not changed:
            return
        self.name, self.description, self.language = after["name"], after["description"], KnowledgeLanguage(after["language"])
        self.updated_at = at
        self.note(AuditNote(action="knowledge_base.edited", before={k: before[k] for k in changed}, after={k: after[k] for k in changed}))

    def delete(self, *, sources: int, at: datetime) -> None:
        """Delete the base with its `sources` sources. Raises `NotFound` when it was deleted already."""
        if self.deleted_at is not None:
            raise NotFound
        self.deleted_at = self.updated_at = at
        self.record(KnowledgeBaseDeleted(knowledge_base_id=self.id))
        self.note(AuditNote(action="knowledge_base.deleted", before={"name": self.name, "sources": sources}))

    def _facts(self) -> dict[str, str]:
        return {"name": self.name, "description": self.description, "language": self.language}


def _check(name: str, description: str) -> None:
    refuse(
        [
            problem_with("name", name, minimum=2, maximum=NAME_LENGTH),
            problem_with("description", description, maximum=DESCRIPTION_LENGTH),
        ]
    )
