"""Answers judged by jsonschema-rs, in microseconds; expressions in schemas run in linear time, so that none can hang the process."""

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import jsonschema_rs
import msgspec

from domains.conversational_ai.model.answer_format import FIELD, AnswerFormat, expressions_of
from shared_kernel.errors import FieldError, InvalidInput

_MOST_FAULTS: Final = 5
_FAULT_LENGTH: Final = 300
_KEPT_SCHEMAS: Final = 32
_ANSWER_DEPTH: Final = 64
_EXPRESSIONS_BYTES: Final = 2_000_000
_NO_EXPRESSION: Final = 'is not a "regex"'


class JsonSchemaAnswerSchemas:
    """Compiles each schema once, and keeps the newest 32."""

    def must_be_schema(self, answer_format: AnswerFormat) -> None:
        """Raise `InvalidInput` when the schema is none."""
        if answer_format.schema is None:
            return
        try:
            _validator(_text(answer_format))
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            detail = f"is no JSON Schema: {_brief(str(getattr(error, 'message', error)))}"
            if detail.endswith(_NO_EXPRESSION):
                detail += f"; all its expressions, once compiled and where references are followed, may have {_EXPRESSIONS_BYTES} bytes"
            raise InvalidInput(FieldError(f"{FIELD}.schema", "invalid", detail)) from error

    def faults(self, answer_format: AnswerFormat, answer: str) -> tuple[str, ...]:
        """Say what is wrong with the answer."""
        try:
            said = msgspec.json.decode(answer)
        except (msgspec.DecodeError, RecursionError) as error:
            return (f"It is not JSON: {_brief(str(error))}",)
        if not isinstance(said, dict):
            return ("It is not a JSON object.",)
        if not _is_shallow(said):
            return (f"It is more than {_ANSWER_DEPTH} levels deep.",)
        if answer_format.schema is None:
            return ()
        return tuple(islice(_faults(_validator(_text(answer_format)), said), _MOST_FAULTS))


def _text(answer_format: AnswerFormat) -> str:
    return json.dumps(answer_format.schema, sort_keys=True)


@lru_cache(maxsize=_KEPT_SCHEMAS)
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    """Compile it. Its expressions share two megabytes, so that many are no heavier to keep and no slower to try than one."""
    found = json.loads(schema)
    share = _EXPRESSIONS_BYTES // max(expressions_of(found), 1)
    return jsonschema_rs.Draft202012Validator(
        found, offline=True, pattern_options=jsonschema_rs.RegexOptions(size_limit=share, dfa_size_limit=share)
    )


def _faults(validator: jsonschema_rs.Draft202012Validator, said: object) -> Iterator[str]:
    for error in validator.iter_errors(said):
        place = "".join(f"/{step}" for step in error.instance_path) or "the whole"
        yield f"At {place}: {_brief(error.message)}"


def _brief(text: str) -> str:
    return text if len(text) <= _FAULT_LENGTH else f"{text[:_FAULT_LENGTH]}…"


def _is_shallow(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell whether no more than so many levels are inside each other; looked at level by level, so that depth costs no stack."""
    level = [value]
    for _ in range(_ANSWER_DEPTH):
        level = [inner for one in level if isinstance(one, dict | list) for inner in (one.values() if isinstance(one, dict) else one)]
        if not level:
            return True
    return False
