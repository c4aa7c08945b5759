"""Words of French and English: how they are folded, and which of them say nothing about what a text is about."""

import re
import unicodedata
from typing import Final

_LIGATURES: Final = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss"})
# "depuis 2014.Il est commun", "les règles :ne communiquez"; not "luneo.example", "e.g." or "10:30".
_LOST_SPACE: Final = re.compile(r"(?<=[a-zà-öø-ÿ]{2}[.!?;:»])(?=[A-ZÀ-ÖØ-Þ])|(?<=[a-zà-öø-ÿ]{2}[!?;:])(?=[a-zà-öø-ÿ]{2})")

STOP_WORDS: Final = frozenset(
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


def folded(text: str) -> str:
    """Return `text` in lower case without accents."""
    decomposed = unicodedata.normalize("NFKD", text.lower().translate(_LIGATURES))
    if decomposed.isascii():
        return decomposed
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def spaced(text: str) -> str:
    """Return `text` with a space after each mark that lost it, as happens when pages and files are read."""
    return _LOST_SPACE.sub(" ", text.replace("\N{NO-BREAK SPACE}", " "))
