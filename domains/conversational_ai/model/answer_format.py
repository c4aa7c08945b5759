"""The form that an answer may be asked to have: one JSON object, of a schema if one is given.

Source: the OpenAI API reference, "Structured outputs"; JSON Schema, draft 2020-12. Schemas come from tenants and are tried on what a model
writes, in the process that serves others: their size bounds the work. A reference therefore leads to a place in the same schema and never
round in a circle, and the draft's other ways to point, and to look twice, are refused.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from domains.conversational_ai.model.text import problem_with, refuse
from shared_kernel.errors import FieldError, Unavailable

FIELD = "response_format.json_schema"
MAXIMUM_SCHEMA_BYTES = 20_000
MAXIMUM_SCHEMA_DEPTH = 32
MAXIMUM_SCHEMA_PARTS = 5_000
_DESCRIPTION_LENGTH = 2_000
_NAME_LENGTH = 64
_UNSUPPORTED = frozenset(
    {
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "$id",
        "$recursiveRef",
        "$vocabulary",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_HALF_ENCODED: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_NAMES_ITS_MEMBERS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependentRequired"})


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """An answer that is one JSON object: any at all, or one of the JSON Schema `schema`, which is called `name`.

    Raises `InvalidInput` for a schema that is too large or deep (20,000 bytes, 32 levels, 32 references one from the other, 5,000 parts
    where references are followed), that describes no object, or that points elsewhere or in a circle; and for a name that is none (1–64
    letters, digits, `_` and `-`).
    """

    schema: Mapping[str, object] | None = None
    name: str = ""
    description: str | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        if self.schema is None:
            return
        refuse(
            [
                None if _is_name(self.name) else FieldError(f"{FIELD}.name", "invalid", "must be 1 to 64 letters, digits, _ and -"),
                problem_with(f"{FIELD}.description", self.description or "", maximum=_DESCRIPTION_LENGTH),
                _problem_with_schema(self.schema),
            ]
        )


def expressions_of(schema: Mapping[str, object]) -> int:
    """Count the regular expressions of a schema that can be used, where each reference is what it leads to."""
    return _size(schema, schema, (), {}).expressions


class AnswerFormatViolated(Unavailable):
    """The model answered twice, and neither answer had the form that was asked for."""

    code = "answer_format_violated"
    title = "The model's answer has not the form that was asked for"
    retryable = True


def _is_name(name: str) -> bool:
    return 1 <= len(name) <= _NAME_LENGTH and name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()


def _problem_with_schema(schema: Mapping[str, object]) -> FieldError | None:
    try:
        _measure(schema)
    except _Unfit as unfit:
        return FieldError(f"{FIELD}.schema", "invalid", str(unfit))
    return None


class _Unfit(Exception):
    """A schema that can't be used; says why."""


def _measure(schema: Mapping[str, object]) -> None:
    """Raise `_Unfit` for a schema that can't be used."""
    for text in _texts(schema, 1):
        if (problem := problem_with("", text, maximum=MAXIMUM_SCHEMA_BYTES)) is not None:
            raise _Unfit(problem.detail)
    if len(json.dumps(schema, ensure_ascii=False).encode()) > MAXIMUM_SCHEMA_BYTES:
        raise _Unfit(f"must have at most {MAXIMUM_SCHEMA_BYTES} bytes")
    if schema.get("type") != "object":
        raise _Unfit("must describe an object: give it `type` `object`")
    if _size(schema, schema, (), {}).parts > MAXIMUM_SCHEMA_PARTS:
        raise _Unfit(f"must have at most {MAXIMUM_SCHEMA_PARTS} parts, where each reference counts as what it leads to")


def _texts(node: object, depth: int) -> Iterator[str]:
    """Yield every text inside, keys too. Raises `_Unfit` where it is too deep."""
    if depth > MAXIMUM_SCHEMA_DEPTH:
        raise _Unfit(f"must be at most {MAXIMUM_SCHEMA_DEPTH} levels deep")
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield name
            yield from _texts(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, depth + 1)


@dataclass(frozen=True, slots=True)
class _Size:
    """Parts of a schema, and expressions among them."""

    parts: int = 0
    expressions: int = 0

    def __add__(self, other: "_Size") -> "_Size":
        return _Size(self.parts + other.parts, self.expressions + other.expressions)


_ONE: Final = _Size(parts=1)
_EXPRESSION: Final = _Size(expressions=1)
_Place = tuple[str, ...]
"""The steps of a JSON pointer."""


def _size(node: object, root: Mapping[str, object], way: tuple[_Place, ...], known: dict[_Place, _Size], *, named: bool = False) -> _Size:
    """Measure a schema where each reference is what it leads to; `way` are the references followed so far.

    `named` says that the keys of `node` are the author's own names, not keywords. Raises `_Unfit`.
    """
    if isinstance(node, list):
        return sum((_size(value, root, way, known) for value in node), start=_ONE)
    if not isinstance(node, Mapping):
        return _ONE
    size = _ONE
    for name, value in node.items():
        if named:
            size += _size(value, root, way, known)
        elif name in _UNSUPPORTED:
            raise _Unfit(f"must not use {name}")
        elif name == "$schema" and node is not root:  # a part of another draft reads references by rules of its own
            raise _Unfit("must name its $schema at the top alone")
        elif name == "$ref":
            size += _size_behind(value, root, way, known)
        else:
            size += _size(value, root, way, known, named=name in _NAMES_ITS_MEMBERS)
            if name == "pattern":
                size += _EXPRESSION
            elif name == "patternProperties" and isinstance(value, Mapping):
                size += _Size(expressions=len(value))
    return size


def _size_behind(reference: object, root: Mapping[str, object], way: tuple[_Place, ...], known: dict[_Place, _Size]) -> _Size:
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise _Unfit("may refer to places in itself alone, such as #/$defs/address")
    place = _steps(reference)
    if place in way:
        raise _Unfit(f"must not refer in a circle: {reference}")
    if len(way) == MAXIMUM_SCHEMA_DEPTH:
        raise _Unfit(f"must not follow more than {MAXIMUM_SCHEMA_DEPTH} references, one from the other: {reference}")
    if place not in known:
        known[place] = _size(_found(place, reference, root), root, (*way, place), known)
    return known[place]


def _steps(reference: str) -> _Place:
    """Read a JSON pointer in a fragment (RFC 6901, section 6), whose percent-encoding whoever tries the schema takes off too."""
    if _HALF_ENCODED.search(reference):
        raise _Unfit(f"refers to {reference}, where % begins no two hexadecimal digits")
    try:
        pointer = unquote(reference.removeprefix("#/"), errors="strict")
    except UnicodeDecodeError:
        raise _Unfit(f"refers to {reference}, which is no UTF-8") from None
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/"))


def _found(place: _Place, reference: str, root: Mapping[str, object]) -> object:
    """Return what the pointer leads to."""
    found: object = root
    for name in place:
        if not isinstance(found, Mapping) or name not in found:
            raise _Unfit(f"refers to {reference}, which is not there")
        found = found[name]
    return found
