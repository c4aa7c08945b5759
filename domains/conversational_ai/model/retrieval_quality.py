"""How well questions find the one right text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

#: Ranks beyond this one count as not found.
LAST_RANK: Final = 10


@dataclass(frozen=True, slots=True)
class RetrievalQuality:
    """Shares of questions whose right text was first, among the first 3 and 5, and the mean of 1 / rank (0 beyond rank 10)."""

    questions: int
    hit_1: float
    hit_3: float
    hit_5: float
    mrr_10: float

    @classmethod
    def of(cls, ranks: Sequence[int | None]) -> Self:
        """Return the quality of these ranks (from 1), one per question; `None` is not found. Raises `ValueError` for no ranks."""
        if not ranks:
            raise ValueError("at least one question is needed")
        found = [rank for rank in ranks if rank is not None and rank <= LAST_RANK]

        def hit(among: int) -> float:
            return sum(rank <= among for rank in found) / len(ranks)

        return cls(len(ranks), hit(1), hit(3), hit(5), sum(1 / rank for rank in found) / len(ranks))
