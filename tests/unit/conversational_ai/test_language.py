"""Which language a message is in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.conversational_ai.model.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Combien coûte l'abonnement ?", "fr"),
        ("Bonjour, je voudrais changer mon mot de passe", "fr"),
        ("How do I change my password?", "en"),
        ("What is the price of the Pro plan", "en"),
        ("HOW MUCH IS IT", "en"),
        ("où est ma facture", "fr"),
        ("résilier", "fr"),
    ],
)
@pytest.mark.parametrize("languages", [("fr", "en"), ("en", "fr"), ()])
def test_french_and_english_are_told_apart(text: str, language: str, languages: tuple[str, ...]) -> None:
    assert language_of(text, languages) == language


@pytest.mark.parametrize("text", ["", "???", "42", "Luneo", "abonnement premium"])
def test_what_cannot_be_told_is_in_the_agents_main_language(text: str) -> None:
    assert language_of(text, ("en", "fr")) == "en"
    assert language_of(text, ("fr", "en")) == "fr"
    assert language_of(text, ()) == "fr"


def test_an_agent_of_one_language_answers_in_it() -> None:
    assert language_of("How do I change my password?", ("fr",)) == "fr"
    assert language_of("Combien ça coûte ?", ("en",)) == "en"


@given(st.text(), st.lists(st.sampled_from(["fr", "en"]), unique=True))
def test_it_is_always_one_of_the_agents(text: str, languages: list[str]) -> None:
    assert language_of(text, languages) in (languages or ["fr", "en"])
