import pytest

from adapters.llm.catalogue import ModelCatalogue
from adapters.llm.tokens import Utf8Tokenizer
from domains.conversational_ai.ports.generative_model import TokenPrice, UnknownModel
from shared_kernel.money import Money
from tests.fakes.generative_model import ScriptedModel
from tests.port_contracts.generative_model import answer_of, request_for


async def test_each_request_goes_to_the_provider_that_has_the_model() -> None:
    one, two = ScriptedModel(["one"], models=("a", "b")), ScriptedModel(["two"], models=("c",))
    catalogue = ModelCatalogue([one, two])
    assert catalogue.models == ("a", "b", "c")
    assert (await answer_of(catalogue, request_for("b")))[0] == ["one"]
    assert (await answer_of(catalogue, request_for("c")))[0] == ["two"]
    with pytest.raises(UnknownModel, match="a, b, c"):
        catalogue.price("d")


def test_two_providers_may_not_claim_one_name() -> None:
    with pytest.raises(ValueError, match="'a'"):
        ModelCatalogue([ScriptedModel(models=("a",)), ScriptedModel(models=("a",))])


def test_a_cost_is_exact_in_micros_and_rounded_to_show() -> None:
    price = TokenPrice("USD", input_micros=150_000, output_micros=600_000)
    assert price.cost_micros(1_000_000, 1_000_000) == 750_000
    assert price.cost(1_000_000, 1_000_000) == Money(75, "USD")
    assert price.cost_micros(1, 0) == 1, "a fraction of a micro-unit is rounded up"
    assert price.cost(500, 200) == Money(0, "USD")
    assert price.cost(0, 8_334) == Money(1, "USD"), "half a cent is rounded up"
    assert TokenPrice("JPY", 0, 1_500_000_000, minor_units=1).cost(0, 1_000) == Money(2, "JPY")


def test_a_price_can_not_be_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        TokenPrice("EUR", -1, 0)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("Bonjour à tous", 4), ("日本語", 3), ("x" * 420, 100)])
def test_tokens_are_estimated_from_bytes(text: str, tokens: int) -> None:
    assert Utf8Tokenizer().count(text) == tokens
