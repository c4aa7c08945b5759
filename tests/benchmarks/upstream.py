"""A canned model behind OpenAI's chat completions and embeddings, as a process of its own: `python -m tests.benchmarks.upstream PORT`.

The model's name says how it answers: `pieces-1` in one piece, `pieces-50` in fifty, a millisecond apart. Each text has a vector of its own
without meaning, near to all others.
"""

import array
import asyncio
import base64
import json
import random
import sys
from typing import Any

import uvicorn
import uvloop

_HEADERS = [(b"content-type", b"text/event-stream")]
_SPACING_SECONDS = 0.001
_DIMENSION = 384
_WORDS = "The answer is forty-two, and it has always been so. "


def _event(**fields: object) -> bytes:
    return b"data: " + json.dumps({"id": "canned", "object": "chat.completion.chunk", "model": "canned", **fields}).encode() + b"\n\n"


def _text(text: str) -> bytes:
    return _event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


_END = (
    _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + _event(choices=[], usage={"prompt_tokens": 120, "completion_tokens": 50, "total_tokens": 170})
    + b"data: [DONE]\n\n"
)
_WHOLE = _text(_WORDS * 5) + _END
_PIECE = _text("word ")


def _embeddings(texts: list[str]) -> bytes:
    data = []
    for index, text in enumerate(texts):
        chance = random.Random(text)  # noqa: S311 - the same text has the same vector
        numbers = array.array("f", [chance.random() for _ in range(_DIMENSION)])
        data.append({"index": index, "embedding": base64.b64encode(numbers.tobytes()).decode()})
    return json.dumps({"object": "list", "data": data, "model": "canned"}).encode()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"].endswith("/embeddings"):
        vectors = _embeddings(json.loads(body)["input"])
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(vectors)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": vectors})
        return
    pieces = int(json.loads(body)["model"].partition("-")[2])
    if pieces == 1:
        length = (b"content-length", str(len(_WHOLE)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, length]})
        await send({"type": "http.response.body", "body": _WHOLE})
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    for _ in range(pieces):
        await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
        await asyncio.sleep(_SPACING_SECONDS)
    await send({"type": "http.response.body", "body": _END})


if __name__ == "__main__":
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="none",
        http="httptools",
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=75,
    )
    uvloop.run(uvicorn.Server(config).serve())
