"""Links in answers lead where citations lead.

A hostile passage may talk a model into writing an image whose address carries what the visitor said, or a link that looks like the agent's
own. So where retrieved text was read, a link or image in an answer is left as its words, and an address that the model composed as its host
alone. What the agent's instructions, or the visitor, name themselves stays; so does a plain address that stands in a passage as it is: it
carries nothing out.
"""

import re
from typing import Final

from domains.conversational_ai.ports.generative_model import ModelRequest, Role

_ELEMENTS: Final = "img|image|a|iframe|script|link|form|input|button|object|embed|video|audio|source|picture|svg|style|base|meta"
_LEADS: Final = re.compile(r"[a-z][a-z0-9+.-]*:|\\\\|www\.|[/?#.]", re.IGNORECASE)
_URL: Final = r"[^\s<>\[\]()\"'`]"
# No possessive group: before 3.11.5 Python takes one with a choice inside for more than it says.
_LINK: Final = r"\[(?P<words>[^\[\]]{0,300}+)\]\(\s*+<?(?P<target>(?:[^()\s<>]++|\([^()\s<>]*+\))+)>?[^()\n]*+\)"
_IMAGE: Final = re.compile(rf"!{_LINK}")
# The last is what is left of a link around a link.
_MARKUP: Final = re.compile(
    rf"{_LINK}"
    r"|(?P<label>\[[^\[\]\n]{1,300}+\]):(?=[ \t]*+<?(?:[a-z][a-z0-9+.-]*+:|//|www\.|/))"
    rf"|</?(?:{_ELEMENTS})\b[^<>]*+>"
    r"|<!--(?:(?!-->).){0,300}-->|(?P<stray>\]\()",
    re.IGNORECASE | re.DOTALL,
)
_PLAIN: Final = re.compile(rf"\b(?:(?:https?|ftp)://|www\.){_URL}++", re.IGNORECASE)
# The end of a text that may go on to be one of them.
_BEGUN: Final = re.compile(
    r"(?:!|\]|!?\[(?:[^\[\]!]|!(?!\[)|!\[[^\[\]]{0,300}+(?:\](?:\([^()\n]*+\)?)?)?){0,300}+"
    r"(?:\](?:\((?:[^()\n]|\([^()\n]*+\)?)*+|:[ \t]*+<?[^\s<>]*+)?)?"
    rf"|<[!/]?[a-z]{{0,8}}+|</?(?:{_ELEMENTS})\b[^<>]*+|<!-(?:-(?:(?!-->).){{0,300}})?"
    rf"|\b(?:h|ht|htt|https?|https?:|https?:/|f|ft|ftp|ftp:|ftp:/|w|ww|www)|\b(?:(?:https?|ftp)://|www\.){_URL}*+)\Z",
    re.IGNORECASE | re.DOTALL,
)
# Whether it is worth looking at all.
_SIGN: Final = re.compile(r"[\[\]<]|://|www\.|(?:!|\b(?:h|ht|htt|https?|https?:|https?:/|f|ft|ftp|ftp:|ftp:/|w|ww|www))\Z", re.IGNORECASE)
_MOST_KEPT: Final = 4_000
_HOST: Final = re.compile(r"(?:[a-z]+://)?(?:[^/?#@]*@)?([^/?#:\\\\]*)", re.IGNORECASE)
_PUNCTUATION: Final = ".,;:!?"


class UnlinkedAnswer:
    """An answer that comes piece by piece, without links that its passages, or the model, put into it.

    What may become a link is kept back until it is known whether it does. Without passages everything passes as it comes.
    """

    def __init__(self, request: ModelRequest) -> None:
        self._watches = bool(request.passages)
        visitor = (message.content for message in request.messages if message.role is Role.USER)
        self._named = "\n".join((request.instructions, request.fallback, request.question, *visitor))
        self._passages = "\n".join(passage.text for passage in request.passages)
        self._kept = ""

    def take(self, text: str) -> str:
        """Return what can be said of the answer now that `text` has come."""
        if not self._watches or not (self._kept or _SIGN.search(text)):
            return text
        whole = self._kept + text
        begun = _BEGUN.search(whole)
        place = len(whole) if begun is None else begun.start()
        said, self._kept = self._unlinked(whole[:place]), whole[place:]
        if len(self._kept) > _MOST_KEPT:  # no link of an honest answer is so long
            said, self._kept = said + _PLAIN.sub(self._left_of_address, self._kept.replace("](", "] (").replace("<", "&lt;")), ""
        return said

    def rest(self) -> str:
        """Return what was kept back, once the answer has ended."""
        rest, self._kept = self._unlinked(self._kept), ""
        return rest

    def _unlinked(self, text: str) -> str:
        text = _IMAGE.sub(self._left, text)
        text = _MARKUP.sub(self._left, text)
        return _PLAIN.sub(self._left_of_address, text)

    def _left(self, found: re.Match[str]) -> str:
        """Return what is left of a link, an image, the definition of one, or an element."""
        parts = found.groupdict()
        words, target = parts["words"], parts["target"]
        if words is not None:
            if target in self._named or not _LEADS.match(target):
                return found[0]
            return f"[{words}] " if words.isdigit() and found[0][0] == "[" else words
        if parts["label"] is not None:
            return f"{parts['label']} :"
        return "] (" if parts["stray"] else " "  # so that what stands on both sides of an element does not become a link

    def _left_of_address(self, found: re.Match[str]) -> str:
        """Return what is left of an address that stands in the text."""
        address = found[0].rstrip(_PUNCTUATION)
        if address in self._named or address in self._passages:
            return found[0]
        host = _HOST.match(address)
        return (host[1] if host else "").removeprefix("www.") + found[0][len(address) :]
