"""The model that needs no key and no network: it answers by quoting the retrieved passages.

It words nothing of its own about the knowledge. It picks the sentences that answer, quotes them as they stand, cites where they come
from, and says when it found none. That makes it honest and quick rather than eloquent.
"""

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.llm.evidence import Question, asked, coverage, language_of_passage, odds
from adapters.llm.links import UnlinkedAnswer
from adapters.llm.passages import Unit, units
from adapters.llm.prompt import chat_messages
from adapters.llm.vocabulary import terms, words
from domains.conversational_ai.ports.generative_model import (
    AnswerDelta,
    AnswerFinished,
    FinishReason,
    ModelCannot,
    ModelRequest,
    ReferencePassage,
    Role,
    TokenPrice,
    UnknownModel,
)
from domains.conversational_ai.ports.tokenizer import Tokenizer

LOCAL_MODEL: Final = "local"
_WORD_GROUP: Final = re.compile(r"\s*(?:\S+\s*){1,4}")
_MOST_QUOTES: Final = 3
_SHORT_QUESTION: Final = 2
_NEARLY_ALL: Final = 0.8

_NOTHING_FOUND: Final = {
    "fr": "Je n'ai pas trouvé de réponse à cette question dans les documents à ma disposition.",
    "en": "I found no answer to this question in the documents I have.",
}
_SMALL_TALK: Final = {
    ("greeting", "fr"): "Bonjour ! Comment puis-je vous aider ?",
    ("greeting", "en"): "Hello! How can I help you?",
    ("thanks", "fr"): "Avec plaisir ! N'hésitez pas si vous avez une autre question.",
    ("thanks", "en"): "You're welcome! Feel free to ask anything else.",
    (
        "itself",
        "fr",
    ): "Je suis un assistant automatique : je réponds en citant les documents que l'on m'a confiés. Que voulez-vous savoir ?",
    ("itself", "en"): "I'm an automatic assistant: I answer by quoting the documents that I was given. What would you like to know?",
    ("assent", "fr"): "Très bien ! Avez-vous une autre question ?",
    ("assent", "en"): "Very well! Do you have another question?",
    ("farewell", "fr"): "Au revoir, et à bientôt !",
    ("farewell", "en"): "Goodbye, and see you soon!",
}
# In this order: "thanks, goodbye" is a farewell, "hello and thank you" is thanks.
_SIGNS: Final = (
    ("farewell", frozenset({"revoir", "bye", "goodbye", "bientot", "ciao", "adieu"})),
    ("thanks", frozenset({"merci", "thanks", "thank", "thx", "mercis"})),
    (
        "greeting",
        frozenset({"bonjour", "bonsoir", "salut", "coucou", "hello", "hi", "hey", "greetings", "morning", "afternoon", "evening", "yo"}),
    ),
    ("assent", frozenset({"ok", "okay", "accord", "entendu", "compris", "parfait", "super", "understood", "noted", "perfect", "great"})),
)
_ABOUT_ITSELF: Final = re.compile(
    r"(?:(?:bonjour|bonsoir|salut|hello|hi|hey),? )?(?:(?:mais )?(?:qui (?:es tu|etes vous)|(?:es tu|etes vous|tu es|vous etes) (?:un "
    r"(?:robot|humain)|une (?:vraie personne|personne|machine|ia)|humain|reel)|je parle (?:a|avec) (?:un robot|un humain|une machine|"
    r"une personne))"
    r"|who are you|what are you|are you (?:a |an )?(?:real |actual )?(?:bot|robot|human|machine|ai|person|real)"
    r"|am i (?:talking|speaking|chatting) (?:to|with) (?:a |an )?(?:real )?(?:bot|robot|human|machine|ai|person))"
)
_PLEASANTRIES: Final = frozenset(
    """
    a all allez allons alright and bye cheers d
    are au aide beaucoup bien bonne bot ca comment day de doing encore et everybody everyone for fine good great have
    help how i infiniment je journee la later les lot madame messieurs mesdames mille monsieur much my nice ok okay parfait pour
    reponse see soiree soon so super the team there to toi tous tout toutes toute tres tu va vas very votre vous well you your aimable
    """.split()  # noqa: SIM905 - a list of words reads as words
)
_ENGLISH_SIGNS: Final = frozenset(
    {"bye", "goodbye", "thanks", "thank", "thx", "hello", "hi", "hey", "greetings", "morning", "afternoon", "evening"}
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: ReferencePassage
    unit: Unit
    score: float
    matched: frozenset[str]


class LocalModel:
    """Answers from the passages of the request alone, in the process, for free.

    It answers when a sentence is likely to answer (`adapters.llm.evidence`); else it says the agent's fallback, or that it found nothing.
    How near a passage is, is judged by the cosines of multilingual-e5-small: right passages of a French help desk scored over 0.85 in 98
    of 100, the best passage for a question of another world under 0.84.

    Its token counts are not marked as estimated: it is the provider, and `tokenizer` is how it counts.

    `words_per_second` lets an answer come as slowly as from a large model, so that it can be watched, left and stopped; 0 is as fast as
    possible. The first words never wait.
    """

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        currency: str = "EUR",
        words_per_second: float = 0.0,
    ) -> None:
        self.name = LOCAL_MODEL
        self._seconds_per_word = 1 / words_per_second if words_per_second > 0 else 0.0
        self._tokenizer = tokenizer
        self._price = TokenPrice(currency, 0, 0)

    @property
    def models(self) -> tuple[str, ...]:
        """The one name that it answers to."""
        return (self.name,)

    def price(self, model: str) -> TokenPrice:
        """Return zero. Raises `UnknownModel` for another name than `local`."""
        if model != self.name:
            raise UnknownModel(f"the local model is named {self.name}, not {model!r}")
        return self._price

    async def stream(self, request: ModelRequest) -> AsyncGenerator[AnswerDelta | AnswerFinished]:
        """Yield the answer in groups of a few words. It calls no tools. Raises `UnknownModel`, `ModelCannot`."""
        self.price(request.model)
        if request.answer_format is not None or (request.tool_choice is not None and request.tool_choice.forced):
            raise ModelCannot("The local model answers in plain text: it calls no function and writes no JSON")
        answer, finish_reason = self._answer(request)
        for stop in request.stop:
            answer = answer.partition(stop)[0]
        tokens_in = sum(self._tokenizer.count(message.content) for message in chat_messages(request))
        wait = 0.0
        for group in _WORD_GROUP.findall(answer):
            await asyncio.sleep(wait)
            yield AnswerDelta(group)
            wait = len(group.split()) * self._seconds_per_word
        yield AnswerFinished(finish_reason, tokens_in, self._tokenizer.count(answer), estimated=False, model=self.name, provider=self.name)

    async def aclose(self) -> None:
        """Do nothing: there is no connection to close."""

    def _answer(self, request: ModelRequest) -> tuple[str, FinishReason]:
        said = words(request.question)
        if small_talk := _small_talk(said, request.language):
            return self._cut(small_talk, request.max_tokens)
        quotes = self._quotes(request)
        if not quotes:
            language = "fr" if request.language.startswith("fr") else "en"
            return self._cut(request.fallback.strip() or _NOTHING_FOUND[language], request.max_tokens)
        while len(quotes) > 1 and self._tokenizer.count(_worded(quotes)) > request.max_tokens:
            quotes.remove(min(quotes, key=lambda quote: quote.score))
        unlinked = UnlinkedAnswer(request)
        return self._cut(unlinked.take(_worded(quotes)) + unlinked.rest(), request.max_tokens)

    def _cut(self, text: str, max_tokens: int) -> tuple[str, FinishReason]:
        if self._tokenizer.count(text) <= max_tokens:
            return text, FinishReason.STOP
        kept = ""
        for group in re.findall(r"\s*\S+", text):
            if self._tokenizer.count(f"{kept}{group} …") > max_tokens:
                break
            kept += group
        return f"{kept} …".strip(), FinishReason.LENGTH

    def _quotes(self, request: ModelRequest) -> list[_Candidate]:
        """Return what to quote, in reading order; nothing when no sentence is likely to answer."""
        question = asked(request.question, _before(request), request.passages, request.language)
        candidates = _ranked(question, request.passages)
        if not any(odds(question, candidate.unit, candidate.passage) >= 0 for candidate in candidates):
            return []
        return sorted(_chosen(candidates, question), key=lambda candidate: (candidate.passage.number, candidate.unit.index))


