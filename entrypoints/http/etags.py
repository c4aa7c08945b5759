"""`ETag` and `If-Match`: an aggregate's version, for edits that must not overwrite each other."""

import re
from typing import Annotated

from litestar.params import HeaderParameter

from shared_kernel.errors import FieldError, InvalidInput

_TAG = re.compile(r'(?:W/)?"(?P<version>[0-9]{1,9})"')

IfMatch = Annotated[
    str | None, HeaderParameter(name="If-Match", description="The `ETag` that was read: 409 `conflict` when somebody has saved since")
]


def etag(version: int) -> dict[str, str]:
    """Return the header that names `version`."""
    return {"ETag": f'"{version}"'}


def expected_version(if_match: str | None) -> int | None:
    """Return the version that `If-Match` names; `None` without the header, or for `*`. Raises `InvalidInput`."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInput(FieldError("If-Match", "invalid", "must be one ETag that was given for this object"))
    return int(found["version"])
