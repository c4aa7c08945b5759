"""How much speaks for a sentence of a passage as the answer to a question, and whether it is enough to answer at all.

Three things speak for it: how many of the question's terms the sentence, what it stands under and its passage hold, weighted by how much
they say; how near the passage was found to be; whether it has what was asked for (an amount, a time, a name). What the question is about
and no passage mentions speaks against it: near misses share every word but that one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from adapters.llm.passages import Unit
from adapters.llm.vocabulary import is_common, terms
from domains.conversational_ai.model.language import language_of
from domains.conversational_ai.model.words import folded
from domains.conversational_ai.ports.generative_model import ReferencePassage

_COMMON_WEIGHT: Final = 0.25
_EVERYWHERE_WEIGHT: Final = 0.3
_NEARLY_ALL: Final = 0.8
_FEW: Final = 3
# How much a term counts where it was found: in the sentence, the question above it, its heading or title, the rest of its passage.
_PLACES: Final = (1.0, 0.9, 0.7, 0.5)

_AMOUNT: Final = re.compile(
    r"\d\s?(?:€|\$|£|%|eur\b|usd\b|chf\b|euros?|dollars?|pounds?|cents?\b|centimes?|francs?)|[€$£]\s?\d|gratui|\bfree\b|\bfrais\b|\bfees?\b"
    r"|moitie prix|half price"
)
_NUMBER: Final = re.compile(
    r"\d|\b(?:une?|deux|trois|quatre|cinq|six|sept|huit|neuf|dix|onze|douze|quinze|vingt|trente|cent|one|two|three|four|five|seven|eight|nine"
    r"|ten|eleven|twelve|twenty|thirty|half|moitie|jamais|never|illimite\w*|unlimited|no|sans|aucune?)\b"
)
_TIME: Final = re.compile(
    r"\d|\b(?:(?:lun|mar|mercre|jeu|vendre|same)dis?|dimanches?|(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
    r"|janvier|fevrier|mars|avril|mai|juin|juillet|aout|septembre|octobre|novembre|decembre|january|february|march|april|may|june|july"
    r"|august|september|october|november|december|jours?|semaines?|mois|days?|weeks?|months?|matin|soir|midi|minuit|morning|evening|noon"
    r"|midnight|heures?|hours?|des que|as soon|avant|before|apres|after)\b"
)
_DURATION: Final = re.compile(
    r"(?:\d|\b(?:une?|deux|trois|quatre|cinq|six|sept|huit|neuf|dix|douze|quinze|vingt|trente|demi|a|an|one|two|three|four|five|seven|eight"
    r"|nine|ten|eleven|twelve|twenty|thirty|half|month|year))[ -](?:\w+[ -])?(?:secondes?|seconds?|minutes?|heures?|hours?|jours?|days?"
    r"|semaines?|weeks?|mois|months?|ans?|annees?|years?)\b|\b(?:jamais|never|illimite\w*|unlimited)\b"
)
_PLACE: Final = re.compile(
    r"\b(?:rue|avenue|place|boulevard|quai|street|road|square|derriere|behind|near|pres|arret|bus|tramway|metro|gare|station|etage|floor"
    r"|metres?|km|menu|rubrique|reglages|settings|page|in|at|under|sous|dans|sur|chez|au|aux|en)\b"
)
_NAME: Final = re.compile(
    r"(?:\b(?:M|MM|Mme|Mlle|Dr|Pr|Mr|Mrs|Ms)\.? ?[A-ZÀ-Þ])|[A-ZÀ-Þ][a-zà-ÿ]+(?:-[A-ZÀ-Þ][a-zà-ÿ]+)? [A-ZÀ-Þ][a-zà-ÿ]+|\S@\S"
)
_ASKED: Final = (
    (
        re.compile(r"\bcombien (?:ca |cela )?coute|\bprix\b|\btarif|\bhow much\b|\b(?:what|how)\b.{0,30}\bcosts?\b|\bprices?\b|\bfees?\b"),
        _AMOUNT,
    ),
    (re.compile(r"\bcombien de (?:temps|jours|semaines|mois)\b|\bhow long\b|\b(?:duree|delai)\b"), _DURATION),
    (
        re.compile(r"\bcombien\b|\bhow (?:many|old|far|big|large|often|high|tall)\b|\b(?:hauteur|duree|montant|taille) (?:de|du|des)\b"),
        _NUMBER,
    ),
    (re.compile(r"\bquand\b|\bwhen\b|\bquelle heure\b|\bquels? jours?\b|\bquelle date\b|\bw(?:hat|hich) (?:time|days?|date)\b"), _TIME),
    (re.compile(r"^(?:et |and )?(?:ou|where)\b|\badresse\b|\bcomment venir\b"), _PLACE),
)
# The words of these kinds ask, they are not what is asked about.
_ASKING: Final = re.compile(
    r"\b(?:combien (?:de temps|d'|de )|how (?:many|long|often)\b|(?:a |de |jusqu'a )?quelle heure|quels? jours?|quelle date|w(?:hat|hich)"
    r" (?:time|days?|date)\b)"
)
_ASKS_WHO: Final = re.compile(r"^(?:et |and )?(?:a |avec |pour |to |with )?(?:qui|whom?)\b|\bnom d(?:u|e la|es)\b|\bname of (?:the|your)\b")


# Log-odds that a sentence answers: a logistic regression over the questions of `tests/quality/worlds/tuning`, rounded.
_BIAS: Final = 1.0
_COVERED: Final = 1.3
_NEAR: Final = 0.7
_STANDS_OUT: Final = 1.2
_MET: Final = 0.15
_UNHEARD: Final = -1.9
_UNHEARD_SHARE: Final = -1.2
_UNHEARD_ELSEWHERE: Final = -0.3  # in passages of another language, where most words are unheard of by nature
# Cosines of multilingual-e5-small: a passage about something else lies under the middle, and a step more or less says nothing more.
_MIDDLE: Final = 0.84
_STEP: Final = 0.05
_MOST_STEPS: Final = 1.2
_MOST_UNHEARD: Final = 2
_FLOOR: Final = 0.82  # as near as this a passage about something else comes too


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    `terms` has what it is about, with how much each says; `kind` and `asks_who` what the answer must have. `language` is what to answer
    in; it `is_foreign` when every passage is in another language than it. No passage holds a term that is `unheard`. `stands_out` (0 to 1)
    is how much nearer one passage is than all others: to what nothing answers many are about as near.
    """

    terms: dict[str, float]
    kind: re.Pattern[str] | None
    asks_who: bool
    language: str
    is_foreign: bool
    unheard: frozenset[str]
    stands_out: float

    @property
    def weight(self) -> float:
        """How much all of its terms say."""
        return sum(self.terms.values())

    def is_met_by(self, text: str) -> bool:
        """Whether `text` has the amount, number, time or name that is asked for; `True` when none is."""
        if self.asks_who and not _NAME.search(text):
            return False
        return self.kind is None or self.kind.search(folded(text)) is not None


