"""A delivery that reached two workers: the slower one cannot undo what the faster one finished."""

from datetime import UTC, datetime

import pytest

from domains.conversational_ai.model.knowledge_source import KnowledgeSource, SourceStatus, TextContent
from domains.conversational_ai.model.languages import KnowledgeLanguage
from shared_kernel.identifiers import new_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def ready() -> KnowledgeSource:
    """A source whose content is found."""
    source = KnowledgeSource.add(
        new_id(),
        organization_id=new_id(),
        knowledge_base_id=new_id(),
        name="Hours",
        language=KnowledgeLanguage.ENGLISH,
        content=TextContent("We open at nine."),
        at=NOW,
    )
    source.indexing(done=0, total=1, at=NOW)
    source.indexed(passages=1, model="a model", at=NOW)
    source.take_events()
    source.take_notes()
    return source


def test_progress_told_too_late_changes_nothing(ready: KnowledgeSource) -> None:
    ready.indexing(done=0, total=1, at=NOW)
    assert (ready.status, ready.passages_done) == (SourceStatus.READY, 1)


def test_a_failure_told_too_late_changes_nothing(ready: KnowledgeSource) -> None:
    ready.stumbled("The index does not answer; it will be tried again", at=NOW)
    ready.failed("The index does not answer", at=NOW)
    assert (ready.status, ready.error) == (SourceStatus.READY, None)
    assert list(ready.take_events()) == []
