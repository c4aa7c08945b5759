import asyncio
import re
from dataclasses import replace

import pytest

from adapters.llm.local import LocalModel
from adapters.llm.passages import units
from adapters.llm.tokens import Utf8Tokenizer
from domains.conversational_ai.model.answer_format import AnswerFormat
from domains.conversational_ai.model.tool_call import Tool, ToolChoice
from domains.conversational_ai.ports.generative_model import AnswerFinished, ChatMessage, FinishReason, ModelCannot, ReferencePassage, Role
from tests.port_contracts.generative_model import answer_of, request_for

PRICES = ReferencePassage(
    1,
    "Quels sont vos tarifs ?\nLe forfait Starter coûte 49 € par mois. Le forfait Business coûte 199 € par mois.",
    "Tarifs", 0.86, None, "fr",
)  # fmt: skip
REFUNDS = ReferencePassage(
    2,
    "# Remboursements\n\nVous pouvez demander un remboursement dans les 30 jours suivant l'achat. Écrivez à M. Dupont, au service client.\n"
    "\nPièces à fournir :\n- la facture ;\n- un RIB.\n\nLe virement est fait sous 5 jours ouvrés.",
    "Aide", 0.85, None, "fr",
)  # fmt: skip
HOURS = ReferencePassage(
    3,
    "Our offices are open from Monday to Friday, 9 am to 6 pm. Luneo\nis based in Paris. Support answers within 2 hours.",
    "About", 0.83, "Opening hours", "en",
)  # fmt: skip
PASSAGES = (PRICES, REFUNDS, HOURS)
FAR = tuple(replace(passage, score=0.78) for passage in PASSAGES)


async def answer(question: str, language: str = "fr", passages: tuple[ReferencePassage, ...] = PASSAGES, **changes: object) -> str:
    said, _ = await finished(question, language, passages, **changes)
    return said


async def finished(
    question: str, language: str = "fr", passages: tuple[ReferencePassage, ...] = PASSAGES, **changes: object
) -> tuple[str, AnswerFinished]:
    model = LocalModel(tokenizer=Utf8Tokenizer())
    pieces, end = await answer_of(model, request_for("local", question=question, language=language, passages=passages, **changes))
    return "".join(pieces), end


@pytest.mark.parametrize(
    ("question", "language", "expected"),
    [
        ("Comment être remboursé ?", "fr", "Vous pouvez demander un remboursement dans les 30 jours suivant l'achat. [2]"),
        ("Qui dois-je écrire au service client ?", "fr", "Écrivez à M. Dupont, au service client. [2]"),
        ("What are your opening hours?", "en", "Our offices are open from Monday to Friday, 9 am to 6 pm. [3]"),
        ("Where is Luneo based?", "en", "Luneo is based in Paris. [3]"),
        ("Quelles pièces dois-je fournir ?", "fr", "Pièces à fournir :\n- la facture ;\n- un RIB. [2]"),
        ("How do I get a refund?", "en", "Vous pouvez demander un remboursement dans les 30 jours suivant l'achat. [2]"),
    ],
)
async def test_it_quotes_what_answers_and_cites_it(question: str, language: str, expected: str) -> None:
    assert expected in await answer(question, language)
    assert expected in await answer(question, language, FAR)


async def test_of_a_question_and_answer_pair_it_quotes_the_answer() -> None:
    said = await answer("Combien coûte l'abonnement Business ?")
    assert "Le forfait Business coûte 199 € par mois. [1]" in said
    assert "Quels sont vos tarifs" not in said


@pytest.mark.parametrize("question", ["Comment être remboursé ?", "Combien coûte Business ?", "Support hours and offices in Paris?"])
async def test_every_quote_stands_in_the_passage_that_it_cites(question: str) -> None:
    said = await answer(question)
    runs = re.findall(r"(.+?) \[(\d)\]", said, re.DOTALL)
    assert runs
    for quoted, number in runs:
        source = " ".join(PASSAGES[int(number) - 1].text.split())
        assert " ".join(quoted.split()) in source


