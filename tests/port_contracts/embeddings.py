"""What every `Embeddings` does."""

import math
from contextlib import AbstractAsyncContextManager

from domains.conversational_ai.ports.embeddings import QUESTION_CHARACTERS, Embeddings
from shared_kernel.identifiers import new_id

ORGANIZATION = new_id()
PASSAGES = (
    "Pour changer votre mot de passe, ouvrez les réglages du compte.",
    "Les remboursements sont versés sous cinq jours ouvrés.",
    "La tour Eiffel mesure trois cent trente mètres.",
)


class EmbeddingsContract:
    """Subclasses give the embeddings under test."""

    def embeddings(self) -> AbstractAsyncContextManager[Embeddings]:
        """Open the embeddings under test."""
        raise NotImplementedError

    async def test_vectors_are_unit_length_and_of_the_named_dimension(self) -> None:
        async with self.embeddings() as embeddings:
            vectors = [await embeddings.embed_query(ORGANIZATION, "mot de passe"), *await embeddings.embed_passages(PASSAGES)]
            assert embeddings.name
            assert {len(vector) for vector in vectors} == {embeddings.dimension}
        assert all(math.isclose(math.sqrt(sum(x * x for x in vector)), 1, abs_tol=1e-3) for vector in vectors)

    async def test_the_passage_that_answers_is_nearest_and_keeps_its_place(self) -> None:
        questions = ("Comment changer mon mot de passe ?", "Quand sont versés les remboursements ?", "Combien mesure la tour Eiffel ?")
        async with self.embeddings() as embeddings:
            passages = await embeddings.embed_passages(PASSAGES)
            for place, question in enumerate(questions):
                asked = await embeddings.embed_query(ORGANIZATION, question)
                nearness = [sum(a * b for a, b in zip(asked, passage, strict=True)) for passage in passages]
                assert nearness.index(max(nearness)) == place

    async def test_the_same_text_has_the_same_vector(self) -> None:
        async with self.embeddings() as embeddings:
            first, second = await embeddings.embed_passages([PASSAGES[0], PASSAGES[0]])
            assert list(first) == list(second)
            assert list(await embeddings.embed_query(ORGANIZATION, "bonjour")) == list(
                await embeddings.embed_query(ORGANIZATION, "bonjour")
            )

    async def test_odd_texts_have_vectors_too(self) -> None:
        async with self.embeddings() as embeddings:
            assert await embeddings.embed_passages([]) == []
            for odd in ("", " \n", "a\0b", "\ud800", "日本語", "x" * 5000):
                vector = await embeddings.embed_query(ORGANIZATION, odd)
                assert len(vector) == embeddings.dimension
                assert not any(math.isnan(value) for value in vector)

    async def test_a_long_question_is_embedded_by_its_first_part(self) -> None:
        first = "".join(chr(0x4E00 + 37 * i % 5000) for i in range(QUESTION_CHARACTERS))
        async with self.embeddings() as embeddings:
            whole = await embeddings.embed_query(ORGANIZATION, first + "".join(reversed(first)) * 7)
            assert list(whole) == list(await embeddings.embed_query(ORGANIZATION, first))
            assert list(whole) != list(await embeddings.embed_query(ORGANIZATION, first[::-1]))

    async def test_a_nearer_vector_is_more_similar_and_the_same_one_most(self) -> None:
        async with self.embeddings() as embeddings:
            similarities = [embeddings.similarity(cosine) for cosine in (-1.0, 0.0, 0.5, 0.9, 1.0)]
        assert similarities == sorted(set(similarities))
        assert math.isclose(similarities[-1], 1)
