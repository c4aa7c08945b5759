"""Words of French and English as the local model compares them.

Accents and case are folded, elisions split off, stop words dropped, endings stripped by a light stemmer, and a short list of what
support questions are about is brought to one concept across both languages, so that "Combien coûte l'abonnement ?" meets "Pricing".
"""

import re
import unicodedata
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Final

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
_LIGATURES: Final = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss"})
_SHORTEST_STEM: Final = 4


def _words_of(file: str) -> str:
    return files(__package__).joinpath(file).read_text("utf-8")


_STOP_WORDS: Final = frozenset(
    """
    a ai aie ais alors apres as assez au aucun aura aussi autre autres aux avant avec avez avoir avons bien bonjour bonsoir c ca car ce
    ceci cela celle celui ces cet cette ceux chaque chez ci comme comment concernant d dans de depuis des dire dis dit dites doit dois
    doivent donc dont du elle elles en encore entre es est et etait etes etre eu faire fais fait faites faut font ici il ils j je jusqu
    l la le les leur leurs lorsqu lui m ma mais me merci mes moi mon n ne ni nos notre nous on ont ou par parce parle parler parlez pas
    pendant permet peu peut peux peuvent plait plus pour pourquoi pourrais pouvez pouvoir pourriez puis puisqu qu quand que quel quelle
    quelles quels qui quoi s sa sais savez savoir se sera ses si sil soit son sont sous souhaite suis sur svp t ta te tes toi ton tous
    tout toute toutes tres tu un une va vais veux veut vos votre voudrais voulez vous vraiment y about above after again all also am an
    and any are aren as at be because been before being below between both but by can cannot could did do does doesn doing don during
    each few for from get give had has have having he hello her here hers hey hi him his how i if in into is isn it its just know let ll
    may me might more most much must my need no nor not of off on once only or other our out over own please re same shall she should so
    some such tell than thank thanks that the their them then there these they this those through to too under until up us ve very want
    was we were what when where which while who whom why will with would you your
    """.split()  # noqa: SIM905 - a list of words reads as words
)

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


def folded(text: str) -> str:
    """Return `text` in lower case without accents."""
    decomposed = unicodedata.normalize("NFKD", text.lower().translate(_LIGATURES))
    if decomposed.isascii():
        return decomposed
    return "".join(character for character in decomposed if not unicodedata.combining(character))


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
    if word in _STOP_WORDS or (len(word) == 1 and not word.isdigit()):
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
