"""What the index compares: a text's vector and the weights of its words."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.passage import Passage
from domains.conversational_ai.model.term_weights import WEIGHTING, TermWeights, weights_in_passage, weights_in_question
from domains.conversational_ai.ports.embeddings import Embeddings
from domains.conversational_ai.ports.passage_index import PassageVector
from domains.conversational_ai.ports.text_analysis import TextAnalysis

#: A name for how texts are put together to be embedded: a change is a new name.
_EMBEDDED_WITH = "opening-1"


@dataclass(frozen=True, slots=True)
class PassageVectors:
    """Makes both, for passages and for questions alike."""

    embeddings: Embeddings
    analysis: TextAnalysis

    @property
    def model(self) -> str:
        """What made them, in one name: what another one made can't be compared."""
        return f"{self.embeddings.name}+{_EMBEDDED_WITH}+{self.analysis.name}+{WEIGHTING}"

    async def of_passages(self, passages: Sequence[Passage], *, opening: str) -> list[PassageVector]:
        """Return an entry for the index per passage of a source that begins with `opening`, in order.

        A passage after the first is embedded with the opening, since alone it often does not say what it is about. Its words are its own.
        Raises `Unavailable` when the model can't be loaded.
        """
        texts = [passage.text_to_embed for passage in passages]
        whole = [f"{opening}\n{text}" if opening and p.ordinal else text for p, text in zip(passages, texts, strict=True)]
        return [
            PassageVector(
                passage_id=passage.id,
                knowledge_base_id=passage.knowledge_base_id,
                source_id=passage.source_id,
                source_version=passage.source_version,
                vector=vector,
                weights=weights_in_passage(self.analysis.terms(text)),
            )
            for passage, text, vector in zip(passages, texts, await self.embeddings.embed_passages(whole), strict=True)
        ]

    async def of_question(self, organization_id: UUID, question: str) -> tuple[Sequence[float], TermWeights]:
        """Return a question's vector and the weights of its words. Raises `Unavailable` when the model can't be loaded."""
        vector = await self.embeddings.embed_query(organization_id, question)
        return vector, weights_in_question(self.analysis.terms(question))
