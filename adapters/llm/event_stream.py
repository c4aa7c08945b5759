"""Reading a chat completion's event stream from raw bytes.

Source: the HTML standard's server-sent events, and the OpenAI chat completions stream: one JSON chunk per event, a usage chunk
with no choices when asked for, then `[DONE]`.
"""

from typing import Final

import msgspec

from domains.conversational_ai.model.tool_call import ToolCall
from domains.conversational_ai.ports.generative_model import FinishReason, ModelAnsweredNonsense

_MAX_EVENT_BYTES: Final = 1 << 20
_MAX_CALLS: Final = 128
_MAX_CALL_CHARACTERS: Final = 1 << 20
_DONE: Final = b"[DONE]"
_FINISH_REASONS: Final = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """Tokens as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Usage | None = None
    error: msgspec.Raw | None = None


_CHUNK: Final = msgspec.json.Decoder(_Chunk)


class CompletionReader:
    """Takes bytes as they arrive and gives back text; remembers how the answer ended.

    Raises `ModelAnsweredNonsense` from `feed` for an event that is not a chunk, holds an error, or never ends, and from `end` when
    the stream stopped before it was complete.
    """

    __slots__ = ("_buffer", "_called", "_calls", "_data", "_held", "answered", "done", "finish_reason", "usage")

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._held = 0
        self._calls: dict[int, list[str]] = {}
        self._called = 0
        self.answered = False
        self.done = False
        self.finish_reason: FinishReason | None = None
        self.usage: Usage | None = None

    def feed(self, piece: bytes) -> str:
        """Take the next bytes; return the text of all events that they completed, as one piece."""
        *lines, self._buffer = (self._buffer + piece).split(b"\n")
        if len(self._buffer) > _MAX_EVENT_BYTES:
            raise ModelAnsweredNonsense("the provider sent an event of more than a mebibyte")
        texts: list[str] = []
        for line in lines:
            self._line(line, texts)
        text = "".join(texts)
        if text:
            self.answered = True
        return text

    def end(self) -> FinishReason:
        """Say that no more bytes will come; return why the answer ended."""
        if not self._data and self._buffer:
            self._line(self._buffer, [])
        self.done = self.done or self._data == [_DONE]  # some servers leave out the last empty line
        if self.finish_reason is None:
            raise ModelAnsweredNonsense("the provider's stream ended without a finish reason")
        if not self.done:
            raise ModelAnsweredNonsense("the provider's stream ended without its end mark")
        if self.finish_reason is FinishReason.TOOL_CALLS and not self._calls:
            raise ModelAnsweredNonsense("the provider's answer calls a function without saying which")
        if self._calls and self.finish_reason is FinishReason.STOP:
            self.finish_reason = FinishReason.TOOL_CALLS  # a call that was demanded ends so
        if not (self.answered or self._calls) and self.finish_reason is not FinishReason.CONTENT_FILTER:
            raise ModelAnsweredNonsense("the provider's answer is empty")
        return self.finish_reason

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the answer asks for, put together from their pieces; raises `ModelAnsweredNonsense` for one without a name."""
        calls = tuple(ToolCall(*parts) for parts in self._calls.values())
        if not all(call.id and call.name for call in calls):
            raise ModelAnsweredNonsense("the provider's answer calls a function without saying which")
        return calls

    def _line(self, line: bytes, texts: list[str]) -> None:
        line = line.removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._data.append(line[5:].strip())
            self._held += len(line)
            if self._held > _MAX_EVENT_BYTES:
                raise ModelAnsweredNonsense("the provider sent an event of more than a mebibyte")
        elif not line and self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            self._data.clear()
            self._held = 0
            self._event(data, texts)

    def _event(self, data: bytes, texts: list[str]) -> None:
        if self.done:
            return
        if data == _DONE:
            self.done = True
            return
        chunk = self._chunk(data)
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.choices:
            self._choice(chunk.choices[0], texts)

    def _chunk(self, data: bytes) -> _Chunk:
        try:
            chunk = _CHUNK.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ModelAnsweredNonsense("the provider sent an event that is not a chunk of an answer") from error
        if chunk.error is not None and bytes(chunk.error) != b"null":
            raise ModelAnsweredNonsense("the provider reported an error inside its answer")
        return chunk

    def _choice(self, choice: _Choice, texts: list[str]) -> None:
        if choice.delta is not None:
            text = choice.delta.content or choice.delta.refusal
            if text:
                texts.append(text)
            for call in choice.delta.tool_calls or ():
                self._call(call)
        if choice.finish_reason:
            self.finish_reason = _FINISH_REASONS.get(choice.finish_reason)
            if self.finish_reason is None:
                raise ModelAnsweredNonsense("the provider's answer ended for a reason that we did not ask for")

    def _call(self, piece: _ToolCall) -> None:
        """Add a piece of a call; the pieces of one have its index. Some servers leave that out and send each call whole."""
        index = len(self._calls) if piece.index is None else piece.index
        known = self._calls.setdefault(index, ["", "", ""])
        function = piece.function or _Function()
        identifier = None if known[0] else piece.id
        for place, text in enumerate((identifier, function.name, function.arguments)):
            if text:
                known[place] += text
                self._called += len(text)
        if len(self._calls) > _MAX_CALLS or self._called > _MAX_CALL_CHARACTERS:
            raise ModelAnsweredNonsense("the provider's answer calls functions without end")
