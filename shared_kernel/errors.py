"""The errors every context raises.

An error says the rule that was broken and carries a stable `code`. Only the HTTP edge knows about statuses; it maps the
five kinds below (and their subclasses) once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong input field: a dotted path, a stable code, and what to do, in words."""

    field: str
    code: str
    detail: str


class LuneoError(Exception):
    """Base of every expected error; `detail` is meant for the caller and holds no secret."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str = "", **extra: object) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extra: Mapping[str, object] = extra


class InvalidInput(LuneoError):
    """The caller sent something that breaks a rule of a field."""

    code = "validation_failed"
    title = "The request is not valid"

    def __init__(self, *errors: FieldError, detail: str = "") -> None:
        super().__init__(detail or "; ".join(f"{e.field}: {e.detail}" for e in errors))
        self.errors = errors


class Unauthenticated(LuneoError):
    """No credentials, or credentials that are wrong, expired or revoked."""

    code = "unauthenticated"
    title = "Authentication is required"


class PermissionDenied(LuneoError):
    """The caller is known and may not do this."""

    code = "permission_denied"
    title = "You may not do this"


class NotFound(LuneoError):
    """No such object, or another tenant's: the caller can't tell which."""

    code = "not_found"
    title = "There is no such object"


class Conflict(LuneoError):
    """The state of the object does not allow this now; also a lost optimistic race."""

    code = "conflict"
    title = "The object changed meanwhile, or its state does not allow this"


class Unavailable(LuneoError):
    """Something we depend on does not answer; trying again later may work."""

    code = "service_unavailable"
    title = "A service that this needs does not answer"


class AlreadyDelivered(LuneoError):
    """The delivery's effect was committed before; this attempt changes nothing."""

    code = "already_delivered"
    title = "This event was already handled"
