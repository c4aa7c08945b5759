"""`ETag` and `If-Match`: an aggregate's version, for edits that must not overwrite each other."""

import re

from shared_kernel.errors import FieldError, InvalidInput

_TAG = re.compile(r'(?:W/)?"(?P<version>[0-9]{1,9})"')


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
