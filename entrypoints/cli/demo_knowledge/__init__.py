"""Luneo's own documentation, as the knowledge of the demo agent.

Each language has its folder: Markdown texts, and one list of questions and answers. Prices and limits are written nowhere in them: they
come from billing's catalogue, as a rendered text and in place of `$NAMES`.
"""

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template

from contracts.billing.metrics import Metric, shown
from domains.billing.model.catalogue import ADD_ONS, CREDIT_PACKS, FREE, PLANS, Plan
from domains.conversational_ai.model.knowledge_source import Pair, QuestionsContent, TextContent
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.use_cases.create_demo_agent import DemoSource
from shared_kernel.money import Money

_MINOR_UNITS = 100

_FRENCH = {
    "and": " ; ",
    "title": "Offres, prix et limites",
    "prices": "{name} coûte {month} par mois ou {year} par an",
    "free": "{name} est gratuit",
    "plan": "## L'offre {name}",
    "price_line": "Prix : {month} par mois, ou {year} par an.",
    "free_line": "Prix : gratuit.",
    "sales": "Cette offre s'obtient en nous contactant.",
    "trial": "Essai de {days} jours.",
    "limit": "{what} : {value}",
    "unlimited": "illimité",
    "limits": "Limites : ",
    "add_ons": "## Options et packs de crédits",
    "add_on": "{bonus} {what} en plus : {price} par mois",
    "pack": "{credits} crédits : {price}",
    "credit": "Un crédit paie une conversation au-delà du quota, avec tous ses messages.",
}
_ENGLISH = {
    "and": "; ",
    "title": "Plans, prices and limits",
    "prices": "{name} costs {month} a month or {year} a year",
    "free": "{name} is free",
    "plan": "## The plan {name}",
    "price_line": "Price: {month} a month, or {year} a year.",
    "free_line": "Price: free.",
    "sales": "This plan is arranged with our sales team.",
    "trial": "{days} days of trial.",
    "limit": "{what}: {value}",
    "unlimited": "unlimited",
    "limits": "Limits: ",
    "add_ons": "## Add-ons and credit packs",
    "add_on": "{bonus} more {what}: {price} a month",
    "pack": "{credits} credits: {price}",
    "credit": "One credit pays one conversation beyond the quota, with all its messages.",
}
_WORDS = {KnowledgeLanguage.FRENCH: _FRENCH, KnowledgeLanguage.ENGLISH: _ENGLISH}
_METRICS = {
    KnowledgeLanguage.FRENCH: {
        Metric.AGENTS: "agents",
        Metric.KNOWLEDGE_BASES: "bases de connaissances",
        Metric.DOCUMENTS: "documents",
        Metric.STORAGE_GB: "Go de stockage",
        Metric.TEAM_MEMBERS: "membres de l'équipe",
        Metric.CONVERSATIONS: "conversations par mois",
        Metric.MESSAGES_AI: "messages de l'IA par mois",
        Metric.API_CALLS: "appels d'API par mois",
    },
    KnowledgeLanguage.ENGLISH: {
        Metric.AGENTS: "agents",
        Metric.KNOWLEDGE_BASES: "knowledge bases",
        Metric.DOCUMENTS: "documents",
        Metric.STORAGE_GB: "GB of storage",
        Metric.TEAM_MEMBERS: "team members",
        Metric.CONVERSATIONS: "conversations a month",
        Metric.MESSAGES_AI: "AI messages a month",
        Metric.API_CALLS: "API calls a month",
    },
}


def demo_sources() -> tuple[DemoSource, ...]:
    """Return the documentation, in French and English."""
    return tuple(source for language in _WORDS for source in _of(language))


def _of(language: KnowledgeLanguage) -> list[DemoSource]:
    folder = files(__name__) / language.value
    texts = sorted((f for f in folder.iterdir() if f.name.endswith(".md")), key=lambda f: f.name)
    return [
        *(_text(f.read_text(encoding="utf-8"), language) for f in texts),
        _text(plans_text(language), language),
        _questions(folder / "questions.json", language),
    ]


def _text(text: str, language: KnowledgeLanguage) -> DemoSource:
    return DemoSource(name=text.splitlines()[0].removeprefix("# "), language=language, content=TextContent(text))


def _questions(file: Traversable, language: KnowledgeLanguage) -> DemoSource:
    stored = json.loads(file.read_text(encoding="utf-8"))
    values = _values(language)
    pairs = tuple(Pair(p["question"], Template(p["answer"]).substitute(values)) for p in stored["pairs"])
    return DemoSource(name=stored["name"], language=language, content=QuestionsContent(pairs))


def _values(language: KnowledgeLanguage) -> dict[str, object]:
    words = _WORDS[language]
    prices = [
        words["prices" if plan.monthly.amount else "free"].format(
            name=plan.name, month=_money(plan.monthly, language), year=_money(plan.yearly, language)
        )
        for plan in PLANS
    ]
    return {
        "PRICES": words["and"].join(prices) + ".",
        "FREE_AGENTS": FREE.allowances[Metric.AGENTS].limit,
        "FREE_KNOWLEDGE_BASES": FREE.allowances[Metric.KNOWLEDGE_BASES].limit,
        "FREE_CONVERSATIONS": FREE.allowances[Metric.CONVERSATIONS].limit,
    }


def plans_text(language: KnowledgeLanguage) -> str:
    """Return billing's catalogue as a text in French or English."""
    words, metrics = _WORDS[language], _METRICS[language]
    parts = [f"# {words['title']}", *(_plan_text(plan, language) for plan in PLANS)]
    add_ons = [
        words["add_on"].format(bonus=_number(shown(a.metric, a.bonus), language), what=metrics[a.metric], price=_money(a.monthly, language))
        for a in ADD_ONS
    ]
    packs = [words["pack"].format(credits=_number(p.credits, language), price=_money(p.price, language)) for p in CREDIT_PACKS]
    parts.append("\n\n".join([words["add_ons"], words["and"].join(add_ons) + ".", words["and"].join(packs) + ". " + words["credit"]]))
    return "\n\n".join(parts)


def _plan_text(plan: Plan, language: KnowledgeLanguage) -> str:
    words, metrics = _WORDS[language], _METRICS[language]
    price = words["price_line" if plan.monthly.amount else "free_line"]
    sentences = [price.format(month=_money(plan.monthly, language), year=_money(plan.yearly, language))]
    if plan.trial_days:
        sentences.append(words["trial"].format(days=plan.trial_days))
    if not plan.self_service:
        sentences.append(words["sales"])
    limits = []
    for metric, what in metrics.items():
        limit = plan.allowances[metric].limit
        value = words["unlimited"] if limit is None else _number(shown(metric, limit), language)
        limits.append(words["limit"].format(what=what, value=value))
    return "\n\n".join([words["plan"].format(name=plan.name), " ".join(sentences), words["limits"] + words["and"].join(limits) + "."])


def _money(money: Money, language: KnowledgeLanguage) -> str:
    units, cents = divmod(money.amount, _MINOR_UNITS)
    whole = _number(units, language)
    if language is KnowledgeLanguage.FRENCH:
        return f"{whole}{f',{cents:02}' if cents else ''} {money.currency}"
    return f"{money.currency} {whole}{f'.{cents:02}' if cents else ''}"


def _number(value: float, language: KnowledgeLanguage) -> str:
    text = f"{value:,}"
    return text.replace(",", "\N{NO-BREAK SPACE}").replace(".", ",") if language is KnowledgeLanguage.FRENCH else text
