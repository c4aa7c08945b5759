"""`luneo chat "…"`: ask an agent over HTTP and watch the answer stream."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from uuid import UUID

from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS

_TIMEOUT_SECONDS = 150
_PAUSES_SECONDS = (0, 1, 2, 4, 8)
"""Before each attempt to follow an answer that broke off: a process that died is replaced, or its turn failed, in about as long."""
_START_IT = "`make run` or `luneo up` starts Luneo"


class _ChatFailed(Exception):
    """What went wrong, in one line."""


@dataclass
class _Shown:
    """What was printed of an answer: its text, the number of the last event, and whether that was the end."""

    text: str = ""
    sequence: int = 0
    ended: bool = False


def chat(
    message: str,
    *,
    agent: str | None,
    url: str | None,
    api_key: str | None,
    conversation: UUID | None,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Print the streamed answer and its sources; return the exit status."""
    try:
        return _chat(message, agent=agent, url=url, api_key=api_key, conversation=conversation, pause=pause)
    except _ChatFailed as error:
        print(f"luneo chat: {error}", file=sys.stderr)
        return 1


def _chat(
    message: str, *, agent: str | None, url: str | None, api_key: str | None, conversation: UUID | None, pause: Callable[[float], None]
) -> int:
    demo = _demo()
    base = (url or demo.get("base_url") or "").rstrip("/")
    key = api_key or os.environ.get("LUNEO_API_KEY") or (demo.get("api_key") if not url else None)
    if not base or not key:
        raise _ChatFailed(f"nothing runs in this folder: {_START_IT}; or give --url and --api-key, or set LUNEO_HOME")
    api = f"{base}/api/v1"
    if conversation is None:
        agent_id = agent or demo.get("agent_id")
        if not agent_id:
            raise _ChatFailed("name the agent with --agent")
        with _call(f"{api}/conversations", key, {"agent_id": agent_id}) as started:
            conversation = _started(started, base)
    shown = _Shown()
    with _call(f"{api}/conversations/{conversation}/messages", key, {"content": message}, accept="text/event-stream") as stream:
        turn = stream.headers.get("Luneo-Turn")
        _show(stream, shown)
    if not shown.ended:
        _follow(f"{api}/turns/{turn}/events", key, shown, pause)
    print(f"  (continue with --conversation {conversation})")
    return 0


def _follow(url: str, key: str, shown: _Shown, pause: Callable[[float], None]) -> None:
    """Show the rest of an answer whose stream broke off, from whichever replica has it. Raises `_ChatFailed` when none tells its end."""
    reason = "it ended too soon"
    for seconds in _PAUSES_SECONDS:
        pause(seconds)
        try:
            with _call(url, key, accept="text/event-stream", after=shown.sequence) as stream:
                _show(stream, shown)
        except _ChatUnreachable as error:
            reason = str(error)
        if shown.ended:
            return
    print()
    raise _ChatFailed(f"the answer broke off, and its end is not known: {reason}")


class _ChatUnreachable(_ChatFailed):
    """The server did not answer, or not well; it may a moment later."""


def _show(stream: Any, shown: _Shown) -> None:  # noqa: ANN401 - urllib's response
    """Print events until the stream ends, or breaks."""
    try:
        for name, data in _events(stream):
            _show_event(name, data, shown)
    except (OSError, HTTPException, ValueError):  # the connection broke, in the middle of a line perhaps
        return


def _show_event(name: str, data: dict[str, Any], shown: _Shown) -> None:
    shown.sequence = data["sequence"]
    shown.ended = name in TERMINAL_EVENTS
    if name == "answer.delta":
        print(data["text"], end="", flush=True)
        shown.text += data["text"]
    elif name == "answer.completed":
        content = data["message"]["content"]
        print(content.removeprefix(shown.text) if content.startswith(shown.text) else f"\n{content}")
        for citation in data["message"]["citations"]:
            heading = citation["locator"].get("heading")
            print(f"  [{citation['number']}] {citation['title']}{f' — {heading}' if heading else ''}")
    elif name == "turn.stopped":
        print("\n  (stopped)")
    elif name == "turn.failed":
        if shown.text:
            print()
        raise _ChatFailed(data["problem"]["detail"])


def _events(stream: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - urllib's response
    name = ""
    for line in stream:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield name, json.loads(text.removeprefix("data: "))


def _call(  # urllib's response
    url: str, key: str, body: dict[str, object] | None = None, *, accept: str = "application/json", after: int = 0
) -> Any:  # noqa: ANN401
    if not url.startswith(("http://", "https://")):
        raise _ChatFailed("--url must begin with http:// or https://")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": accept, "Last-Event-ID": str(after)}
    try:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, content, headers)  # noqa: S310 - checked above
        return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310 - checked above
    except urllib.error.HTTPError as error:
        with error:
            raise _ChatUnreachable(_detail(error)) from error
    except OSError as error:
        raise _ChatUnreachable(f"{url} does not answer ({getattr(error, 'reason', error)}): {_START_IT}") from error
    except (ValueError, HTTPException) as error:  # an address or a key that is none, or an answer that is not HTTP
        raise _ChatUnreachable(f"{url} cannot be asked ({error})") from error


def _started(answer: Any, base: str) -> UUID:  # noqa: ANN401 - urllib's response
    try:
        return UUID(json.load(answer)["id"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise _ChatFailed(f"{base} does not answer as Luneo does") from error


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return f"{json.load(error)['detail']} ({error.code})"
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return f"the server answered {error.code}"


def _demo() -> dict[str, str]:
    file = Path(os.environ.get("LUNEO_HOME") or ".luneo") / "demo.json"
    try:
        values: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values
