"""Words of French and English as the local model compares them.

Accents and case are folded, elisions split off, stop words dropped, endings stripped by a light stemmer, and a short list of what
support questions are about is brought to one concept across both languages, so that "Combien coûte l'abonnement ?" meets "Pricing".
"""

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

from domains.conversational_ai.model.words import STOP_WORDS, folded

_WORD: Final = re.compile(r"[^\W_]+")
_SHORTEST_STEM: Final = 4

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
    if word in STOP_WORDS or (len(word) == 1 and not word.isdigit()):
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
