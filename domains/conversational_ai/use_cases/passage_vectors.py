"""What the index compares: a text's vector and the weights of its words."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.passage import EMBEDDED_WITH, PlacedPassage
from domains.conversational_ai.model.term_weights import WEIGHTING, TermWeights, weights_in_passage, weights_in_question
from domains.conversational_ai.ports.embeddings import Embeddings
from domains.conversational_ai.ports.passage_index import PassageVector
from domains.conversational_ai.ports.text_analysis import TextAnalysis


@dataclass(frozen=True, slots=True)
class PassageVectors:
    """Makes both, for passages and for questions alike."""

    embeddings: Embeddings
    analysis: TextAnalysis

    @property
    def model(self) -> str:
        """What made them, in one name: what another one made can't be compared."""
        return f"{self.embeddings.name}+{EMBEDDED_WITH}+{self.analysis.name}+{WEIGHTING}"

    def similarity(self, cosine: float) -> float:
        """Return the nearness of two vectors on the scale that cut-offs are made for."""
        return self.embeddings.similarity(cosine)

    async def of_passages(self, passages: Sequence[PlacedPassage]) -> list[PassageVector]:
        """Return an entry for the index per passage, in order. Raises `Unavailable` when the embeddings do not answer."""
        vectors = await self.embeddings.embed_passages([placed.text_to_embed for placed in passages])
        return [
            PassageVector(
                passage_id=passage.id,
                knowledge_base_id=passage.knowledge_base_id,
                source_id=passage.source_id,
                source_version=passage.source_version,
                vector=vector,
                weights=weights_in_passage(self.analysis.terms(passage.text_to_analyse)),
            )
            for passage, vector in zip((placed.passage for placed in passages), vectors, strict=True)
        ]

    async def of_question(self, organization_id: UUID, question: str) -> tuple[Sequence[float], TermWeights]:
        """Return a question's vector and the weights of its words. Raises `Unavailable` when the embeddings do not answer."""
        vector = await self.embeddings.embed_query(organization_id, question)
        return vector, weights_in_question(self.analysis.terms(question))
