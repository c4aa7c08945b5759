"""Answers judged by JSON Schema."""

import time

import pytest

from adapters.json_schema.answer_schemas import JsonSchemaAnswerSchemas
from domains.conversational_ai.model.answer_format import AnswerFormat
from shared_kernel.errors import InvalidInput

SCHEMAS = JsonSchemaAnswerSchemas()
PRICE = AnswerFormat(
    {"type": "object", "properties": {"price": {"type": "integer", "minimum": 1}}, "required": ["price"], "additionalProperties": False},
    "price",
)


@pytest.mark.parametrize("answer", ['{"price": 49}', ' {"price":1}\n'])
def test_an_answer_of_the_form_has_no_faults(answer: str) -> None:
    assert SCHEMAS.faults(PRICE, answer) == ()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "not JSON"),
        ("49 euros", "not JSON"),
        ('```json\n{"price": 49}\n```', "not JSON"),
        ('{"price": 49} and more', "not JSON"),
        ('{"price": NaN}', "not JSON"),
        ("[49]", "not a JSON object"),
        ("{}", "price"),
        ('{"price": "49"}', "/price"),
        ('{"price": 49, "vat": 9}', "vat"),
        ('{"price":' * 500 + "1" + "}" * 500, "levels deep"),
        ('{"price":' * 50_000 + "1" + "}" * 50_000, "not JSON"),
    ],
)
def test_what_is_wrong_is_said(answer: str, fault: str) -> None:
    told = " ".join(SCHEMAS.faults(PRICE, answer))
    assert fault in told
    assert len(told) < 2_000


def test_only_a_few_faults_are_told() -> None:
    form = AnswerFormat({"type": "object", "additionalProperties": {"type": "integer"}}, "numbers")
    assert len(SCHEMAS.faults(form, "{" + ",".join(f'"{i}": "x"' for i in range(100)) + "}")) == 5


def test_any_object_will_do_where_no_schema_is_given() -> None:
    assert SCHEMAS.faults(AnswerFormat(), '{"a": [1]}') == ()
    assert SCHEMAS.faults(AnswerFormat(), "[1]") != ()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "required": "price"},
        {"type": "object", "properties": {"price": {"type": "euros"}}},
        {"type": "object", "properties": {"price": {"pattern": "("}}},
        {"type": "object", "properties": {"price": {"pattern": "(((a{1000}){1000}){1000})"}}},
    ],
)
def test_what_is_no_schema_is_refused_by_its_field(schema: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        SCHEMAS.must_be_schema(AnswerFormat(schema, "price"))
    assert [e.field for e in refused.value.errors] == ["response_format.json_schema.schema"]


def test_no_expression_runs_for_long() -> None:
    form = AnswerFormat({"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}, "slow")
    began = time.perf_counter()
    assert SCHEMAS.faults(form, '{"a": "' + "a" * 5_000 + '!"}') != ()
    assert time.perf_counter() - began < 1


def test_many_expressions_are_no_slower_than_one() -> None:
    """One that stands once and is tried 600 times took six seconds for one answer."""
    many = [{"$ref": "#/$defs/p"}] * 600
    schema: dict[str, object] = {"type": "object", "properties": {"a": {"allOf": many}}, "$defs": {"p": {"pattern": "[^a]{900}"}}}
    with pytest.raises(InvalidInput, match="all its expressions"):
        SCHEMAS.must_be_schema(AnswerFormat(schema, "many"))
    schema["$defs"] = {"p": {"pattern": "^[A-Z]{2}$"}}
    assert SCHEMAS.faults(AnswerFormat(schema, "many"), '{"a": "FR"}') == ()


def test_many_expressions_are_no_heavier_than_one() -> None:
    """300 of a megabyte each would be kept for every schema that a tenant makes up."""
    schema: dict[str, object] = {"type": "object", "properties": {f"p{i}": {"pattern": f"[^a]{{900}}{i}"} for i in range(300)}}
    with pytest.raises(InvalidInput, match="all its expressions"):
        SCHEMAS.must_be_schema(AnswerFormat(schema, "heavy"))


def test_a_reference_leads_where_the_form_says_it_leads() -> None:
    form = AnswerFormat(
        {"type": "object", "properties": {"a": {"$ref": "#/%24defs/a~1b"}}, "%24defs": {"a/b": {}}, "$defs": {"a/b": {"type": "string"}}},
        "place",
    )
    assert SCHEMAS.faults(form, '{"a": 1}') == ('At /a: 1 is not of type "string"',)
