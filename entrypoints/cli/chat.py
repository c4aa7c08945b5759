"""`luneo chat "…"`: ask an agent over HTTP and watch the answer stream."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

_TIMEOUT_SECONDS = 150


class _ChatFailed(Exception):
    """What went wrong, in one line."""


def chat(message: str, *, agent: str | None, url: str | None, api_key: str | None, conversation: UUID | None) -> int:
    """Print the streamed answer and its sources; return the exit status."""
    try:
        return _chat(message, agent=agent, url=url, api_key=api_key, conversation=conversation)
    except _ChatFailed as error:
        print(f"luneo chat: {error}", file=sys.stderr)
        return 1


def _chat(message: str, *, agent: str | None, url: str | None, api_key: str | None, conversation: UUID | None) -> int:
    demo = _demo()
    base = (url or demo.get("base_url") or "").rstrip("/")
    key = api_key or os.environ.get("LUNEO_API_KEY") or (demo.get("api_key") if not url else None)
    if not base or not key:
        raise _ChatFailed("no running `luneo up` was found in this folder; give --url and --api-key, or set LUNEO_HOME")
    if conversation is None:
        agent_id = agent or demo.get("agent_id")
        if not agent_id:
            raise _ChatFailed("name the agent with --agent")
        with _call(f"{base}/api/v1/conversations", key, {"agent_id": agent_id}) as started:
            conversation = UUID(json.load(started)["id"])
    body: dict[str, object] = {"content": message}
    with _call(f"{base}/api/v1/conversations/{conversation}/messages", key, body, accept="text/event-stream") as stream:
        return _print_answer(_events(stream), conversation)


def _print_answer(events: Iterator[tuple[str, dict[str, Any]]], conversation: UUID) -> int:
    for name, data in events:
        if name == "answer.delta":
            print(data["text"], end="", flush=True)
        elif name == "answer.completed":
            print()
            for citation in data["message"]["citations"]:
                heading = citation["locator"].get("heading")
                print(f"  [{citation['number']}] {citation['title']}{f' — {heading}' if heading else ''}")
        elif name == "turn.failed":
            raise _ChatFailed(data["problem"]["detail"])
    print(f"  (continue with --conversation {conversation})")
    return 0


def _events(stream: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - urllib's response
    name = ""
    for line in stream:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield name, json.loads(text.removeprefix("data: "))


def _call(url: str, key: str, body: dict[str, object], *, accept: str = "application/json") -> Any:  # noqa: ANN401 - urllib's response
    if not url.startswith(("http://", "https://")):
        raise _ChatFailed("--url must begin with http:// or https://")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": accept}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - checked above
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310 - checked above
    except urllib.error.HTTPError as error:
        raise _ChatFailed(_detail(error)) from error
    except OSError as error:
        raise _ChatFailed(f"{url} does not answer ({getattr(error, 'reason', error)})") from error


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return f"{json.load(error)['detail']} ({error.code})"
    except (ValueError, KeyError):
        return f"the server answered {error.code}"


def _demo() -> dict[str, str]:
    file = Path(os.environ.get("LUNEO_HOME") or ".luneo") / "demo.json"
    try:
        values: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values
