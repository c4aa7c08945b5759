"""Embeddings of any server that speaks the OpenAI embeddings API."""

import array
import asyncio
import base64
import binascii
import math
import sys
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, Self
from urllib.request import getproxies_environment
from uuid import UUID

import aiohttp
import msgspec
import stamina

from adapters.embeddings.fair_turns import FairTurns
from adapters.embeddings.texts import sound
from domains.conversational_ai.ports.embeddings import QUESTION_CHARACTERS, UNRELATED
from shared_kernel.errors import Unavailable
from shared_kernel.retry_after import seconds_to_wait

_TRANSPORT_ERRORS: Final = (aiohttp.ClientError, OSError)  # TimeoutError is an OSError
_KEEP_ALIVE_SECONDS: Final = 60
_FIRST_WAIT_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 4.0
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_BYTES_PER_NUMBER: Final = 32  # of JSON, at most: more than that is not an answer to what was asked
_BYTES_BESIDE: Final = 1 << 16
_NUMBER: Final = "f"  # of 32 bits
_MODEL_WORD: Final = "The embedding model"


class _Passing(Unavailable):
    """What may be over at the next try; `retry_after` seconds are asked for, or None."""

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class _Asked(msgspec.Struct, omit_defaults=True):
    model: str
    input: list[str]
    encoding_format: str
    dimensions: int | None = None


class _Vector(msgspec.Struct):
    embedding: str | list[float]
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Vector]


_BODY: Final = msgspec.json.Encoder()
_ANSWER: Final = msgspec.json.Decoder(_Answer)


