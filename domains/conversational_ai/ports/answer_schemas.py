"""Whether an answer has the form that was asked for."""

from typing import Protocol

from domains.conversational_ai.model.answer_format import AnswerFormat


class AnswerSchemas(Protocol):
    """Knows JSON Schema, draft 2020-12. It asks nobody for what a schema refers to."""

    def must_be_schema(self, answer_format: AnswerFormat) -> None:
        """Raise `InvalidInput`, of the field `response_format.json_schema.schema`, when the format's schema is none."""
        ...

    def faults(self, answer_format: AnswerFormat, answer: str) -> tuple[str, ...]:
        """Say in words what is wrong with `answer`, the worst few things; nothing when it is one JSON object of the format."""
        ...
