"""Which of an agent's languages a message is in."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"[a-zàâäçéèêëîïôöùûüÿœæ]+")
_FRENCH = frozenset(
    "le la les un une des du de et est sont je tu il elle nous vous ils elles mon ma mes votre vos notre que qui quoi quel quelle quels quelles comment "
    "pourquoi où quand combien pour avec sans dans sur par ce cette ces ne pas plus à au aux en y d l qu n s c j bonjour merci oui non puis peut "
    "faire avoir être a ai as ont avez avons suis".split()
)
_ENGLISH = frozenset(
    "the a an and is are i you he she we they it my your our what which who how why where when many much for with without in on by this that these "
    "those not do does did can could would should to of at from hello hi thanks thank yes no be have has had me was were will".split()
)
_ACCENTED = re.compile(r"[àâçéèêëîïôùûœ]")


def language_of(text: str, languages: Sequence[str]) -> str:
    """Return the one of `languages` (ISO 639-1) that `text` is written in; the first when it cannot be told.

    Counts the most frequent short words of French and English; an accented letter speaks for French.
    """
    default = languages[0] if languages else "fr"
    words = _WORD.findall(text.casefold())
    french = sum(w in _FRENCH for w in words) + (1 if _ACCENTED.search(text.casefold()) else 0)
    english = sum(w in _ENGLISH for w in words)
    if french == english:
        return default
    found = "fr" if french > english else "en"
    return found if not languages or found in languages else default
