import pytest

from domains.conversational_ai.model.fusion import fused


def order(dense: list[float], sparse: list[float]) -> list[int]:
    scores = fused(dense, sparse)
    return sorted(range(len(scores)), key=lambda i: -scores[i])


def test_of_two_that_are_alike_in_meaning_the_one_with_the_words_is_first() -> None:
    assert order([0.90, 0.90, 0.80], [0.0, 3.0, 0.0]) == [1, 0, 2]


def test_words_outweigh_a_small_lead_in_meaning_but_not_a_large_one() -> None:
    assert order([0.86, 0.85, 0.80, 0.79], [0.0, 6.0, 0.0, 0.0])[0] == 1
    assert order([0.95, 0.80, 0.80, 0.80], [0.0, 0.4, 0.3, 0.0])[0] == 0


def test_the_scale_of_either_score_does_not_matter() -> None:
    small = fused([0.9, 0.8, 0.7], [1.0, 0.0, 2.0])
    assert fused([90.0, 80.0, 70.0], [0.1, 0.0, 0.2]) == pytest.approx(small)


def test_scores_that_are_all_the_same_decide_nothing() -> None:
    assert order([0.9, 0.8], [0.0, 0.0]) == [0, 1]
    assert fused([0.9], [4.0]) == [0.0]
    assert fused([], []) == []
