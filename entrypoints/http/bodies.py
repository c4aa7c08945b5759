"""What a request's body may be: JSON, and nothing that only happens to look like it."""

import re
from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException

from entrypoints.http.uploads import UPLOAD, is_form
from shared_kernel.principal import Principal

#: Of a body that is read whole; a form with a file may have more.
MAXIMUM_BODY_BYTES = 2_000_000
_JSON = re.compile(r"application/(?:[a-z0-9.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class JsonRequest(Request[Principal, Any, Any]):
    """A request whose body is read as JSON when it says that it is, or says nothing."""

    async def body(self) -> bytes:
        """Return the body. A form with a file is left where it is, for the handler to read as it arrives."""
        if self.route_handler.opt.get(UPLOAD) is not None and is_form(self.headers.get("content-type")):
            return b""
        return await super().body()

    async def json(self) -> Any:  # noqa: ANN401 - as the framework has it
        """Return the body. Raises 415 for a form, XML and whatever else is no JSON."""
        kind = self.headers.get("content-type")
        if kind and not _JSON.fullmatch(kind.strip()):
            raise HTTPException(status_code=415, detail="Send the body as application/json")
        return await super().json()
