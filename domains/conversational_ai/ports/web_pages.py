"""Pages of the web."""

from dataclasses import dataclass
from typing import Protocol

from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.web_address import WebAddress


@dataclass(frozen=True, slots=True)
class WebPage:
    """A page as it was found at `address`, where redirects led to. Text is in UTF-8, whatever it was sent in."""

    address: WebAddress
    format: FileFormat
    content: bytes


class WebPages(Protocol):
    """Fetches pages of sites that may be hostile, for people who may be: nothing that is not public is reached."""

    async def fetch(self, address: WebAddress, *, most_bytes: int | None) -> WebPage:
        """Return the page, which is never empty, and not larger than `most_bytes` (`None`: than a page may be at all).

        Raises an `UnreadablePage` or `UnreadableFile` that says why not, `PageAway` or `RobotsAway` when a new attempt may work.
        """
        ...
