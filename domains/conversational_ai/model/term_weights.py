"""How much each term says of a text: the two sides of BM25 as sparse vectors.

The score of a passage is the sum, over the question's terms, of the term's inverse document frequency, which the index knows, times the
weight that the term has in the passage.

Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

#: A name for all that is below: a change of a weight is a new name.
WEIGHTING: Final = "bm25-pairs-2"

#: How soon a term that is repeated says nothing new, and how much a long passage is held against its terms: the customary values.
SATURATION: Final = 1.2
LENGTH_INFLUENCE: Final = 0.75
#: Terms of a usual passage. A fixed number, so that the weights of a passage do not depend on the others.
USUAL_TERMS: Final = 60


@dataclass(frozen=True, slots=True)
class TermWeights:
    """A sparse vector: `weights[i]` is of the term with number `numbers[i]`; no number twice, all other terms weigh nothing."""

    numbers: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.numbers) != len(self.weights) or len(set(self.numbers)) != len(self.numbers):
            raise ValueError("each number has one weight")

    def __bool__(self) -> bool:
        return bool(self.numbers)


NO_TERMS: Final = TermWeights((), ())


def weights_in_passage(terms: Sequence[str]) -> TermWeights:
    """Return what each term, and each pair of neighbours, says of the passage that has these, between 0 and `SATURATION` + 1.

    A pair is a term of its own, in whichever order: words that stand together in the question count more where they stand together too.
    """
    length = 1 - LENGTH_INFLUENCE + LENGTH_INFLUENCE * len(terms) / USUAL_TERMS
    counts = _counted(terms)
    return TermWeights(tuple(counts), tuple(count * (SATURATION + 1) / (count + SATURATION * length) for count in counts.values()))


def weights_in_question(terms: Sequence[str]) -> TermWeights:
    """Return how often a question has each term, and each pair of neighbours."""
    counts = _counted(terms)
    return TermWeights(tuple(counts), tuple(float(count) for count in counts.values()))


def _counted(terms: Sequence[str]) -> Counter[int]:
    """Count terms and pairs by their numbers, of 32 bits. Two of 100,000 rarely share one, and then both are found."""
    pairs = (f"{one} {other}" if one < other else f"{other} {one}" for one, other in pairwise(terms))
    return Counter(zlib.crc32(term.encode()) for term in (*terms, *pairs))