async def test_passages_are_cited_in_reading_order() -> None:
    said = await answer("remboursement jours ouvrés, offices open Monday, virement", passages=PASSAGES)
    marks = [int(mark) for mark in re.findall(r"\[(\d)\]", said)]
    assert marks == sorted(marks)


@pytest.mark.parametrize("question", ["Quelle est la capitale de l'Australie ?", "How do I bake bread?", "Quel temps fait-il ?", "", "???"])
async def test_it_says_when_it_found_nothing(question: str) -> None:
    assert await answer(question, "fr", FAR) == "Je n'ai pas trouvé de réponse à cette question dans les documents à ma disposition."
    assert await answer(question, "en", FAR) == "I found no answer to this question in the documents I have."
    assert await answer(question, "en", ()) == "I found no answer to this question in the documents I have."
    assert await answer(question, "fr", FAR, fallback="Écrivez-nous.") == "Écrivez-nous."


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Le forfait Starter comprend-il une carte cadeau ?", "fr"),
        ("Vendez-vous des téléviseurs au service client ?", "fr"),
        ("Is there a swimming pool in your Paris offices?", "en"),
    ],
)
async def test_shared_words_are_not_enough_when_what_is_asked_about_is_nowhere(question: str, language: str) -> None:
    said = await answer(question, language)
    assert "[" not in said


async def test_the_sentence_beside_that_has_what_was_asked_for_is_quoted_too() -> None:
    loans = replace(HOURS, text="You may borrow up to twelve books. Books are lent for three weeks. Be kind to them.", heading="Borrowing")
    said = await answer("How many books can I take home?", "en", (loans,))
    assert said == "You may borrow up to twelve books. Books are lent for three weeks. [3]"


async def test_it_answers_in_the_questions_language_when_the_knowledge_has_it() -> None:
    french = replace(
        HOURS, number=1, text="Nos bureaux sont ouverts du lundi au vendredi, de 9 h à 18 h.", heading="Horaires", language=None
    )
    english = replace(HOURS, number=2, text="Our offices are open from Monday to Friday, 9 am to 6 pm.", language=None)
    assert await answer("When are your offices open?", "en", (french, english)) == f"{english.text} [2]"
    assert await answer("Quand vos bureaux sont-ils ouverts ?", "fr", (french, english)) == f"{french.text} [1]"


@pytest.mark.parametrize(
    ("said", "language", "expected"),
    [
        ("Bonjour", "fr", "Bonjour !"),
        ("hello there!", "en", "Hello!"),
        ("Hi, how are you?", "de", "Hello!"),
        ("Salut, ça va ?", "fr", "Bonjour !"),
        ("Merci beaucoup !", "fr", "Avec plaisir !"),
        ("Thanks a lot", "en", "You're welcome!"),
        ("Merci, au revoir", "fr", "Au revoir"),
    ],
)
async def test_it_is_polite(said: str, language: str, expected: str) -> None:
    assert (await answer(said, language)).startswith(expected)


async def test_a_greeting_does_not_hide_the_question() -> None:
    assert "[2]" in await answer("Bonjour, comment être remboursé ? Merci")


async def test_a_short_question_leans_on_the_one_before() -> None:
    history = (ChatMessage(Role.USER, "Quand mes virements de remboursement arrivent-ils ?"), ChatMessage(Role.ASSISTANT, "…"))
    assert "5 jours ouvrés" in await answer("Sous combien de jours ?", messages=history)


async def test_a_sentence_that_two_passages_share_is_quoted_once() -> None:
    twin = replace(HOURS, number=4)
    said = await answer("When are the offices open?", "en", (HOURS, twin))
    assert said.count("Our offices are open") == 1


