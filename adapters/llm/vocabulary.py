"""Words of French and English as the local model compares them.

Accents and case are folded, elisions split off, stop words dropped, endings stripped by a light stemmer, and a short list of what
support questions are about is brought to one concept across both languages, so that "Combien coûte l'abonnement ?" meets "Pricing".
"""

import re
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Final

from domains.conversational_ai.model.words import STOP_WORDS, folded

# Phrases that mean what one word of the lists below means.
_PHRASES: Final = (
    (re.compile(r"\b(sign|log|check|set) (up|in|out)\b"), r"\1\2"),
    (re.compile(r"\b(?:sans|aucuns?) (?:frais|supplement)\b|\b(?:at )?no (?:extra )?(?:charge|cost)\b|\bfor nothing\b"), "gratuit"),
    (re.compile(r"\b(?:give|giving|bring|bringing|take|send)(?: \w+){0,3} back\b"), "return"),
    (re.compile(r"\b(\d+) ?(?:h|heures?)\b"), r"\1"),
    (
        re.compile(
            r"\bcomment (?:venir|y aller|vous (?:trouver|rejoindre))\b|\bhow (?:do|can) (?:i|we) (?:get (?:there|to you)|find you)\b"
        ),
        "adresse",
    ),
)
_WORD: Final = re.compile(r"[^\W_]+")
_SHORTEST_STEM: Final = 4


def _words_of(file: str) -> str:
    return files(__package__).joinpath(file).read_text("utf-8")


_ENDINGS: Final = tuple(
    sorted(
        """
        issements issement ements ement ations ation itions ition ateurs ateur atrices atrice euses euse eurs eur ables able ibles ible
        ments ment ings ing ances ance ences ence ives ive ifs if ites ite iser ise isee ises ies ied ees ee es ed er ers ons ez ent ant
        ants age ages icienne iciennes icien iciens iques ique e s x y ly
        """.split(),  # noqa: SIM905 - a list of endings reads as endings
        key=len,
        reverse=True,
    )
)

# One concept a line, a word of several the last one's.
_CONCEPTS: Final = _words_of("concepts.txt").splitlines()

# Words that most questions could have: they hardly say what a question is about.
_COMMON_WORDS: Final = _words_of("common_words.txt")


def words(text: str) -> list[str]:
    """Return all words of `text`, folded; an elided article is a word of its own."""
    return _WORD.findall(folded(text))


def _joined(text: str) -> str:
    for phrase, word in _PHRASES:
        text = phrase.sub(word, text)
    return text


def _stripped(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word


_CONCEPT_OF: Final = {word: f"={group.split(maxsplit=1)[0]}" for group in _CONCEPTS for word in group.split()}


@lru_cache(maxsize=16_384)
def _term(word: str) -> str | None:
    if word in STOP_WORDS or (len(word) == 1 and not word.isdigit()):
        return None
    return _CONCEPT_OF.get(word) or _stripped(word)


def is_common(term: str) -> bool:
    """Whether a term hardly says what a text is about: a common word, or a number."""
    return term in _COMMON_TERMS or term.isdigit()


_COMMON_TERMS: Final = frozenset(term for word in _COMMON_WORDS.split() if (term := _term(word)) in {f"={word}", _stripped(word)})


def terms(text: str) -> tuple[str, ...]:
    """Return what `text` is about: its words without stop words, as stems and concepts, in order, each once."""
    found: dict[str, None] = {}
    for word, following in pairwise([*_WORD.findall(_joined(folded(text))), ""]):
        if word == "combien" and following in {"de", "d"}:
            continue  # a number of something, not a price
        if (term := _term(word)) is not None:
            found[term] = None
    return tuple(found)
