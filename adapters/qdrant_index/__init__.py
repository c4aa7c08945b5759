"""The passage index in Qdrant: the one user of its client."""

from adapters.qdrant_index.passage_index import QdrantPassageIndex

__all__ = ["QdrantPassageIndex"]
