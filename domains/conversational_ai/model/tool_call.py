"""Functions that a caller offers to the model, and the calls that come back.

The caller runs them: nothing here is run by us. Source: the OpenAI API reference, "Function calling".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Tool:
    """A function as the model is told of it. `parameters` is a JSON Schema; `strict` asks the provider to keep to it."""

    name: str
    description: str | None = None
    parameters: Mapping[str, object] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's wish to have a function called. `arguments` is JSON as the model wrote it: it may be wrong."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may, must or must not call a function; `name` is the one that it must call, for mode `function`."""

    mode: Literal["auto", "none", "required", "function"]
    name: str = ""

    @property
    def forced(self) -> bool:
        """Whether an answer without a call is no answer."""
        return self.mode in {"required", "function"}
