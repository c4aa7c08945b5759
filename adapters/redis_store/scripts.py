"""Lua scripts that Redis runs whole, called by their digest."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError


class Script:
    """One script; `text` is sent to a Redis that does not know it yet."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._name = sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, redis: Redis, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run it in one round trip."""
        try:
            return await redis.evalsha(self._name, len(keys), *keys, *arguments)
        except NoScriptError:  # a new, restarted or emptied Redis
            return await redis.eval(self._text, len(keys), *keys, *arguments)