class OpenAICompatibleEmbeddings:
    """Embeds by one model of a server.

    `dimension` is how many numbers its vectors have; `asks_for_dimension` sends it along, for models that can shorten theirs.
    `question_prefix` and `passage_prefix` are put before texts for models that were trained so, as `query: ` and `passage: ` of E5.

    `unrelated` is the cosine that texts without anything in common have by this model; similarities are stretched by it.

    Passages are sent `batch` at a time. Of questions `questions_at_once` are on their way; beyond that organisations take turns.
    Vectors come as base64 or as numbers, are put in the order of their `index` and brought to length 1.

    One request with all its tries takes at most `seconds`, `connect_seconds` of each try to get a connection. It is tried again, at most
    `retries` times, when the server is away, too busy or at fault; a `Retry-After` that leaves no time for a try ends them.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None,
        model: str,
        dimension: int,
        asks_for_dimension: bool = False,
        question_prefix: str = "",
        passage_prefix: str = "",
        unrelated: float = UNRELATED,
        batch: int = 16,
        questions_at_once: int = 8,
        connect_seconds: float = 5.0,
        seconds: float = 20.0,
        retries: int = 2,
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/embeddings"
        self._headers = {"authorization": f"Bearer {api_key or 'none'}", "content-type": "application/json", "user-agent": "Luneo"}
        self._model = model
        self._dimension = dimension
        self._asks_for_dimension = asks_for_dimension
        self._question_prefix = question_prefix
        self._passage_prefix = passage_prefix
        self._stretch = (1 - UNRELATED) / (1 - unrelated)
        self._batch = batch
        self._questions = FairTurns(questions_at_once)
        self._seconds = seconds
        self._retries = retries
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_seconds)
        self._opened: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """The model, its dimension and what is put before texts: vectors of another can't be compared."""
        prefixes = f"+{self._question_prefix}|{self._passage_prefix}" if self._question_prefix or self._passage_prefix else ""
        return f"{self._model}-{self._dimension}{prefixes}"

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return self._dimension

    def similarity(self, cosine: float) -> float:
        """Return a cosine of this model's vectors on the common scale: `unrelated` is `UNRELATED`, 1 stays 1."""
        return 1 - (1 - cosine) * self._stretch

    async def embed_query(self, organization_id: UUID, text: str) -> Sequence[float]:
        """Return the vector of a question's first part when it is its organisation's turn.

        Raises `Unavailable` when the server does not answer, refuses, or answers nonsense.
        """
        prefixed = self._question_prefix + text[:QUESTION_CHARACTERS]
        (vector,) = await self._questions.run(organization_id, lambda: self._vectors([prefixed]))
        return vector

    async def embed_passages(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector per passage, in order; batches go one after the other.

        Raises `Unavailable` when the server does not answer, refuses, or answers nonsense.
        """
        prefixed = [self._passage_prefix + text for text in texts]
        found: list[Sequence[float]] = []
        for start in range(0, len(prefixed), self._batch):
            found += await self._vectors(prefixed[start : start + self._batch])
        return found

    async def aclose(self) -> None:
        """Let what is on its way end, and close all connections."""
        await self._questions.aclose()
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def _vectors(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return the vectors of at most one batch, trying again where that may help."""
        body = _BODY.encode(
            _Asked(
                model=self._model,
                input=[sound(text) or " " for text in texts],  # an empty text is refused
                encoding_format="base64",  # a third of the bytes; who can't do it sends numbers
                dimensions=self._dimension if self._asks_for_dimension else None,
            )
        )
        deadline = asyncio.get_running_loop().time() + self._seconds
        async for attempt in stamina.retry_context(
            on=self._wait_before_retry(deadline),
            attempts=self._retries + 1,
            timeout=self._seconds,
            wait_initial=_FIRST_WAIT_SECONDS,
            wait_max=_LONGEST_WAIT_SECONDS,
            wait_jitter=_FIRST_WAIT_SECONDS,
        ):
            with attempt:
                return self._read(await self._attempt(body, len(texts), deadline), len(texts))
        raise Unavailable  # pragma: no cover - the last attempt returns or raises

    @staticmethod
    def _wait_before_retry(deadline: float) -> Callable[[Exception], bool | float]:
        def wait(error: Exception) -> bool | float:
            if not isinstance(error, _Passing) or asyncio.get_running_loop().time() + (error.retry_after or 0.0) >= deadline:
                return False
            return error.retry_after or True

        return wait

    async def _attempt(self, body: bytes, count: int, deadline: float) -> bytes:
        most = count * self._dimension * _BYTES_PER_NUMBER + _BYTES_BESIDE
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._session.post(self._url, data=body, headers=self._headers, allow_redirects=False) as response,
            ):
                if response.status != HTTPStatus.OK:
                    raise _refusal(response.status, seconds_to_wait(response.headers))
                answer = bytearray()
                async for piece in response.content.iter_any():
                    answer += piece
                    if len(answer) > most:
                        response.close()
                        raise Unavailable(f"{_MODEL_WORD} answers far more than was asked")
        except TimeoutError as error:
            raise _Passing(f"{_MODEL_WORD} took too long to answer") from error
        except _TRANSPORT_ERRORS as error:
            raise _Passing(f"The connection to the embedding model failed ({type(error).__name__})") from error
        return bytes(answer)

    def _read(self, answer: bytes, count: int) -> list[Sequence[float]]:
        try:
            data = _ANSWER.decode(answer).data
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _Passing(f"{_MODEL_WORD} answers what is no list of embeddings") from error
        if len(data) != count:
            raise Unavailable(f"{_MODEL_WORD} was given {count} texts and returned {len(data)} vectors")
        places = [place if vector.index is None else vector.index for place, vector in enumerate(data)]
        if sorted(places) != list(range(count)):
            raise Unavailable(f"{_MODEL_WORD} returned vectors whose order is unclear")
        found = [_numbers(vector.embedding) for _, vector in sorted(zip(places, data, strict=True), key=lambda each: each[0])]
        for numbers in found:
            if len(numbers) != self._dimension:
                raise Unavailable(
                    f"{_MODEL_WORD} returned a vector of {len(numbers)} numbers instead of {self._dimension}: "
                    "LUNEO_EMBEDDINGS_DIMENSION must be the model's"
                )
        return [_of_unit_length(numbers) for numbers in found]

    @property
    def _session(self) -> aiohttp.ClientSession:
        """The connections to the server; they belong to the event loop of the first request."""
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=_KEEP_ALIVE_SECONDS),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=bool(getproxies_environment()),  # looking for a proxy at each request is not free
            )
        return self._opened


def _refusal(status: int, retry_after: float | None) -> Unavailable:
    """Say what an answer other than 200 means. What the server says of it is not repeated: it may hold parts of a key or of the texts."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
        return _Passing(f"{_MODEL_WORD} answered {status}", retry_after=retry_after)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Unavailable(f"{_MODEL_WORD} refuses the key ({status}): LUNEO_EMBEDDINGS_API_KEY must be one of its server")
    return Unavailable(f"{_MODEL_WORD} refuses ({status}): LUNEO_EMBEDDINGS_BASE_URL and LUNEO_EMBEDDINGS_MODEL must fit each other")


def _numbers(embedding: str | list[float]) -> Sequence[float]:
    if isinstance(embedding, list):
        return embedding
    numbers = array.array(_NUMBER)
    try:
        numbers.frombytes(base64.b64decode(embedding, validate=True))
    except (binascii.Error, ValueError) as error:
        raise Unavailable(f"{_MODEL_WORD} returned a vector that is no base64 of numbers of 32 bits") from error
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _of_unit_length(numbers: Sequence[float]) -> list[float]:
    length = math.hypot(*numbers)
    if not math.isfinite(length) or length == 0:
        raise Unavailable(f"{_MODEL_WORD} returned a vector that has no direction")
    return [number / length for number in numbers]
