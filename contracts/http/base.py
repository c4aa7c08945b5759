"""The bases of every request and response body."""

import msgspec


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A request body: unknown fields are refused, fields are given by name."""


class Response(msgspec.Struct, kw_only=True, frozen=True):
    """A response body."""


class Money(Response, frozen=True):
    """An amount in minor units of a currency."""

    amount: int
    currency: str


class FieldProblem(Response, frozen=True):
    """One wrong field of a request."""

    field: str
    code: str
    detail: str


class Problem(Response, frozen=True, omit_defaults=True):
    """An error (RFC 9457, `application/problem+json`)."""

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
