"""A model that says what the test wrote."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from domains.conversational_ai.ports.generative_model import (
    AnswerBegun,
    AnswerDelta,
    AnswerFinished,
    FinishReason,
    ModelError,
    ModelRequest,
    TokenPrice,
    UnknownModel,
)


@dataclass(frozen=True, slots=True)
class Pause:
    """A point at which the model waits: it sets `reached`, then goes on when the test sets `go_on`."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


Step = str | Pause | ModelError | AnswerBegun | AnswerFinished


class ScriptedModel:
    """Plays one script per request, in order; the last script is played again for all further requests.

    A step is text or an `AnswerBegun` to yield, a `Pause`, a `ModelError` to raise, or the `AnswerFinished` to end with. A script
    without an end is ended with `stop` and one token per word. `requests` holds what was asked; `interrupted` counts
    answers that were closed early.
    """

    def __init__(
        self,
        *scripts: Sequence[Step],
        models: Sequence[str] = ("scripted",),
        prices: Mapping[str, TokenPrice] | None = None,
        name: str = "scripted",
    ) -> None:
        self.name = name
        self._scripts = [list(script) for script in scripts] or [["Hello."]]
        self.prices = dict(prices or {})
        self.models = tuple(models)
        self.requests: list[ModelRequest] = []
        self.interrupted = 0

    def price(self, model: str) -> TokenPrice:
        """Return the price that was given for the model, else the same for each. Raises `UnknownModel`."""
        if model not in self.models:
            raise UnknownModel(f"the script has no model {model!r}")
        return self.prices.get(model, TokenPrice("EUR", 1_000_000, 2_000_000))

    async def stream(self, request: ModelRequest) -> AsyncGenerator[AnswerBegun | AnswerDelta | AnswerFinished]:
        """Play the next script."""
        self.price(request.model)
        script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
        self.requests.append(request)
        said: list[str] = []
        try:
            for step in script:
                if isinstance(step, Pause):
                    step.reached.set()
                    await step.go_on.wait()
                elif isinstance(step, ModelError):
                    raise step
                elif isinstance(step, AnswerBegun):
                    yield step
                elif isinstance(step, AnswerFinished):
                    yield step
                    return
                else:
                    said.append(step)
                    yield AnswerDelta(step)
        except (GeneratorExit, asyncio.CancelledError):
            self.interrupted += 1
            raise
        asked = len(f"{request.instructions} {request.question}".split())
        yield AnswerFinished(FinishReason.STOP, asked, len("".join(said).split()), False, request.model, self.name)

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