async def test_it_stays_within_max_tokens() -> None:
    said, end = await finished("Comment être remboursé ?", max_tokens=12)
    assert end.finish_reason is FinishReason.LENGTH
    assert said.endswith("…")
    assert Utf8Tokenizer().count(said) <= 12
    assert end.tokens_out == Utf8Tokenizer().count(said)


async def test_it_is_free_and_counts_for_itself() -> None:
    _, end = await finished("Comment être remboursé ?")
    assert not end.estimated
    price = LocalModel(tokenizer=Utf8Tokenizer()).price("local")
    assert price.cost_micros(end.tokens_in, end.tokens_out) == 0


async def test_it_can_be_as_slow_as_a_large_model_and_its_first_words_never_wait() -> None:
    model = LocalModel(tokenizer=Utf8Tokenizer(), words_per_second=100)
    loop = asyncio.get_running_loop()
    started = loop.time()
    request = request_for("local", question="Where are your offices?", language="en", passages=PASSAGES)
    came = [
        (loop.time() - started, len(event.text.split())) async for event in model.stream(request) if not isinstance(event, AnswerFinished)
    ]
    assert len(came) > 1
    before = 0
    for seconds, words in came:
        assert seconds >= before / 100 - 0.002
        before += words
    assert came[0][0] < came[-1][0] / 2


def test_units_are_sentences_and_announced_lists() -> None:
    assert [unit.text for unit in units(REFUNDS.text)] == [
        "Vous pouvez demander un remboursement dans les 30 jours suivant l'achat.",
        "Écrivez à M. Dupont, au service client.",
        "Pièces à fournir :\n- la facture ;\n- un RIB.",
        "Le virement est fait sous 5 jours ouvrés.",
    ]


def test_labels_of_questions_and_answers_are_not_quoted() -> None:
    assert [unit.text for unit in units("Q: Is it free?\nA: Yes, for a month.\n\nQ: And then?\nA: No.")] == ["Yes, for a month.", "No."]


def test_sentences_are_told_apart_even_where_a_space_was_lost() -> None:
    text = "Le fichier existe depuis 2014.Il est commun à tous, cf. Art. 3 du code. See www.Luneo.example and p. 4."
    assert [unit.text for unit in units(text)] == [
        "Le fichier existe depuis 2014.",
        "Il est commun à tous, cf. Art. 3 du code.",
        "See www.Luneo.example and p. 4.",
    ]


async def test_it_stops_where_it_is_told() -> None:
    whole = await answer("Where is Luneo based?", "en")
    assert whole.startswith("Luneo is based")
    assert await answer("Where is Luneo based?", "en", stop=("nowhere", " based")) == "Luneo is"


async def test_it_says_that_it_can_neither_write_json_nor_call() -> None:
    tools = (Tool("weather"),)
    assert await answer("Where is Luneo based?", "en", tools=tools, tool_choice=ToolChoice("auto"))
    for demanded in ({"answer_format": AnswerFormat()}, {"tools": tools, "tool_choice": ToolChoice("required")}):
        with pytest.raises(ModelCannot):
            await answer("Where is Luneo based?", "en", **demanded)


def test_a_row_of_a_table_is_told_with_the_names_of_its_columns() -> None:
    table = "## Budgets\n\n| Role | Laptop |\n|---|---|\n| Developer | 2,100 euros |\n| Designer | |\n\nAsk before you buy."
    assert [unit.text for unit in units(table)] == ["Role: Developer · Laptop: 2,100 euros", "Role: Designer", "Ask before you buy."]
    assert [unit.text for unit in units("| Developer | 2,100 euros |")] == ["Developer · 2,100 euros"]


def test_a_sentence_that_goes_on_with_a_number_below_is_one() -> None:
    text = "Plus de trente jours avant, tout est remboursé, moins\n15 euros de frais. Ensuite, la moitié l'est."
    assert [unit.text for unit in units(text)] == [
        "Plus de trente jours avant, tout est remboursé, moins 15 euros de frais.",
        "Ensuite, la moitié l'est.",
    ]
