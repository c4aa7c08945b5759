"""What ships with the product: templates that are complete, and a documentation that is true to the catalogue."""

import pytest

from domains.billing.model.catalogue import PLANS
from domains.conversational_ai.model.agent import AgentSettings, OfferedModels
from domains.conversational_ai.model.agent_template import TEMPLATES, AgentTemplate
from domains.conversational_ai.model.knowledge_source import QuestionsContent
from domains.conversational_ai.model.languages import KnowledgeLanguage, Language
from entrypoints.cli.demo_knowledge import demo_sources, plans_text

MODELS = OfferedModels(default="local", names=frozenset({"local"}))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.slug)
@pytest.mark.parametrize("language", Language)
def test_an_agent_of_a_template_can_be_published_at_once(template: AgentTemplate, language: Language) -> None:
    settings = AgentSettings(model="local").changed(template.settings_in(language))
    assert settings.missing(MODELS) == []
    assert settings.greeting
    assert not settings.suggested_questions, "no template knows what the knowledge answers"


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_demo_knowledge_is_the_same_in_both_languages(language: str) -> None:
    mine = [s for s in demo_sources() if s.language.value == language]
    other = [s for s in demo_sources() if s.language.value != language]
    assert [len(s.content.chunks()) for s in mine] == [len(s.content.chunks()) for s in other]
    assert len({s.name for s in mine}) == len(mine) == 7
    assert all("$" not in s.content.text for s in mine)
    assert all(len(chunk.text) <= 900 for s in mine for chunk in s.content.chunks())


@pytest.mark.parametrize("language", [KnowledgeLanguage.FRENCH, KnowledgeLanguage.ENGLISH])
def test_prices_come_from_the_catalogue(language: KnowledgeLanguage) -> None:
    text = plans_text(language).replace("\N{NO-BREAK SPACE}", "").replace(",", "")
    for plan in PLANS:
        assert plan.name in text
        assert str(plan.monthly.amount // 100 or "") in text
    answers = next(s.content for s in demo_sources() if s.language is language and isinstance(s.content, QuestionsContent))
    assert all(plan.name in answers.pairs[0].answer for plan in PLANS)
