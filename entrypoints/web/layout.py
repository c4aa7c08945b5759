"""The frame of every page: one sheet, no script, nothing fetched from elsewhere."""

import base64
import hashlib
from html import escape
from importlib.resources import files
from string import Template

_TEMPLATES = files("entrypoints.web").joinpath("templates")
_STYLE = _TEMPLATES.joinpath("page.css").read_text(encoding="utf-8")
_PAGE = Template(_TEMPLATES.joinpath("page.html").read_text(encoding="utf-8"))
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: What a page may do: show its own style, and send forms to ourselves.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def page(title: str, body: str, *, language: str) -> str:
    """Return a page. `title` is text; `body` is markup whose values are escaped already."""
    return _PAGE.substitute(language=language, title=escape(title), style=_STYLE, body=body)
