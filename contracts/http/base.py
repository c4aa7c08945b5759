"""The bases of every request and response body."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

Example = Mapping[str, Any]


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A request body: unknown fields are refused, fields are given by name.

    `EXAMPLE` is a whole one, as the description of the API shows it.
    """

    EXAMPLE: ClassVar[Example] = {}


class Response(msgspec.Struct, kw_only=True, frozen=True):
    """A response body.

    `EXAMPLE` has the values that its fields' types don't suggest; it adds to its parents' (`contracts.http.examples`).
    """

    EXAMPLE: ClassVar[Example] = {}


class Money(Response, frozen=True):
    """An amount in minor units of a currency."""

    EXAMPLE: ClassVar[Example] = {"amount": 4900, "currency": "EUR"}

    amount: int
    currency: str


class FieldProblem(Response, frozen=True):
    """One wrong field of a request."""

    EXAMPLE: ClassVar[Example] = {"field": "name", "code": "missing", "detail": "is required"}

    field: str
    code: str
    detail: str


class Problem(Response, frozen=True, omit_defaults=True):
    """An error (RFC 9457, `application/problem+json`)."""

    EXAMPLE: ClassVar[Example] = {
        "type": "https://luneo.example/problems/validation_failed",
        "title": "The request is not valid",
        "status": 422,
        "detail": "name: is required",
        "code": "validation_failed",
        "request_id": "0192f0c1-7a4e-7c3b-9d52-5b8f0e6a1c2d",
    }

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: tuple[FieldProblem, ...] = ()
    metric: str | None = None
    limit: int | float | None = None
    resets_at: str | None = None
    retry_after: int | None = None
