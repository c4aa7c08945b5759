"""Words of French and English as the local model compares them.

Accents and case are folded, elisions split off, stop words dropped, endings stripped by a light stemmer, and a short list of what
support questions are about is brought to one concept across both languages, so that "Combien coûte l'abonnement ?" meets "Pricing".
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_LIGATURES: Final = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss"})
_SHORTEST_STEM: Final = 4

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
        ments ment ings ing ances ance ences ence ives ive ifs if ites ite iser ise isee ises ies ied ees ee es ed er ers ez ent ant ants e
        s x y ly
        """.split(),  # noqa: SIM905 - a list of endings reads as endings
        key=len,
        reverse=True,
    )
)

_CONCEPTS: Final = (
    "prix tarif tarifs cout couts couter coute coutent combien cost costs price prices pricing fee fees",
    "annuler annulation annule resilier resiliation resilie cancel canceled cancelled cancellation terminate unsubscribe desabonner",
    "rembourser remboursement rembourse remboursements refund refunds refunded reimburse reimbursement",
    "livrer livraison livre livraisons deliver delivery delivered shipping ship shipped expedier expedition",
    "retour retours retourner renvoyer return returns returned",
    "commande commandes commander order orders ordered acheter achat buy purchase",
    "payer paiement paiements paye pay payment payments paying paid",
    "facture factures facturation facturer invoice invoices billing bill",
    "passe mdp password passwords passphrase",
    "compte comptes account accounts",
    "abonnement abonnements abonner forfait forfaits formule plan plans offre offres subscription subscriptions subscribe",
    "horaire horaires heures ouvert ouverte ouverts ouvre ouverture opening hours open",
    "contact contacter contactez joindre reach telephone telephoner phone appeler",
    "mail mails email emails courriel courriels",
    "supprimer suppression supprime effacer effacement delete deletes deleted deletion remove removed erase",
    "creer creation cree create creates created creating",
    "modifier modification changer changement change changes edit update",
    "erreur erreurs probleme problemes panne error errors problem problems issue",
    "connecter connexion login signin",
    "inscrire inscription signup register registration",
    "membre membres utilisateur utilisateurs member members user users",
    "inviter invitation invitations invite invites",
    "essai trial",
    "gratuit gratuite gratuits gratuitement free",
    "garantie garanties warranty guarantee",
    "securite securise secure security",
    "donnee donnees data",
    "confidentialite privacy",
    "langue langues language languages",
    "limite limites limit limits quota quotas",
    "cle cles key keys",
    "fichier fichiers file files document documents",
    "telecharger telechargement download downloads",
    "importer import upload televerser",
    "delai delais duree deadline duration",
    "adresse adresses address addresses",
    "entreprise entreprises societe company companies",
    "equipe equipes team teams",
    "mois mensuel mensuelle mensuels month months monthly",
    "annee annees annuel annuelle annuels year years yearly annual",
)


def folded(text: str) -> str:
    """Return `text` in lower case without accents."""
    decomposed = unicodedata.normalize("NFKD", text.lower().translate(_LIGATURES))
    if decomposed.isascii():
        return decomposed
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def words(text: str) -> list[str]:
    """Return all words of `text`, folded; an elided article is a word of its own."""
    return _WORD.findall(folded(text))


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


def terms(text: str) -> tuple[str, ...]:
    """Return what `text` is about: its words without stop words, as stems and concepts, in order, each once."""
    found: dict[str, None] = {}
    for word, following in pairwise([*words(text), ""]):
        if word == "combien" and following in {"de", "d"}:
            continue  # a number of something, not a price
        if (term := _term(word)) is not None:
            found[term] = None
    return tuple(found)
