"""A web of pages in a dictionary."""

from collections.abc import Awaitable, Callable

from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.unreadable_page import MissingPage, OversizedPage
from domains.conversational_ai.model.web_address import WebAddress
from domains.conversational_ai.ports.web_pages import WebPage


class InMemoryWebPages:
    """Implements `WebPages`: pages by their address; with `refuses` it raises that instead, and `meanwhile` happens before it answers."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.refuses: BaseException | None = None
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.fetched = 0

    async def fetch(self, address: WebAddress, *, most_bytes: int | None) -> WebPage:
        self.fetched += 1
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.refuses is not None:
            raise self.refuses
        if str(address) not in self.pages:
            raise MissingPage
        content = self.pages[str(address)]
        if most_bytes is not None and len(content) > most_bytes:
            raise OversizedPage
        return WebPage(address, FileFormat.WEB_PAGE, content)