def _before(request: ModelRequest) -> str:
    """What the visitor asked just before, when this question is too short to stand alone ("And yearly?")."""
    if len(terms(request.question)) > _SHORT_QUESTION:
        return ""
    return next((message.content for message in reversed(request.messages) if message.role is Role.USER), "")


def _ranked(question: Question, passages: Sequence[ReferencePassage]) -> list[_Candidate]:
    """Score every quotable unit: rare terms of the question weigh most (BM25's inverse document frequency over the units)."""
    everything = [(passage, unit) for passage in passages for unit in units(passage.text)]
    weights = dict(question.terms)
    for term in weights:
        holding = sum(term in unit.terms or term in unit.question_terms for _, unit in everything)
        weights[term] *= math.log(1 + (len(everything) - holding + 0.5) / (holding + 0.5))
    candidates = []
    for passage, unit in everything:
        score = coverage(question, unit, passage, weights)
        score += 4 * (passage.score - max(p.score for p in passages))
        score += 0.2 * question.is_met_by(unit.text) + 0.1 * (language_of_passage(passage) == question.language)
        score += 0.05 * (unit.index == 0) - 0.15 * unit.is_fragment
        candidates.append(_Candidate(passage, unit, score, unit.terms.union(unit.question_terms).intersection(weights)))
    candidates.sort(key=lambda candidate: candidate.score, reverse=True)
    return candidates


