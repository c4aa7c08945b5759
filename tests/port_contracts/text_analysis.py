"""What every text analysis does, the fake and the real one."""

import pytest

from domains.conversational_ai.ports.text_analysis import TextAnalysis


class TextAnalysisContract:
    """Subclass it with a fixture `analysis`."""

    def test_its_name_is_stable(self, analysis: TextAnalysis) -> None:
        assert analysis.name
        assert analysis.name == analysis.name

    def test_a_text_has_the_same_terms_each_time_in_order_and_as_often(self, analysis: TextAnalysis) -> None:
        found = analysis.terms("cloud rain cloud")
        assert len(found) == 3
        assert found[0] == found[2] != found[1]
        assert list(analysis.terms("cloud rain cloud")) == list(found)

    @pytest.mark.parametrize(
        ("one", "other"),
        [("Été", "ete"), ("CLOUD", "cloud"), ("cœur", "coeur"), ("l'abonnement", "abonnement"), ("qu’abonnement", "abonnement")],
    )
    def test_case_accents_and_elisions_make_no_difference(self, analysis: TextAnalysis, one: str, other: str) -> None:
        assert list(analysis.terms(one)) == list(analysis.terms(other)) != []

    @pytest.mark.parametrize("text", ["", "   \n", "…!?", "le la les de du", "the of and", "\ud800"])
    def test_what_says_nothing_has_no_terms(self, analysis: TextAnalysis, text: str) -> None:
        assert list(analysis.terms(text)) == []

    def test_numbers_and_other_scripts_are_terms(self, analysis: TextAnalysis) -> None:
        assert list(analysis.terms("7")) == ["7"]
        assert len(analysis.terms("article 4471")) == 2
        assert len(analysis.terms("東京")) == 1
