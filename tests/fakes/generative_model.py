"""A model that says what the test wrote."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from domains.conversational_ai.ports.generative_model import (
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


Step = str | Pause | ModelError | AnswerFinished


class ScriptedModel:
    """Plays one script per request, in order; the last script is played again for all further requests.

    A step is text to yield, a `Pause`, a `ModelError` to raise, or the `AnswerFinished` to end with. A script without an end is ended
    with `stop` and one token per word. `requests` holds what was asked; `interrupted` counts answers that were closed early.
    """

    def __init__(
        self,
        *scripts: Sequence[Step],
        models: Sequence[str] = ("scripted",),
        price: TokenPrice | None = None,
    ) -> None:
        self._scripts = [list(script) for script in scripts] or [["Hello."]]
        self._price = price or TokenPrice("EUR", 1_000_000, 2_000_000)
        self.models = tuple(models)
        self.requests: list[ModelRequest] = []
        self.interrupted = 0

    def price(self, model: str) -> TokenPrice:
        """Return the same price for each of its models. Raises `UnknownModel`."""
        if model not in self.models:
            raise UnknownModel(f"the script has no model {model!r}")
        return self._price

    async def stream(self, request: ModelRequest) -> AsyncGenerator[AnswerDelta | AnswerFinished]:
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
        yield AnswerFinished(FinishReason.STOP, asked, len("".join(said).split()), False, request.model, "scripted")

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
