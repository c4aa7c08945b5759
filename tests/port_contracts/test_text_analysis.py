from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.text_analysis.snowball import SnowballTextAnalysis
from domains.conversational_ai.ports.text_analysis import TextAnalysis
from tests.fakes.text_analysis import InMemoryTextAnalysis
from tests.port_contracts.text_analysis import TextAnalysisContract


class TestInMemoryTextAnalysis(TextAnalysisContract):
    @pytest.fixture
    def analysis(self) -> TextAnalysis:
        return InMemoryTextAnalysis()


class TestSnowballTextAnalysis(TextAnalysisContract):
    @pytest.fixture
    def analysis(self) -> TextAnalysis:
        return SnowballTextAnalysis()

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("abonnements", "abonnement"),
            ("résilier", "résiliation"),
            ("données", "donnée"),
            ("subscriptions", "subscription"),
            ("cancelled", "cancel"),
            ("deliveries", "delivery"),
            ("copies", "copie"),
        ],
    )
    def test_the_forms_of_a_word_are_one_term(self, analysis: TextAnalysis, one: str, other: str) -> None:
        assert list(analysis.terms(one)) == list(analysis.terms(other))

    def test_words_whose_space_was_lost_are_found_apart(self, analysis: TextAnalysis) -> None:
        assert list(analysis.terms("savoir plusConservation des messages")) == list(analysis.terms("conservation messages"))

    def test_threads_do_not_mix_up_their_words(self, analysis: TextAnalysis) -> None:
        words = [f"{word}s{number}" for number in range(300) for word in ("nation", "cancell", "donnée", "livrais")]
        expected = SnowballTextAnalysis().terms(" ".join(words))
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(lambda word: next(iter(analysis.terms(word))), words)) == expected
