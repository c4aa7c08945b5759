"""Why a web page can't be answered from: each reason has its code, and words that say what to do. Of an address only the host is told."""

from domains.conversational_ai.model.unreadable_file import Unreadable
from shared_kernel.errors import Unavailable


class UnreadablePage(Unreadable):
    """A page that no new attempt would read."""

    title = "The web page can't be read"
    words = "The web page can't be read"
    field = "url"


class RefusedAddress(UnreadablePage):
    """Its address is not a public one of the web: private, of this machine, of a cloud's metadata, a port that is not the web's."""

    code = "page_address_refused"
    words = "The address is not a public one of the web"


class UnknownHost(UnreadablePage):
    """Nobody has that name."""

    code = "page_host_unknown"
    words = "There is no site of that name. Correct the address"


class RobotsRefusal(UnreadablePage):
    """The site's `robots.txt` asks programs to keep away from it."""

    code = "page_refused_by_robots"
    words = "The site's robots.txt asks programs not to fetch this page. Ask who runs the site, or paste the text"


class MissingPage(UnreadablePage):
    """The site has no such page (any more)."""

    code = "page_not_found"
    words = "The site has no page at that address. Correct the address"


class RefusedPage(UnreadablePage):
    """The site does not give it to everybody."""

    code = "page_refused"
    words = "The site does not show this page to everybody. Paste its text, or upload it as a file"


class UnsupportedPage(UnreadablePage):
    """It is no text."""

    code = "page_unsupported"
    words = "This is none of what can be read from the web: HTML, text, Markdown and PDF"


class OversizedPage(UnreadablePage):
    """It is larger than a page may be, or than the plan allows."""

    code = "page_too_large"
    words = "The page is too large"


class EndlessRedirects(UnreadablePage):
    """It sends on and on."""

    code = "page_redirects"
    words = "The page sends on to other addresses too often. Give the address where it ends"


class UntrustedCertificate(UnreadablePage):
    """Who answers can't prove that they are the site."""

    code = "page_certificate"
    words = "The site's certificate is not valid for its name"


class EmptyPage(UnreadablePage):
    """No text stands in it."""

    code = "page_empty"
    words = "The page has no text of its own: programs that run in browsers may put it there. Paste the text, or upload it as a file"


class PageAway(Unavailable):
    """The site does not answer, or not well, now."""

    code = "page_unreachable"
    title = "The site does not answer"


class RobotsAway(Unavailable):
    """The site can't say now whether programs may fetch the page; until it can, none may (RFC 9309, section 2.3.1.4)."""

    code = "page_robots_unreachable"
    title = "The site's robots.txt can't be read"