def asked(question: str, earlier: str, passages: Sequence[ReferencePassage], language: str) -> Question:
    """Take a question apart; `earlier` is the one before, when this is too short to stand alone.

    A common word and a term of nearly every passage (the product's name) say little.
    """
    plain = folded(question).strip()
    about = [about_of(passage) for passage in passages]
    weights: dict[str, float] = {}
    for term in terms(_ASKING.sub(" ", plain)) or terms(plain):
        everywhere = len(about) > _FEW and sum(term in found for found in about) >= _NEARLY_ALL * len(about)
        weights[term] = _COMMON_WEIGHT if is_common(term) else _EVERYWHERE_WEIGHT if everywhere else 1.0
    known = frozenset[str]().union(*about)
    unheard = frozenset(term for term, weight in weights.items() if term not in known and weight == 1.0)
    for term in terms(earlier):
        weights.setdefault(term, _EVERYWHERE_WEIGHT)
    kind = next((holds for asks, holds in _ASKED if asks.search(plain)), None)
    written_in = language_of(question, (language[:2], "fr", "en"))
    is_foreign = all(language_of_passage(passage) != written_in for passage in passages)
    return Question(
        weights,
        kind,
        _ASKS_WHO.search(plain) is not None,
        language[:2],
        is_foreign,
        unheard,
        _stands_out(passages),
    )


def _stands_out(passages: Sequence[ReferencePassage]) -> float:
    first, second = sorted((_FLOOR, _FLOOR, *(passage.score for passage in passages)), reverse=True)[:2]
    return min((first - second) / _STEP, 1.0)


@lru_cache(maxsize=512)
def _about(text: str) -> frozenset[str]:
    return frozenset(terms(text))


def about_of(passage: ReferencePassage) -> frozenset[str]:
    """Return every term of a passage and its names."""
    return _about(f"{passage.title}\n{passage.heading or ''}\n{passage.text}")


@lru_cache(maxsize=512)
def _written_in(text: str) -> str:
    return language_of(text, ())


def language_of_passage(passage: ReferencePassage) -> str:
    """Return the language that it says, else the one that it looks written in."""
    return (passage.language or _written_in(passage.text))[:2]


def coverage(question: Question, unit: Unit, passage: ReferencePassage, weights: dict[str, float]) -> float:
    """Return the share (0 to 1) of what the question is about that is found, `weights` saying what its terms count.

    A term counts whole in the sentence, less in the question above it, in its heading or title, and least elsewhere in its passage.
    """
    named = unit.heading_terms | _about(f"{passage.title}\n{passage.heading or ''}")
    places = (unit.terms, unit.question_terms, named, about_of(passage))
    whole = sum(weights[term] for term in question.terms)
    found = 0.0
    for term in question.terms:
        found += weights[term] * next((share for share, place in zip(_PLACES, places, strict=True) if term in place), 0.0)
    return found / whole if whole else 0.0


def odds(question: Question, unit: Unit, passage: ReferencePassage) -> float:
    """Return the log-odds that the sentence answers the question: 0 or more is enough."""
    steps = max(-1.0, min((passage.score - _MIDDLE) / _STEP, _MOST_STEPS))
    covered = coverage(question, unit, passage, question.terms)
    said = _BIAS + _COVERED * covered + _NEAR * steps + _STANDS_OUT * question.stands_out + _MET * question.is_met_by(unit.text)
    if not covered and steps < 0:
        said += _UNHEARD
    if not question.unheard:
        return said
    if question.is_foreign:
        return said + _UNHEARD_ELSEWHERE
    share = sum(question.terms[term] for term in question.unheard) / question.weight
    return said + _UNHEARD * min(len(question.unheard), _MOST_UNHEARD) + _UNHEARD_SHARE * share
