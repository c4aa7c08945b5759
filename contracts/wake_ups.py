"""Nudges between processes: a hint that there is work, never the guarantee of it."""

from typing import Protocol


class WakeUps(Protocol):
    """Tells sleeping loops, in every process, to look now and not at their next tick. Never raises; a nudge may be lost."""

    def notify(self, channel: str) -> None:
        """Wake those who wait on `channel`; many calls within 20 ms become one message. Returns at once, sends later."""
        ...

    async def wait(self, channel: str, timeout_seconds: float) -> bool:
        """Sleep until somebody notified `channel` since the last `wait`, at most `timeout_seconds`; tell whether somebody did."""
        ...
