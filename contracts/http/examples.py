"""Examples of bodies for the description of the API, made from what the types say themselves."""

import enum
import types
import typing
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UnsetType

from contracts.http.base import Request, Response

_ID = "0192f0c1-7a4e-7c3b-9d52-5b8f0e6a1c2d"
_TIME = "2026-03-31T09:30:00Z"


class NoExample(TypeError):
    """A field's type suggests no value, and its class names none in `EXAMPLE`."""


def example_of(kind: Any) -> Any:  # noqa: ANN401 - a type as it is annotated, and JSON
    """Return an example of `kind`, as JSON has it.

    A request is what its `EXAMPLE` says, whole; an answer has all its fields, of which those that `EXAMPLE` does not name are made from
    their types. Raises `NoExample` where a type alone tells too little.
    """
    if isinstance(kind, type) and issubclass(kind, Request):
        return dict(kind.EXAMPLE)
    if isinstance(kind, type) and issubclass(kind, Response):
        return _answer(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return arguments[0]
    if origin is list or origin is tuple:
        return [example_of(arguments[0])]
    if origin in {types.UnionType, typing.Union}:
        return _choice(arguments)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind)).value
    if kind in _OF_TYPE:
        return _OF_TYPE[kind]
    raise NoExample(f"{kind} suggests no example")


_OF_TYPE: dict[Any, Any] = {UUID: _ID, datetime: _TIME, bool: True, type(None): None}


def _choice(kinds: tuple[Any, ...]) -> Any:  # noqa: ANN401 - JSON
    """Return an example of the first of `kinds` that suggests one; `None`, where it may be, says the least."""
    for kind in sorted(kinds, key=lambda k: k is type(None)):
        if kind is not UnsetType:
            try:
                return example_of(kind)
            except NoExample:
                continue
    raise NoExample(f"none of {kinds} suggests an example")


def _answer(kind: type[Response]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for parent in reversed(kind.__mro__):
        said |= parent.__dict__.get("EXAMPLE", {})
    hints = typing.get_type_hints(kind)
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name in said:
            found[field.encode_name] = said[field.name]
        elif field.required:
            try:
                found[field.encode_name] = example_of(hints[field.name])
            except NoExample as error:
                raise NoExample(f"{kind.__name__}.{field.name}: {error}") from None
    return found
