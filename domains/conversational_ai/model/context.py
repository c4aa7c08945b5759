"""What of the retrieved passages a model is given to read: each text once, as much as fits."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from domains.conversational_ai.model.citation import CitablePassage


def packed(passages: Sequence[CitablePassage], *, budget: int, count: Callable[[str], int]) -> tuple[CitablePassage, ...]:
    """Return the passages that fit into `budget` tokens, in their order, numbered from 1, without any text twice.

    - Passages of one source that overlap become one, at the place of the better and with its scores; its text still stands verbatim at its
      locator.
    - A text that another source has word for word is left out.
    - What does not fit is left out, and what comes after it may still fit. The best passage always stays.
    """
    kept: list[CitablePassage] = []
    left = budget
    for passage in passages:
        if any(passage.text == other.text for other in kept):
            continue
        place, joined = next(((i, union) for i, other in enumerate(kept) if (union := _union(other, passage))), (len(kept), passage))
        before = count(kept[place].text) if place < len(kept) else 0
        cost = count(joined.text) - before
        if cost > left and kept:
            continue
        left -= cost
        kept[place : place + 1] = [joined]
        kept = _rejoined(kept, place)
    return tuple(replace(passage, number=number) for number, passage in enumerate(kept, start=1))


def _rejoined(kept: list[CitablePassage], grown: int) -> list[CitablePassage]:
    """Return `kept` after one of it grew: it may now overlap another."""
    for i in range(len(kept)):
        if i != grown and (union := _union(kept[min(i, grown)], kept[max(i, grown)])):
            rest = [passage for j, passage in enumerate(kept) if j not in (i, grown)]
            place = min(i, grown)
            return _rejoined([*rest[:place], union, *rest[place:]], place)
    return kept


def _union(better: CitablePassage, other: CitablePassage) -> CitablePassage | None:
    """Return both as one passage where they overlap in their source, else `None`."""
    first, second = sorted((better, other), key=lambda passage: passage.locator.start or 0)
    start, seam, first_end, end = first.locator.start, second.locator.start, first.locator.end, second.locator.end
    if (first.source_id, first.locator.page) != (second.source_id, second.locator.page):
        return None
    if start is None or seam is None or first_end is None or end is None or seam >= first_end:
        return None
    shared = first.text[seam - start :]
    if not (second.text.startswith(shared) or shared.startswith(second.text)):  # of two versions of the source
        return None
    return replace(better, text=first.text + second.text[first_end - seam :], locator=replace(first.locator, end=max(first_end, end)))