def _chosen(candidates: Sequence[_Candidate], question: Question) -> list[_Candidate]:
    """Return the best candidate with what belongs to it, at most three in all.

    That is what adds a term of the question, and the sentence before or after that also has the amount or time that was asked for. When the
    best is in the question's language, all are.
    """
    best = candidates[0]
    if best.unit.question is not None and best.matched & best.unit.question_terms:
        # A question-and-answer pair: the answer is what stands under its question, from the start.
        answer = [c for c in candidates if c.passage is best.passage and c.unit.question == best.unit.question]
        return sorted(answer, key=lambda candidate: candidate.unit.index)[:_MOST_QUOTES]
    chosen = [best]
    if language_of_passage(best.passage) == question.language:
        candidates = [c for c in candidates if language_of_passage(c.passage) == question.language]
    for candidate in candidates[1:]:
        if len(chosen) == _MOST_QUOTES or candidate.score < 0.6 * best.score:
            break
        if any(_says_the_same(candidate.unit, other.unit) for other in chosen):
            continue
        follows = any(candidate.passage is c.passage and candidate.unit.index - c.unit.index == 1 for c in chosen)
        adds = candidate.matched - frozenset[str]().union(*(c.matched for c in chosen))
        if adds or (follows and candidate.matched):
            chosen.append(candidate)
    if question.kind is not None:
        beside = [c for c in candidates if c.passage is best.passage and abs(c.unit.index - best.unit.index) == 1 and c not in chosen]
        chosen += [c for c in beside if question.is_met_by(c.unit.text)][: _MOST_QUOTES - len(chosen)]
    return chosen


def _says_the_same(one: Unit, other: Unit) -> bool:
    """Passages overlap, so the same sentence may come twice, once cut."""
    both = len(one.terms | other.terms)
    return one.text in other.text or other.text in one.text or (both > 0 and len(one.terms & other.terms) / both > _NEARLY_ALL)


def _worded(quotes: Sequence[_Candidate]) -> str:
    """Join the quotes in order; each run from one passage ends with its citation mark."""
    parts: list[str] = []
    for position, quote in enumerate(quotes):
        following = quotes[position + 1] if position + 1 < len(quotes) else None
        run_goes_on = following is not None and following.passage is quote.passage and following.unit.index == quote.unit.index + 1
        mark = "" if run_goes_on else f" [{quote.passage.number}]"
        separator = "" if following is None else "\n" if "\n" in quote.unit.text or "\n" in following.unit.text else " "
        parts.append(f"{quote.unit.text}{mark}{separator}")
    return "".join(parts)


def _small_talk(said: Sequence[str], language: str) -> str | None:
    """Return a polite word when the message is nothing but a greeting, thanks, assent, a farewell or a question about the speaker."""
    spoken = language[:2] if language[:2] in {"fr", "en"} else "en" if _ENGLISH_SIGNS.intersection(said) else "fr"
    if _ABOUT_ITSELF.fullmatch(" ".join(said)):
        return _SMALL_TALK["itself", spoken]
    for kind, signs in _SIGNS:
        if signs.intersection(said) and all(word in _PLEASANTRIES or any(word in known for _, known in _SIGNS) for word in said):
            return _SMALL_TALK[kind, spoken]
    return None
