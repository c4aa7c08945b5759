"""One order from two scores: how near a passage is to a question in meaning, and how much of its words it has."""

import math
from collections.abc import Sequence
from typing import Final

#: What each score counts, once both are standardised. docs/guides/retrieval.md has the measurements.
DENSE_SHARE: Final = 0.7
SPARSE_SHARE: Final = 1 - DENSE_SHARE


def fused(dense: Sequence[float], sparse: Sequence[float]) -> list[float]:
    """Return one score per candidate of one question, higher is better: the weighted sum of both as standard scores.

    Standard scores (distance from the mean in standard deviations) bring a cosine and a BM25 score to one scale. They compare candidates of
    one question and say nothing across questions.
    """
    return [DENSE_SHARE * d + SPARSE_SHARE * s for d, s in zip(_standardised(dense), _standardised(sparse), strict=True)]


def _standardised(scores: Sequence[float]) -> list[float]:
    if not scores:
        return []
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    return [(score - mean) / deviation for score in scores] if deviation > 1e-9 else [0.0] * len(scores)  # noqa: PLR2004 - rounding
